"""Locks that other processes hold on files, asked for without disturbing them."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# What a reader of SQLite locks (sqlite.org/lockingv3.html), as start and length: the pending byte and the shared ones.
_SQLITE_RANGES = ((0x40000000, 1), (0x40000002, 510))
_FLOCK = struct.Struct("@hhqqi4x")


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why a file cannot be locked for reading: the process that holds it (0 where unknown), or the system's answer."""

    pid: int = 0
    errno: int = 0


def obstacle_to_hdf5(file: Path, patience: float) -> Obstacle | None:
    """Return what keeps the HDF5 library from opening the file for reading, None where nothing does for long."""
    return _lasting(lambda: _try_shared_flock(file), patience)


def obstacle_to_sqlite(file: Path, patience: float) -> Obstacle | None:
    """Return who keeps readers from an SQLite database, None where nobody does for long."""
    return _lasting(lambda: _find_writer(file), patience)


def _lasting(look: Callable[[], Obstacle | None], patience: float) -> Obstacle | None:
    """Look until there is no obstacle any more, for at most `patience` seconds."""
    until = time.monotonic() + patience
    while (found := look()) and not found.errno and time.monotonic() < until:
        time.sleep(0.05)
    return found


def _try_shared_flock(file: Path) -> Obstacle | None:
    with suppress(FileNotFoundError, PermissionError), open(file, "rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return Obstacle(pid=_holder(opened.fileno()))
            return Obstacle(errno=error.errno or errno.EIO)
    return None


def _find_writer(file: Path) -> Obstacle | None:
    if sys.platform != "linux":
        return None
    with suppress(FileNotFoundError, PermissionError), open(file, "rb") as opened:
        for start, length in _SQLITE_RANGES:
            asked = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, start, length, 0)
            try:
                kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(opened, fcntl.F_GETLK, asked))
            except OSError as error:
                return Obstacle(errno=error.errno or errno.EIO)
            if kind != fcntl.F_UNLCK:
                return Obstacle(pid=max(pid, 0))
    return None


def _holder(descriptor: int) -> int:
    """Return the process that holds a flock on the same file (proc_locks(5)), 0 where that cannot be seen."""
    facts = os.fstat(descriptor)
    mark = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if mark in words and "FLOCK" in words and "->" not in words:
                return int(words[words.index(mark) - 1])
    return 0
