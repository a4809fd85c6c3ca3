"""Zip archives and compressed files, measured and read to the end without a byte of theirs being written anywhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any

BLOCK = 1 << 20
LARGE = 4 << 30
MANY_TIMES = 100
_MODULES = {".gz": "gzip", ".tgz": "gzip", ".bz2": "bz2", ".xz": "lzma"}
COMPRESSED = frozenset(_MODULES)


class Unreadable(Exception):
    """A part of the content cannot be read; the text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What an archive would become: bytes on disk, bytes unpacked, and members that lead out of the folder."""

    size: int = 0
    unpacked: int = 0
    outside: tuple[str, ...] = ()

    @property
    def is_bomb(self) -> bool:
        """Tell whether it grows so much that no data does."""
        return self.unpacked > LARGE and self.unpacked > MANY_TIMES * self.size


def measure(path: str) -> Measures:
    """Return what the directory of a zip archive announces; raises Unreadable where it has none that can be read."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as problem:
        raise Unreadable(str(problem)) from None
    outside = _leading_out(each.filename for each in members)
    unpacked = sum(each.file_size for each in members)
    return Measures(size=os.path.getsize(path), unpacked=unpacked, outside=outside)


def read_zip(path: str, seconds: float | None = None) -> None:
    """Compare the content of every member with its checksum; raises Unreadable at the first that differs.

    After so many seconds the rest is left. An encrypted member is passed over, and so is an archive that would grow
    beyond all measure.
    """
    import zipfile
    import zlib

    if measure(path).is_bomb:
        return
    until = None if seconds is None else time.monotonic() + seconds
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.flag_bits & 1:
                continue
            try:
                with archive.open(member) as stream:
                    if not _drain(stream, until):
                        return
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, OverflowError) as problem:
                raise Unreadable(f"its member {member.filename}: {problem}") from None
            except (NotImplementedError, RuntimeError):  # a compression that this Python does not have
                continue


def read_compressed(path: str, seconds: float | None = None) -> bool:
    """Decompress a file of gzip, bzip2 or xz into nothing, for so many seconds at most, and tell whether it was all.

    Raises Unreadable where the content is damaged or ends early.
    """
    import lzma
    import zlib

    try:
        with open_text(path) as stream:
            return _drain(stream, None if seconds is None else time.monotonic() + seconds)
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as problem:
        raise Unreadable(str(problem)) from None


def open_text(path: str) -> IO[bytes]:
    """Open a file of text for reading bytes, decompressed as its last suffix says."""
    from importlib import import_module

    module: Any = import_module(_MODULES.get(os.path.splitext(path)[1].lower(), "io"))
    stream: IO[bytes] = module.open(path, "rb")
    return stream


def _drain(stream: IO[bytes], until: float | None = None) -> bool:
    """Read to the end, and no longer than `until`."""
    while stream.read(BLOCK):
        if until is not None and time.monotonic() > until:
            return False
    return True


def _leading_out(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name.startswith("/") or ".." in name.replace("\\", "/").split("/"))
