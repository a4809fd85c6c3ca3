"""What really happens in a folder when a file is written, read, locked or run there, tried with files of our own."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from preflight.system import disk
from preflight.system.watched import at

PROBE = ".preflight-probe-"
STALE = 3600.0
SCRIPT = b"#!/bin/sh\nexit 0\n"
_BLOCK = 1 << 16
# File systems that set room aside without writing it; in memory it would be taken for real.
_RESERVING = {"btrfs", "ext4", "f2fs", "gpfs", "lustre", "nfs4", "xfs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The step that failed, the system's answer, and how many bytes had been written.

    `errno` is 0 where the bytes read back were not those written.
    """

    step: str
    errno: int
    written: int = 0


Steps = list[tuple[str, Callable[[], object]]]


def try_to_write(folder: Path, size: int) -> Refusal | None:
    """Write `size` bytes into a file of our own in `folder`, flush, append, truncate, rename, read back, delete it.

    Return what was refused first. Nothing stays behind; what an earlier, killed attempt left is removed after an hour.
    """
    at(folder)
    _remove_stale(folder)
    probe = _new_name(folder)
    renamed = probe.with_name(probe.name + "-renamed")
    block = os.urandom(_BLOCK)
    steps: Steps = [
        ("write", lambda: _write(probe, block, size)),
        ("append", lambda: _append(probe)),
        ("truncate", lambda: os.truncate(probe, size)),
        ("rename", lambda: os.rename(probe, renamed)),
        ("read back", lambda: _compare(renamed, block, size)),
        ("delete", lambda: os.unlink(renamed)),
    ]
    return _first_refusal(steps, leftovers=(probe, renamed))


def try_to_reserve(folder: Path, size: int) -> Refusal | None:
    """Have the file system set `size` bytes aside for a file without a name, and give them back at once.

    A quota is met so without writing as much. None where the file system cannot do that, too.
    """
    if sys.platform != "linux" or disk.mount_of(folder).type not in _RESERVING:
        return None
    probe = _new_name(folder)
    try:
        descriptor = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.unlink(probe)
    except OSError:
        return None
    try:
        number = _allocate(descriptor, size)
    finally:
        os.close(descriptor)
    return Refusal(step="reserve", errno=number) if number in (errno.EDQUOT, errno.ENOSPC, errno.EFBIG) else None


def try_to_read(path: Path) -> Refusal | None:
    """List a folder, or read the first byte of a file."""

    def read() -> None:
        at(path)
        if path.is_dir():
            os.scandir(path).close()
        else:
            with open(path, "rb") as file:
                file.read(1)

    return _first_refusal([("read", read)])


def try_to_append(file: Path) -> Refusal | None:
    """Open an existing file for writing, without writing to it."""
    at(file)
    return _first_refusal([("open", lambda: os.close(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)))])


def try_to_execute(folder: Path) -> Refusal | None:
    """Write a tiny script into `folder`, map it as code the way libraries are, run it and delete it."""
    probe = _new_name(folder)
    steps: Steps = [
        ("write", lambda: _write(probe, SCRIPT, len(SCRIPT), mode=0o700)),
        ("map", lambda: _map_as_code(probe)),
        ("run", lambda: _run(probe)),
    ]
    return _first_refusal(steps, leftovers=(probe,))


def try_to_lock(folder: Path) -> Refusal | None:
    """Lock a file of our own in `folder` in both ways that libraries use: flock(2), and fcntl(2)."""
    import fcntl

    probe = _new_name(folder)
    with suppress(OSError), open(probe, "xb") as file:
        steps: Steps = [
            ("flock", lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)),
            ("fcntl", lambda: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)),
        ]
        return _first_refusal(steps, leftovers=(probe,))
    return None


def try_to_listen(folder: Path) -> Refusal | None:
    """Bind a Unix socket in `folder`, under a name as long as those that multiprocessing makes there."""
    import socket

    inner = folder / f"pymp-{secrets.token_hex(4)}"
    place = inner / f"listener-{secrets.token_hex(4)}"

    def bind() -> None:
        with socket.socket(socket.AF_UNIX) as server:
            try:
                server.bind(str(place))
            except OSError as error:
                # Python's own answer to a name that is too long has no number.
                raise error if error.errno else OSError(errno.ENAMETOOLONG, str(error)) from None

    try:
        os.mkdir(inner, 0o700)
    except OSError:
        return None
    try:
        return _first_refusal([("listen", bind)], leftovers=(place,))
    finally:
        os.rmdir(inner)


def folds_case(folder: Path) -> bool:
    """Tell whether a name in `folder` is found however its letters are written; False where that cannot be tried."""
    probe = _new_name(folder)
    try:
        _write(probe, b"", 0)
        return os.path.exists(probe.with_name(probe.name.upper()))
    except OSError:
        return False
    finally:
        _remove(probe)


def clock_lead(folder: Path) -> float:
    """Return by how many seconds the clock of the file system is ahead of ours; 0 where that cannot be told."""
    probe = _new_name(folder)
    try:
        before = time.time()
        _write(probe, b"x", 1)
        written, after = os.stat(probe).st_mtime, time.time()
    except OSError:
        return 0.0
    finally:
        _remove(probe)
    return written - after if written > after else min(0.0, written - before)


def _first_refusal(steps: Steps, leftovers: tuple[Path, ...] = ()) -> Refusal | None:
    try:
        for step, do in steps:
            try:
                do()
            except OSError as error:
                return Refusal(step=step, errno=error.errno or 0, written=sum(map(_size, leftovers)))
        return None
    finally:
        for leftover in leftovers:
            _remove(leftover)


def _new_name(folder: Path) -> Path:
    return folder / f"{PROBE}{os.getpid()}-{secrets.token_hex(4)}"


def _size(file: Path) -> int:
    with suppress(OSError):
        return os.path.getsize(file)
    return 0


def _remove(file: Path) -> None:
    with suppress(OSError):
        os.unlink(file)


def _write(path: Path, block: bytes, size: int, mode: int = 0o600) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        left = size
        while left > 0:
            left -= os.write(descriptor, block[:left])
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
    finally:
        os.close(descriptor)


def _append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"x")


def _compare(path: Path, block: bytes, size: int) -> None:
    with open(path, "rb") as file:
        for start in range(0, size, _BLOCK):
            if file.read(_BLOCK) != block[: size - start]:
                raise OSError(0, "other bytes came back")


def _allocate(descriptor: int, size: int) -> int:
    """Return the error of fallocate(2), 0 for none; the C library's posix_fallocate would write every block."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.fallocate(descriptor, 0, ctypes.c_longlong(0), ctypes.c_longlong(size))
    return ctypes.get_errno() if failed else 0


def _map_as_code(path: Path) -> None:
    import mmap

    with open(path, "rb") as file:
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()


def _run(path: Path) -> None:
    process = os.posix_spawn(path, [str(path)], os.environ)
    _, status = os.waitpid(process, 0)
    if status:
        raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC))


def _remove_stale(folder: Path) -> None:
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(PROBE):
                facts = entry.stat(follow_symlinks=False)
                ours = facts.st_uid == os.geteuid() and stat.S_ISREG(facts.st_mode)
                if ours and time.time() - facts.st_mtime > STALE:
                    os.unlink(entry.path)
