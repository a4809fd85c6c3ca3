"""Work on files that may never answer, in a process of its own, so that a dead mount is told and not waited for."""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from typing import Any, NoReturn

from preflight.system import kernel

# Longer than a disk needs to wake up or an automounter to mount, shorter than anybody likes to wait.
PATIENCE = 10.0
_GLANCE = 0.2
_LENGTH = struct.Struct("=I")
_MOST = 1 << 14
_trail: mmap | None = None


class NoAnswer(Exception):
    """A system call about a file does not return; `path` is what it is about, `seconds` how long it was waited for."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__(f"{path} does not answer within {seconds:g} s")
        self.path = path
        self.seconds = seconds


def at(path: str | Path) -> None:
    """Leave word which path is looked at next; costs nothing where nobody watches."""
    if _trail is not None:
        name = os.fsencode(path)[: _MOST - _LENGTH.size]
        _trail[: _LENGTH.size + len(name)] = _LENGTH.pack(len(name)) + name


def watched(work: Callable[[], Any], deadline: float) -> Any:
    """Return what `work` returns in a process of its own; raises what it raises.

    Raises NoAnswer where that process has stood still, neither computing nor woken, for `PATIENCE` seconds, or for half
    of `deadline` where that is less. However long it takes, it may go on as long as it moves. A process that the kernel
    does not let go of is left behind.
    """
    patience = min(PATIENCE, deadline / 2)
    trail = mmap(-1, _MOST)
    read, write = os.pipe()
    with warnings.catch_warnings():
        # The threads that Python 3.12 warns of are the watchdog's, which hold nothing that `work` wants.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _answer(work, write, trail)
    os.close(write)
    try:
        answer = _wait_for(pid, read, patience)
    finally:
        os.close(read)
    if answer is None:
        (length,) = _LENGTH.unpack(trail[: _LENGTH.size])
        raise NoAnswer(os.fsdecode(trail[_LENGTH.size : _LENGTH.size + length]), patience)
    _, status = os.waitpid(pid, 0)
    if not answer:
        raise ChildProcessError(f"the process that looks at files ended with status {status}")
    value, problem = pickle.loads(answer)  # noqa: S301 - from ourselves
    if problem is not None:
        raise problem
    return value


def _answer(work: Callable[[], Any], write: int, trail: mmap) -> NoReturn:
    global _trail  # noqa: PLW0603 - this process has no other work
    _trail = trail
    kernel.die_with_parent(signal.SIGKILL)
    try:
        try:
            answer: tuple[Any, BaseException | None] = (work(), None)
        except Exception as problem:  # noqa: BLE001 - whatever it is, it is raised again
            answer = (None, problem)
        data = memoryview(pickle.dumps(answer))
        while data:
            data = data[os.write(write, data) :]
    finally:
        os._exit(0)


def _wait_for(pid: int, read: int, patience: float) -> bytes | None:
    """Return what the process wrote, None where it has stood still for too long and was killed."""
    answer = bytearray()
    poll = select.poll()
    poll.register(read, select.POLLIN)
    last, since = "", time.monotonic()
    while True:
        if poll.poll(min(_GLANCE, patience) * 1000):
            if not (piece := os.read(read, 1 << 20)):
                return bytes(answer)
            answer += piece
        elif (now := _movement(pid)) != last or not now:
            last, since = now, time.monotonic()
        elif time.monotonic() - since >= patience:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return None


def _movement(pid: int) -> str:
    """Return how long the process has run and how often it was woken; empty where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii")
    except OSError:
        return ""
