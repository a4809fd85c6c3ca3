"""How a file is put in the place of another: at any moment the old one is there or the new one, and never a part."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from preflight.errors import UserError

_PART = re.compile(r"\.preflight-[0-9a-f]{16}\.part")
# A part that nobody has finished in this time belongs to a process that was killed.
_FORGOTTEN = 3600.0
_FIXES = {
    errno.ENOSPC: "Free space on its disk",
    errno.EDQUOT: "Free space within your quota",
    errno.EROFS: "Mount its file system for writing",
    errno.EACCES: "Get the right to write to its folder",
    errno.EPERM: "Get the right to write to its folder",
}


def replace(files: Mapping[Path, bytes], *, mode: int | None = None, durable: bool = True) -> None:
    """Write each file whole or not at all, and none of them before the bytes of all are on the disk.

    Links are followed, and a file that was there keeps its mode and its owner unless `mode` says otherwise. Each rename
    is atomic, so that two processes at once leave one or the other; a process that is killed leaves at most hidden
    parts, which a later call removes. `durable` waits for the disk. Raises OSError with the file's name.
    """
    parts: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            target = Path(os.path.realpath(path))
            _sweep(target.parent)
            with _named(path):
                parts[target] = target.with_name(f".preflight-{os.urandom(8).hex()}.part")
                _write(parts[target], data, _facts(target), mode, durable=durable)
        for target, part in list(parts.items()):
            with _named(target):
                os.replace(part, target)
            del parts[target]
        if durable:
            for folder in {os.path.dirname(os.path.realpath(path)) for path in files}:
                settle(folder)
    finally:
        for part in parts.values():
            with suppress(OSError):
                part.unlink()


def save(files: Mapping[Path, bytes], *, mode: int | None = None) -> None:
    """Do what `replace` does; raises UserError, in one line, where that is not possible."""
    try:
        replace(files, mode=mode)
    except OSError as problem:
        fix = _FIXES.get(problem.errno or 0, "")
        raise UserError(
            f"the file cannot be written: {problem.strerror}", where=str(problem.filename), fix=fix
        ) from None


def settle(folder: str) -> None:
    """Wait until the names in a folder are on the disk; some file systems cannot tell."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Give an OSError the name of the file that the user knows, not that of a part."""
    try:
        yield
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(path)) from None


def _facts(target: Path) -> os.stat_result | None:
    try:
        return os.stat(target)
    except FileNotFoundError:
        return None


def _write(part: Path, data: bytes, old: os.stat_result | None, mode: int | None, *, durable: bool) -> None:
    with open(part, "xb") as file:
        if old is not None:
            with suppress(OSError):  # only root gives files away
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
            os.fchmod(file.fileno(), old.st_mode & 0o7777)
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def _sweep(folder: Path) -> None:
    """Remove what killed processes have left."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _PART.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > _FORGOTTEN:
                os.unlink(entry.path)
