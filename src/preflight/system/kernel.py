"""What the kernel does for a process that looks after others; where it does not, nothing happens."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

_SET_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36


def _load_libc() -> Any:
    if sys.platform != "linux":
        return None
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


_libc = _load_libc()


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send `signal_number` to this process when the thread that started it ends (prctl(2))."""
    if _libc is not None:
        _libc.prctl(_SET_DEATH_SIGNAL, signal_number, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, so that none can slip away (prctl(2))."""
    if _libc is not None:
        _libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def release_orphans() -> None:
    """Take `adopt_orphans` back, which a program that this process becomes would inherit."""
    if _libc is not None:
        _libc.prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def nameless_file() -> int:
    """Return a file descriptor to an empty file without a name, in memory where the kernel can."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("preflight")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def kill_group(pid: int) -> None:
    """Kill a process and the group that it leads; what is gone already is no mistake."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def process_state(pid: int) -> str:
    """Return the letter of `/proc/PID/stat` (R, S, D, T, Z …), empty where it cannot be read (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1].decode()
    except OSError:
        return ""


def children_of(pid: int) -> list[int]:
    """Return the process ids of the living children of `pid`."""
    with suppress(OSError):
        folders = [f"/proc/{pid}/task/{thread}" for thread in os.listdir(f"/proc/{pid}/task")]
        return [int(word) for folder in folders for word in Path(folder, "children").read_text().split()]
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []
