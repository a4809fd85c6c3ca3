"""How a client asks: with which headers, through which redirects and proxies."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from preflight.system import web
from preflight.system.web import Trouble

TOKEN = {"Authorization": "Bearer s3cret"}


class Recording(BaseHTTPRequestHandler):
    """Notes what it is asked, and redirects to wherever the query says."""

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization", "")))  # type: ignore[attr-defined]
        _, _, target = self.path.partition("?to=")
        self.send_response(302 if target else 200)
        self.send_header("Content-Length", "0" if target or self.command == "HEAD" else "2")
        if target:
            self.send_header("Location", target)
        self.end_headers()
        if not target and self.command != "HEAD":
            self.wfile.write(b"ok")

    do_HEAD = do_GET

    def log_message(self, *arguments: Any) -> None:
        pass


def serve() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Recording) as server:
        server.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


first = pytest.fixture(serve, name="first")
second = pytest.fixture(serve, name="second")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def address(server: Any) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_a_token_stays_with_its_host(first: Any, second: Any) -> None:
    answer = web.ask(f"{address(first)}/a?to={address(second)}/b", headers=TOKEN)
    assert (answer.status, answer.start) == (200, b"ok")
    assert first.asked == [("GET", f"/a?to={address(second)}/b", "Bearer s3cret")]
    assert second.asked == [("GET", "/b", "")]


def test_a_token_goes_along_within_its_host(first: Any) -> None:
    assert web.ask(f"{address(first)}/a?to=/b", headers=TOKEN).status == 200
    assert first.asked[-1] == ("GET", "/b", "Bearer s3cret")


def test_head_is_not_sent_to_another_host(first: Any, second: Any) -> None:
    answer = web.ask(f"{address(first)}/a?to={address(second)}/b", method="HEAD", headers=TOKEN)
    assert (answer.status, answer.headers["location"]) == (302, f"{address(second)}/b")
    assert not second.asked
    assert web.ask(f"{address(first)}/a?to=/b", method="HEAD").status == 200
    assert first.asked[-1] == ("HEAD", "/b", "")


def test_a_proxy_is_asked(first: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", address(first))
    assert web.ask("http://data.invalid/x").status == 200
    assert first.asked == [("GET", "http://data.invalid/x", "")]
    monkeypatch.setenv("no_proxy", "data.invalid")
    assert web.ask("http://data.invalid/x").trouble is Trouble.UNREACHED


@pytest.mark.parametrize("url", ["http://[::1", "http://host:port/x", "http:///x"])
def test_what_is_no_address(url: str) -> None:
    answer = web.ask(url)
    assert answer.trouble
    assert answer.error
