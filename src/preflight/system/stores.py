"""Object stores and other remote file systems, as fsspec shows them: what a URL stands for, or why not."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

START = 256
SECONDS = 5
# What S3 and those who speak its language call what is wrong with the credentials themselves.
_BAD_CREDENTIALS = {
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"),
    *("AuthFailure", "InvalidClientTokenId", "RequestTimeTooSkewed"),
}
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_NETWORK = ("EndpointConnection", "ConnectTimeout", "ClientConnector", "ConnectionClosed", "gaierror", "ReadTimeout")
_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED}


class Trouble(StrEnum):
    """Why a store does not show what a URL stands for."""

    MISSING = "missing"
    NO_CONTAINER = "no bucket"
    FORBIDDEN = "forbidden"
    NO_CREDENTIALS = "no credentials"
    BAD_CREDENTIALS = "bad credentials"
    REGION = "wrong region"
    UNREACHED = "unreached"
    BUSY = "busy"
    FAILED = "failed"
    NOT_INSTALLED = "not installed"


class Refused(Exception):
    """A store does not show what a URL stands for.

    `code` is its own word for it, `region` the one where the bucket lies, `url` the address that is not reached.
    """

    def __init__(self, trouble: Trouble, words: str, code: str = "", region: str = "", url: str = "") -> None:
        super().__init__(words)
        self.trouble, self.words, self.code, self.region, self.url = trouble, words, code, region, url


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a URL stands for: the files with their sizes in bytes, the first bytes of the first one.

    `is_folder` tells a folder or a pattern from a single file; `is_public` that only an anonymous client can read it.
    """

    files: Mapping[str, int]
    is_folder: bool
    start: bytes = b""
    is_public: bool = False


def look_at(url: str, pattern: str = "") -> Stored:
    """Return what the URL stands for: of a folder the files that `pattern` matches or that lie directly in it.

    Lists and reads a few bytes, never more. Raises Refused where the store does not let that happen.
    """
    try:
        return _look_at(url, pattern, {})
    except Refused as refused:
        if refused.trouble is not Trouble.NO_CREDENTIALS or not url.startswith("s3"):
            raise
        with suppress(Refused):
            stored = _look_at(url, pattern, {"anon": True})
            return Stored(files=stored.files, is_folder=stored.is_folder, start=stored.start, is_public=True)
        raise


def digest(url: str) -> str:
    """Return the SHA-256 of a file, which is read as a whole. Raises Refused."""
    import hashlib

    system, path = _open_system(url, {})
    try:
        with system.open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except Exception as error:
        raise _refusal(error) from error


def _look_at(url: str, pattern: str, options: Mapping[str, Any]) -> Stored:
    system, path = _open_system(url, options)
    try:
        files, is_folder = _list(system, path, pattern)
        start = b""
        for first in list(files)[:1]:
            start = system.cat_file(first, start=0, end=START) if files[first] else b""
    except Exception as error:
        raise _refusal(error) from error
    return Stored(files=files, is_folder=is_folder, start=start)


def _open_system(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the file system that fsspec has for the URL, with patience for a few seconds, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise Refused(Trouble.NOT_INSTALLED, "fsspec is not installed", code="fsspec") from None
    patient = {}
    if urlsplit(url).scheme in ("s3", "s3a"):
        timeouts = {"connect_timeout": SECONDS, "read_timeout": 2 * SECONDS, "retries": {"max_attempts": 1}}
        patient = {"config_kwargs": timeouts, "skip_instance_cache": True}
    try:
        system, path = url_to_fs(url, **patient, **options)
    except ImportError as error:
        raise Refused(Trouble.NOT_INSTALLED, str(error), code=_package(url, error)) from None
    except ValueError as error:
        raise Refused(Trouble.NOT_INSTALLED, f"fsspec: {error}") from None
    except Exception as error:
        raise _refusal(error) from error
    if hasattr(system, "retries"):
        system.retries = 1
    return system, path


def _list(system: Any, path: str, pattern: str) -> tuple[dict[str, int], bool]:
    """Return the files with their sizes, and whether the path is more than one file."""
    if any(sign in path for sign in "*?["):
        return _sizes(system.glob(path, detail=True).values()), True
    try:
        found = system.info(path)
    except FileNotFoundError:
        raise
    except Exception:
        # Reading tells more: an answer to HEAD has no text.
        system.cat_file(path, start=0, end=START)
        raise
    if found["type"] == "file":
        return _sizes([found]), False
    if pattern:
        return _sizes(system.glob(f"{path.rstrip('/')}/{pattern}", detail=True).values()), True
    return _sizes(system.ls(path, detail=True)), True


def _sizes(found: Sequence[Mapping[str, Any]] | Any) -> dict[str, int]:
    return {str(each["name"]): int(each.get("size") or 0) for each in found if each["type"] == "file"}


def _package(url: str, error: ImportError) -> str:
    """Return what to install for the URL, by fsspec's own word for it."""
    words = str(error).replace("`", " ").replace('"', " ").split()
    named = [words[number + 1] for number, word in enumerate(words[:-1]) if word.lower() == "install"]
    return named[0].strip(".,") if named else urlsplit(url).scheme


def _refusal(error: BaseException) -> Refused:
    """Return what an error of a client means; clients differ, so that its class, code and causes are asked in turn."""
    chain = list(_chain(error))
    answer = next((each for each in _each(chain, "response") if isinstance(each, Mapping)), {})
    told = answer.get("Error", {})
    metadata = answer.get("ResponseMetadata", {})
    code = str(told.get("Code") or next(_each(chain, "code"), ""))
    status = metadata.get("HTTPStatusCode") or (int(code) if code.isdecimal() else 0)
    trouble = _trouble(chain, code, status)
    region = metadata.get("HTTPHeaders", {}).get("x-amz-bucket-region") or told.get("Region", "")
    url = next((str(each.get("endpoint_url", "")) for each in _each(chain, "kwargs")), "")
    words = str(chain[-1]) or type(chain[-1]).__name__
    return Refused(trouble, words, code=code, region=region if trouble is Trouble.REGION else "", url=url)


def _trouble(chain: Sequence[BaseException], code: str, status: int) -> Trouble:
    names = [type(each).__name__ for each in chain]
    numbers = {getattr(each, "errno", None) for each in chain}
    meanings = {
        Trouble.REGION: code in _REGION or status == 301,
        Trouble.BAD_CREDENTIALS: code in _BAD_CREDENTIALS,
        Trouble.NO_CREDENTIALS: any("Credential" in name for name in names) or status == 401,
        Trouble.NO_CONTAINER: code == "NoSuchBucket",
        Trouble.MISSING: any(isinstance(each, FileNotFoundError) for each in chain) or status == 404,
        Trouble.FORBIDDEN: any(isinstance(each, PermissionError) for each in chain) or status == 403,
        Trouble.UNREACHED: any(name.startswith(_NETWORK) for name in names) or bool(numbers & _NO_WAY),
        Trouble.BUSY: status in (429, 500, 502, 503, 504),
    }
    return next((trouble for trouble, meant in meanings.items() if meant), Trouble.FAILED)


def _each(chain: Sequence[BaseException], name: str) -> Iterator[Any]:
    """Give the attribute of each error that has it."""
    return (value for each in chain if (value := getattr(each, name, None)))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
