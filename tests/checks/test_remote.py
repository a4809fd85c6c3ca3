"""Remote data on real servers that misbehave: a web server of our own, and an S3 store in another process."""

import hashlib
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Data, Files, Location
from preflight.model import Finding, Severity, Status
from preflight.testing import run_check

AT = Location("foo.yaml", 5, "preflight.data[0]")
TABLE = b"id,label\n1,2\n" * 100
OFFLINE = 'set -- unshare --net "$@"'


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("remote")


class Misbehaving(BaseHTTPRequestHandler):
    """Answers by the first part of the path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        what = self.path.strip("/").partition("/")[0].partition("?")[0]
        getattr(self, f"answer_{what}", self.answer_status)(what)

    do_HEAD = do_GET

    def answer_status(self, what: str) -> None:
        self.send(int(what), b"no")

    def answer_good(self, what: str) -> None:
        if start := self.headers.get("Range", "").removeprefix("bytes=0-"):
            part = TABLE[: int(start) + 1]
            self.send(206, part, {"Content-Range": f"bytes 0-{len(part) - 1}/{len(TABLE)}"})
        else:
            self.send(200, TABLE)

    def answer_whole(self, what: str) -> None:
        self.send(200, TABLE)

    def answer_short(self, what: str) -> None:
        self.send(200, TABLE[:500], {"Content-Length": str(len(TABLE))})
        self.close_connection = True

    def answer_empty(self, what: str) -> None:
        self.send(416 if "Range" in self.headers else 200, b"", {"Content-Range": "bytes */0"})

    def answer_page(self, what: str) -> None:
        self.send(200, b"<!DOCTYPE html><title>Log in</title>", {"Content-Type": "text/html"})

    def answer_pointer(self, what: str) -> None:
        self.send(200, b"version https://git-lfs.github.com/spec/v1\noid sha256:4cac\nsize 437951328\n")

    def answer_circle(self, what: str) -> None:
        self.send(302, b"", {"Location": self.path})

    def answer_moved(self, what: str) -> None:
        self.send(302, b"", {"Location": "/good/train.csv"})

    def answer_login(self, what: str) -> None:
        # me:s3cret
        allowed = self.headers.get("Authorization") == "Basic bWU6czNjcmV0"
        self.send(200 if allowed else 401, TABLE)

    def answer_busy(self, what: str) -> None:
        self.server.asked = getattr(self.server, "asked", 0) + 1
        self.send(503 if self.server.asked == 1 else 200, TABLE)

    def answer_silent(self, what: str) -> None:
        time.sleep(3)

    def answer_nonsense(self, what: str) -> None:
        self.wfile.write(b"\0\1\2 what?\r\n\r\n")
        self.close_connection = True

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server that misbehaves."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, checks: ModuleType) -> None:
    """No proxy, no keys, no home with anything in it, and no pause before a server is asked again."""
    for name in os.environ:
        if name.lower().endswith("_proxy") or name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(checks.web, "PAUSE", 0.0)


def ask(checks: ModuleType, url: str, **more: Any) -> list[Finding]:
    return list(checks.check_can_be_read(Data(path=url, at=AT, **more)))


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    assert (findings[0].file, findings[0].line) == ("foo.yaml", 5)
    return findings[0]


@pytest.mark.parametrize("path", ["good/train.csv", "whole/train.csv", "moved/train.csv", "good/train.csv?key=s3cret"])
def test_what_can_be_read_is_silent(path: str, server: str, checks: ModuleType) -> None:
    assert not ask(checks, f"{server}/{path}")


@pytest.mark.parametrize(
    ("path", "name", "words"),
    [
        ("404/train.csv", "not-found", "404"),
        ("410/train.csv", "not-found", "410"),
        ("403/train.csv", "forbidden", "403"),
        ("401/train.csv", "unauthorized", "401"),
        ("407/train.csv", "proxy", "407"),
        ("500/train.csv", "server-error", "500"),
        ("418/train.csv", "failed", "418"),
        ("short/train.csv", "cut-off", "500 bytes, 1,300 bytes are announced"),
        ("empty/train.csv", "empty", "is empty"),
        ("page/train.csv", "web-page", "a web page"),
        ("page/download?id=3", "web-page", "a web page"),
        ("pointer/model.safetensors", "lfs-pointer", "Git LFS pointer"),
        ("circle/train.csv", "redirect-loop", "cannot be read"),
        ("nonsense/train.csv", "host-failed", "cannot be read"),
    ],
)
def test_what_cannot(path: str, name: str, words: str, server: str, checks: ModuleType) -> None:
    finding = only(ask(checks, f"{server}/{path}"))
    assert finding.id == f"remote.{name}"
    assert finding.severity is Severity.ERROR
    assert words in finding.message
    assert finding.cause
    assert finding.fix


def test_a_server_that_does_not_answer(server: str, checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.web, "SECONDS", 0.5)
    finding = only(ask(checks, f"{server}/silent/train.csv"))
    assert (finding.id, finding.severity) == ("remote.host-silent", Severity.ERROR)
    assert "timed out" in finding.message


def test_a_page_that_is_meant(server: str, checks: ModuleType) -> None:
    assert not ask(checks, f"{server}/page/index.html")


def test_a_server_that_is_busy_for_a_moment_is_asked_again(server: str, checks: ModuleType) -> None:
    assert not ask(checks, f"{server}/busy/train.csv")
    finding = only(ask(checks, f"{server}/503/train.csv"))
    assert (finding.id, finding.severity) == ("remote.busy", Severity.WARNING)


def test_the_checksum_of_the_whole(server: str, checks: ModuleType) -> None:
    right = hashlib.sha256(TABLE).hexdigest()
    assert not ask(checks, f"{server}/good/train.csv", sha256=right)
    finding = only(ask(checks, f"{server}/good/train.csv", sha256="0" * 64))
    assert (finding.id, finding.found) == ("remote.sha256", right)


def test_a_login_is_used_and_never_shown(server: str, checks: ModuleType) -> None:
    address = server.removeprefix("http://")
    assert not ask(checks, f"http://me:s3cret@{address}/login/train.csv")
    finding = only(ask(checks, f"http://me:wr0ng@{address}/login/train.csv?signature=wr0ng"))
    assert finding.id == "remote.unauthorized"
    assert "wr0ng" not in repr(finding)


def test_a_login_of_netrc(server: str, checks: ModuleType, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert not ask(checks, f"{server}/login/train.csv")


def test_a_host_that_is_not_there(checks: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    finding = only(ask(checks, f"http://127.0.0.1:{port}/train.csv"))
    assert finding.id == "remote.host-refused"
    assert only(ask(checks, "https://no-such-host.invalid/train.csv")).id in (
        "remote.host-unknown",
        "remote.no-network",
    )


@pytest.mark.parametrize("url", ["http://[::1", "http://host:port/x", "http:///x", "https://"])
def test_what_is_no_address(url: str, checks: ModuleType) -> None:
    assert only(ask(checks, url)).id == "remote.host-failed"


def test_a_certificate_that_nobody_trusts(tmp_path: Path, checks: ModuleType) -> None:
    import ssl

    subject = ["-subj", "/CN=localhost", "-days", "2", "-newkey", "rsa:2048", "-nodes", "-x509"]
    made = subprocess.run(
        ["openssl", "req", *subject, "-keyout", tmp_path / "key", "-out", tmp_path / "certificate"],
        capture_output=True,
    )
    if made.returncode:
        pytest.skip("needs openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving) as secure:
        secure.handle_error = lambda *_: None  # type: ignore[method-assign]
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        threading.Thread(target=secure.serve_forever, daemon=True).start()
        finding = only(ask(checks, f"https://localhost:{secure.server_port}/good/train.csv"))
        secure.shutdown()
    assert finding.id == "remote.certificate"


def test_no_network(checks: ModuleType, in_world: Any) -> None:
    entry = Data(path="https://data.example/train.csv", at=AT)
    finding = only(in_world(OFFLINE, checks.check_can_be_read, entry))
    assert finding.id == "remote.no-network"
    assert "no network" in finding.cause


def test_a_web_server_has_no_list_of_files(server: str, checks: ModuleType) -> None:
    with pytest.raises(pytest.skip.Exception, match="does not list"):
        ask(checks, f"{server}/good/", files=Files(min=3))


def test_what_is_asked_of_the_contents_is_not_answered(server: str, checks: ModuleType) -> None:
    with pytest.raises(pytest.skip.Exception, match="columns, missing is looked at in local files only"):
        ask(checks, f"{server}/good/train.csv", columns=("id",), missing=False)
    assert only(ask(checks, f"{server}/404/train.csv", columns=("id",))).id == "remote.not-found"


def test_as_a_run_sees_it(server: str, tmp_path: Path) -> None:
    config = {"preflight": {"data": [f"{server}/404/x?token=s3cret", str(tmp_path), "sqlite:///x.db"]}}
    (result,) = run_check("remote.can-be-read", config, root=tmp_path)
    assert result.status is Status.FAILED
    assert "s3cret" not in repr(result)


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The address of an S3 store with a bucket `data`."""
    pytest.importorskip("s3fs", reason="needs s3fs")
    pytest.importorskip("moto", reason="needs moto")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


FILL = """
import fsspec
system = fsspec.filesystem("s3")
system.mkdir("data")
system.pipe({"data/train/a.csv": b"1,2", "data/train/b.csv": b"3,4", "data/public.csv": b"5,6"})
system.pipe({"data/empty/x.csv": b"", "data/page.csv": b"<html>"})
system.chmod("data/public.csv", "public-read")
"""
KEYS = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_DEFAULT_REGION": "us-east-1"}
# The clients keep threads and connections, which end with the process.
ASKED = """
import importlib.util, pickle, sys
file, entries = pickle.load(sys.stdin.buffer)
spec = importlib.util.spec_from_file_location("check_remote", file)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.stdout.buffer.write(pickle.dumps([list(module.check_can_be_read(entry)) for entry in entries]))
"""


def ask_apart(checks: ModuleType, entries: list[Data], **environment: str) -> list[list[Finding]]:
    """Ask for all entries in a process of its own."""
    said = subprocess.run(
        [sys.executable, "-c", ASKED],
        input=pickle.dumps((checks.__file__, entries)),
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr.decode()
    return pickle.loads(said.stdout)


@pytest.fixture(scope="module")
def filled(store: str) -> str:
    subprocess.run([sys.executable, "-c", FILL], env={**os.environ, "AWS_ENDPOINT_URL": store, **KEYS}, check=True)
    return store


STORED = [
    ("data/train/a.csv", {}, ""),
    ("data/train", {}, ""),
    ("data/train/*.csv", {}, ""),
    ("data", {"files": Files(glob="**/[ab].csv", min=2, max=2)}, ""),
    ("data/train/a.csv", {"sha256": hashlib.sha256(b"1,2").hexdigest()}, ""),
    ("data/train/c.csv", {}, "not-found"),
    ("nothing/train/a.csv", {}, "no-bucket"),
    ("data/page.csv", {}, "web-page"),
    ("data/empty/x.csv", {}, "empty"),
    ("data/empty", {}, "empty"),
    ("data/train/*.png", {}, "empty"),
    ("data/train", {"files": Files(min=3)}, "count"),
    ("data/train", {"files": Files(max=1)}, "count"),
    ("data/train/a.csv", {"sha256": "0" * 64}, "sha256"),
]


def test_a_store_that_has_it_or_lacks_it(filled: str, checks: ModuleType) -> None:
    entries = [Data(path=f"s3://{path}", at=AT, **more) for path, more, _ in STORED]
    answers = ask_apart(checks, entries, AWS_ENDPOINT_URL=filled, **KEYS)
    found = [(path, [finding.id for finding in answer]) for (path, *_), answer in zip(STORED, answers, strict=True)]
    assert found == [(path, [f"remote.{name}"] if name else []) for path, _, name in STORED]
    among_others = only(answers[9])
    assert (among_others.severity, among_others.message) == (
        Severity.WARNING,
        "s3://data/empty: data/empty/x.csv is empty",
    )


def test_no_credentials(filled: str, checks: ModuleType) -> None:
    entries = [Data(path=f"s3://data/{name}", at=AT) for name in ("public.csv", "train/a.csv")]
    public, private = ask_apart(checks, entries, AWS_ENDPOINT_URL=filled)
    assert (only(public).id, only(public).severity) == ("remote.public", Severity.WARNING)
    assert only(private).id == "remote.no-credentials"


class Refusing(BaseHTTPRequestHandler):
    """Refuses as S3 does, with the status and the code that the name of the bucket says."""

    def do_GET(self) -> None:
        status, _, name = self.path.strip("/").partition("/")[0].partition("-")
        code = "".join(word.capitalize() for word in name.split("-"))
        body = f"<Error><Code>{code}</Code><Message>no</Message><Region>eu-west-1</Region></Error>".encode()
        self.send_response(int(status))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *arguments: Any) -> None:
        pass


def test_a_store_that_refuses(store: str, checks: ModuleType) -> None:
    refusals = {
        "403-access-denied": "forbidden",
        "403-signature-does-not-match": "bad-credentials",
        "400-expired-token": "bad-credentials",
        "301-permanent-redirect": "region",
        "503-slow-down": "busy",
        "418-i-am-a-teapot": "failed",
    }
    entries = [Data(path=f"s3://{name}/train/a.csv", at=AT) for name in refusals]
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        answers = ask_apart(checks, entries, AWS_ENDPOINT_URL=address, **KEYS)
        server.shutdown()
    findings = [only(answer) for answer in answers]
    assert [finding.id for finding in findings] == [f"remote.{name}" for name in refusals.values()]
    assert "export AWS_DEFAULT_REGION=eu-west-1" in findings[3].fix
    assert "SlowDown" in findings[4].message
    assert "s3cret" not in repr(findings)
    # Nobody listens there any more.
    (answer,) = ask_apart(checks, entries[:1], AWS_ENDPOINT_URL=address, **KEYS)
    assert only(answer).id == "remote.host-refused"
    assert "127.0.0.1" in only(answer).cause


@pytest.mark.parametrize("url", ["gs://bucket/x", "nonsense://bucket/x"])
def test_a_client_that_is_not_installed(url: str, checks: ModuleType) -> None:
    pytest.importorskip("fsspec", reason="needs fsspec")
    with pytest.raises(pytest.skip.Exception, match="cannot be looked at"):
        ask(checks, url)
