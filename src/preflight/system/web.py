"""The web as a client meets it: how a server answers for a URL, and the first bytes that it sends."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from preflight.phrases import without_secrets

SECONDS = 10.0
START = 256
# A body up to this size is read as a whole where the server gives no part of it: only then is a broken-off one seen.
WHOLE = 1 << 24
PAUSE = 1.0
_BLOCK = 1 << 18
_PASSING = (429, 500, 502, 503, 504)


class Trouble(StrEnum):
    """Why there is no answer, or not all of it."""

    NONE = ""
    UNREACHED = "unreached"
    SILENT = "silent"
    CERTIFICATE = "certificate"
    REDIRECTS = "redirects"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a server answered; `status` is 0 where it did not, and `error` tells in the system's words.

    `url` is where redirects led; `length` the size of the whole file in bytes, None where the server does not tell;
    `announced` and `received` count the bytes of this answer; `sha256` is that of the whole where it was asked for.
    """

    status: int = 0
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    start: bytes = b""
    length: int | None = None
    announced: int | None = None
    received: int = 0
    sha256: str = ""
    trouble: Trouble = Trouble.NONE
    error: str = ""

    @property
    def is_cut_off(self) -> bool:
        """Whether fewer bytes came than were announced."""
        return self.announced is not None and self.received < self.announced


def host_of(url: str) -> tuple[str, int]:
    """Return the host and the port that a client of the URL would connect to."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def ask(url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, whole: bool = False) -> Answer:
    """Return the answer for a URL, asking once more where the server says that it is busy.

    Of a file only the first bytes are asked for, unless `whole`. Redirects are followed: to another host without
    the token in `headers`, and by HEAD never. Proxies are taken as the environment says.
    """
    wanted = {"User-Agent": "preflight", **(headers or {})}
    if method == "GET" and not whole:
        wanted["Range"] = f"bytes=0-{START - 1}"
    answer = _ask(url, method, wanted, whole)
    if answer.status in _PASSING:
        time.sleep(PAUSE)
        answer = _ask(url, method, wanted, whole)
    return answer


def _ask(url: str, method: str, headers: Mapping[str, str], whole: bool) -> Answer:
    from http.client import HTTPException
    from urllib.request import Request

    bare = without_secrets(url)
    try:
        bare, login = _split_login(url)
        request = Request(bare, headers={**headers, **login}, method=method)
        with _opened(request) as response:
            return _read(response, method, whole)
    except _Redirected as error:
        return Answer(url=bare, trouble=Trouble.REDIRECTS, error=str(error))
    except (OSError, HTTPException, ValueError) as error:
        return _failed(bare, error)


@contextmanager
def _opened(request: Any) -> Iterator[Any]:
    """Open a request; an answer such as 404 is an answer too."""
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, build_opener

    class Redirects(HTTPRedirectHandler):
        """Keeps a token from other hosts, and HEAD within its own."""

        def redirect_request(self, req: Any, *answer: Any) -> Any:
            elsewhere = host_of(answer[-1]) != host_of(req.full_url)
            if req.get_method() == "HEAD" and elsewhere:
                return None
            new = super().redirect_request(req, *answer)
            if new is not None:
                new.method = req.get_method()
                if elsewhere:
                    new.remove_header("Authorization")
            return new

    try:
        response = build_opener(Redirects()).open(request, timeout=SECONDS)
    except HTTPError as error:
        location = urljoin(error.url, error.headers.get("Location", ""))
        if error.code < 400 and host_of(location) == host_of(error.url):
            error.close()
            raise _Redirected(location) from None
        response = error
    with response:
        yield response


class _Redirected(Exception):
    """Redirects lead in a circle; the text is where the last one would go."""


def _read(response: Any, method: str, whole: bool) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    announced = _number(headers.get("content-length", ""))
    total = headers.get("content-range", "").rpartition("/")[2]
    length = _number(total) if total else announced
    status = 206 if response.status == 416 and length == 0 else response.status
    answer = Answer(status=status, url=response.url, headers=headers, length=length)
    if method == "HEAD" or (status == 206 and length == 0):
        return answer
    limit = None if whole or (announced is not None and announced <= WHOLE) else START
    start, received, digest = _receive(response, limit)
    asked = announced if limit is None or announced is None else min(announced, limit)
    return replace(answer, start=start, announced=asked, received=received, sha256=digest if whole else "")


def _receive(response: Any, limit: int | None) -> tuple[bytes, int, str]:
    """Read up to `limit` bytes; return the first ones, the number of all, and their SHA-256."""
    import hashlib
    from http.client import IncompleteRead

    digest, start, received = hashlib.sha256(), b"", 0
    read: Callable[[int], bytes] = response.read
    while limit is None or received < limit:
        try:
            block = read(_BLOCK if limit is None else limit - received)
        except (IncompleteRead, ConnectionError):
            break
        if not block:
            break
        digest.update(block)
        start = start or block[:START]
        received += len(block)
    return start, received, digest.hexdigest()


def _failed(url: str, error: Exception) -> Answer:
    import ssl
    from urllib.error import URLError

    # URLError is what goes wrong up to the request; whatever comes after it has another type.
    reason = error.reason if isinstance(error, URLError) else error
    words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Answer(url=url, trouble=Trouble.CERTIFICATE, error=reason.verify_message)
    if isinstance(error, URLError) and isinstance(reason, OSError):
        return Answer(url=url, trouble=Trouble.UNREACHED, error=words)
    trouble = Trouble.SILENT if isinstance(error, TimeoutError) else Trouble.BROKEN
    return Answer(url=url, trouble=trouble, error=words)


def _split_login(url: str) -> tuple[str, dict[str, str]]:
    """Return the URL without user and password, and the header that carries them; those of a .netrc file count too."""
    import netrc

    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if not user and parts.hostname:
        with suppress(OSError, netrc.NetrcParseError, UnicodeDecodeError):
            user, _, password = netrc.netrc().authenticators(parts.hostname) or ("", "", "")
    if not user:
        return bare, {}
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return bare, {"Authorization": f"Basic {token}"}


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
