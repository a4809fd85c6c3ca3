"""Who may ask a served site: by the address that they call it, by the token, and only to read."""

from __future__ import annotations

import hmac
import ipaddress
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

COOKIE = "preflight-token"
HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", "frame-ancestors 'none'"),
    ("Cache-Control", "no-cache, private"),
)

Environ = dict[str, Any]
Start = Callable[..., Any]
Application = Callable[[Environ, Start], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Guard:
    """An application in front of another (PEP 3333), which only those reach who may.

    A name that an attacker's server gives to this address is no name of this machine, so what the browser called is
    held against `host`, which is what the site listens at. Where there is a `token` it is wanted once in the address,
    then as a cookie.
    """

    application: Application
    host: str
    token: str = ""

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer, or let the application answer."""

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start(status, [*headers, *HEADERS], *rest)

        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refuse(started, "405 Method Not Allowed", "This site is only read.", ("Allow", "GET, HEAD"))
        if not self.is_ours(environ.get("HTTP_HOST", "")):
            return _refuse(started, "421 Misdirected Request", "This is no name of this machine.")
        if not self.token:
            return self.application(environ, started)
        asked = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        if _same(asked.pop("token", [""])[0], self.token):
            return self._welcome(environ, started, asked)
        if not _same(_cookie(environ), self.token):
            return _refuse(started, "403 Forbidden", "Open the address that `preflight report serve` has printed.")
        return self.application(environ, started)

    def is_ours(self, called: str) -> bool:
        """Tell whether the Host of a request names this machine; a tunnel may have changed the port."""
        name = called.rpartition(":")[0] if called.rpartition("]")[2].count(":") == 1 else called
        name = name.removeprefix("[").removesuffix("]").rstrip(".").lower()
        if not name:
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            own = {"localhost"} if is_loopback(self.host) else {"localhost", self.host.lower(), *_names()}
            return name in own
        return address.is_loopback or not is_loopback(self.host)

    def _welcome(self, environ: Environ, start: Start, asked: dict[str, list[str]]) -> Iterable[bytes]:
        """Give the cookie and lead to the same page without the token, which then stands in no history."""
        path = quote(environ.get("PATH_INFO", "/").encode("latin-1")) or "/"
        question = f"?{urlencode(asked, doseq=True)}" if asked else ""
        cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Lax; Path=/"
        # One slash: with two the first word would be a host.
        start("303 See Other", [("Location", f"/{path.lstrip('/')}{question}"), ("Set-Cookie", cookie), _EMPTY])
        return [b""]


_EMPTY = ("Content-Length", "0")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens at `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _names() -> set[str]:
    name = socket.gethostname().lower()
    return {name, name.partition(".")[0], socket.getfqdn().lower()}


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(os.fsencode(one), os.fsencode(other))


def _cookie(environ: Environ) -> str:
    try:
        morsel = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _refuse(start: Start, status: str, why: str, *more: tuple[str, str]) -> Iterable[bytes]:
    text = f"{why}\n".encode()
    start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text))), *more])
    return [text]
