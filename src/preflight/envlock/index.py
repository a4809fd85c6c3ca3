"""A small client of package indexes: the files that each of many projects has, asked for at once."""

from __future__ import annotations

import base64
import gzip
import html
import json
import netrc
import os
import re
import ssl
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from preflight.envlock.choice import File

SECONDS = 20.0
THREADS = 8
_REDIRECTS = 5
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_LINK = re.compile(r"<a\s([^>]*)>\s*([^<]+?)\s*</a>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


def offered(indexes: Sequence[str], wanted: Mapping[str, str], certificates: str = "") -> dict[str, list[File]]:
    """Return the files of each project in the version that is wanted, by the project's name.

    An index that gives no answer has none.
    """
    client = _Client(certificates)

    def files(project: tuple[str, str]) -> list[File]:
        return [file for url in indexes for file in client.files(url, *project)]

    try:
        with ThreadPoolExecutor(min(THREADS, len(wanted) or 1)) as pool:
            return dict(zip(wanted, pool.map(files, wanted.items()), strict=True))
    finally:
        client.close()


class _Client:
    """Keeps one connection to each host for each thread."""

    def __init__(self, certificates: str) -> None:
        self._kept = threading.local()
        self._opened: list[HTTPConnection] = []
        usable = certificates if os.path.exists(certificates) else None
        self._context = ssl.create_default_context(cafile=usable)

    def files(self, index: str, name: str, version: str) -> list[File]:
        """Return the files of one version on one index, none where it has no such project or gives no answer."""
        try:
            url, kind, body = self._page(f"{index}/{name}/")
        except (OSError, HTTPException, zlib.error, ValueError):
            return []
        try:
            return list(_from_json(body, url, version) if "json" in kind else _from_html(body, url, version))
        except (ValueError, KeyError, TypeError, AttributeError):
            return []

    def close(self) -> None:
        """Close every connection."""
        for connection in self._opened:
            connection.close()

    def _page(self, url: str) -> tuple[str, str, bytes]:
        login = _login(url)
        for _ in range(_REDIRECTS):
            response, body = self._answer(url, login)
            target = urljoin(url, response.headers.get("Location") or "")
            if response.status not in (301, 302, 303, 307, 308) or target == url:
                break
            # What lets in here is told to no other host.
            login = login if urlsplit(target).netloc.rpartition("@")[2] == _host(url) else _login(target)
            url = target
        if response.status != 200:
            return url, "", b""
        if response.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return url, response.headers.get("Content-Type") or "", body

    def _answer(self, url: str, login: str) -> tuple[Any, bytes]:
        parts = urlsplit(url)
        headers = {"Accept": _ACCEPT, "Accept-Encoding": "gzip", "User-Agent": "preflight"}
        headers |= {"Authorization": login} if login else {}
        for attempt in (1, 2):
            connection, target = self._connection(url)
            try:
                connection.request("GET", target or (parts.path or "/"), headers=headers)
                response = connection.getresponse()
                return response, response.read()
            except (OSError, HTTPException):
                # A server may close a connection that it has kept; then a new one answers.
                self._kept.__dict__.pop(f"{parts.scheme}://{_host(url)}", None)
                if attempt == 2:
                    raise
        raise AssertionError

    def _connection(self, url: str) -> tuple[HTTPConnection, str]:
        """Return a connection to the host of a URL, and the target to ask it for where a proxy wants the whole URL."""
        from urllib.request import getproxies, proxy_bypass

        parts = urlsplit(url)
        host = _host(url)
        key = f"{parts.scheme}://{host}"
        proxy = "" if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme, "")
        whole = f"{key}{parts.path}" if proxy and parts.scheme == "http" else ""
        if key not in self._kept.__dict__:
            self._kept.__dict__[key] = self._connected(parts.scheme, host, proxy)
            self._opened.append(self._kept.__dict__[key])
        connection: HTTPConnection = self._kept.__dict__[key]
        return connection, whole

    def _connected(self, scheme: str, host: str, proxy: str) -> HTTPConnection:
        through = _host(proxy if "://" in proxy else f"http://{proxy}") if proxy else host
        if scheme == "http":
            return HTTPConnection(through, timeout=SECONDS)
        connection = HTTPSConnection(through, timeout=SECONDS, context=self._context)
        if proxy:
            login = _basic(proxy)
            connection.set_tunnel(host, headers={"Proxy-Authorization": login} if login else {})
        return connection


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _login(url: str) -> str:
    """Return the header that lets in: by the user in the URL, else by ~/.netrc."""
    if found := _basic(url):
        return found
    try:
        known = netrc.netrc().authenticators(urlsplit(url).hostname or "")
    except (OSError, netrc.NetrcParseError):
        return ""
    return _encoded(f"{known[0]}:{known[2]}") if known else ""


def _basic(url: str) -> str:
    login, separator, _ = urlsplit(url).netloc.rpartition("@")
    user, _, password = login.partition(":")
    return _encoded(f"{unquote(user)}:{unquote(password)}") if separator else ""


def _encoded(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


def _from_json(body: bytes, url: str, version: str) -> Iterator[File]:
    for each in json.loads(body)["files"]:
        if version not in each["filename"]:
            continue
        core = each.get("core-metadata") or each.get("data-dist-info-metadata")
        yield File(
            name=each["filename"],
            url=urljoin(url, each["url"]),
            sha256=(each.get("hashes") or {}).get("sha256") or "",
            metadata=core.get("sha256", "") if isinstance(core, dict) else "",
        )


def _from_html(body: bytes, url: str, version: str) -> Iterator[File]:
    for attributes, name in _LINK.findall(body.decode(errors="replace")):
        if version not in name:
            continue
        values = {key.lower(): html.unescape(one or two) for key, one, two in _ATTRIBUTE.findall(attributes)}
        address, _, fragment = urljoin(url, values.get("href", "")).partition("#")
        core = values.get("data-core-metadata") or values.get("data-dist-info-metadata") or ""
        yield File(
            name=html.unescape(name),
            url=address,
            sha256=fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else "",
            metadata=core.removeprefix("sha256=") if core.startswith("sha256=") else "",
        )
