"""A package index on this machine: what is in a folder, as JSON or as HTML, with or without a login."""

import base64
import hashlib
import html
import json
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self


class Index:
    """Serves the wheels and sources of a folder; `asked` are the paths that were asked for."""

    def __init__(self, folder: Path, *, form: str = "json", login: str = "", tells_metadata: bool = True) -> None:
        self.folder = folder
        self.form = form
        self.login = login
        self.tells_metadata = tells_metadata
        self.asked: list[str] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            """Answers one request."""

            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                index.asked.append(self.path)
                status, kind, body = index.answer(self.path, self.headers.get("Authorization", ""))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if status == 401:
                    self.send_header("WWW-Authenticate", "Basic")
                self.end_headers()
                self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_words: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    @property
    def url(self) -> str:
        login = f"{self.login}@" if self.login else ""
        return f"http://{login}{self.host}/simple"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path: str, login: str) -> tuple[int, str, bytes]:
        if self.login and login != "Basic " + base64.b64encode(self.login.encode()).decode():
            return 401, "text/plain", b"who are you?"
        if path.startswith("/files/"):
            file = self.folder / path.rpartition("/")[2]
            data = _metadata(file.with_suffix("")) if file.suffix == ".metadata" else file.read_bytes()
            return 200, "application/octet-stream", data
        name = path.removeprefix("/simple/").strip("/")
        files = [file for file in sorted(self.folder.iterdir()) if _project(file.name) == name]
        if not files:
            return 404, "text/plain", b"no such project"
        return (200, *(self._json(files, name) if self.form == "json" else self._html(files)))

    def _json(self, files: list[Path], name: str) -> tuple[str, bytes]:
        entries = [
            {
                "filename": file.name,
                "url": f"/files/{file.name}",
                "hashes": {"sha256": _sha256(file.read_bytes())},
                **({"core-metadata": {"sha256": _sha256(_metadata(file))}} if self.tells_metadata else {}),
            }
            for file in files
        ]
        document = {"meta": {"api-version": "1.0"}, "name": name, "files": entries}
        return "application/vnd.pypi.simple.v1+json", json.dumps(document).encode()

    def _html(self, files: list[Path]) -> tuple[str, bytes]:
        links = [
            f'<a href="../../files/{html.escape(file.name)}#sha256={_sha256(file.read_bytes())}">{file.name}</a><br>'
            for file in files
        ]
        return "text/html", ("<!DOCTYPE html><html><body>" + "\n".join(links) + "</body></html>").encode()


def _project(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.partition("-")[0]).lower()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _metadata(file: Path) -> bytes:
    if file.suffix != ".whl":
        return b""
    with zipfile.ZipFile(file) as archive:
        [name] = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return archive.read(name)
