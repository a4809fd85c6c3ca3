"""A child that asks a driver and tells each answer as it comes: it may die of a question, or never hear an answer."""

from __future__ import annotations

import json
import os
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from select import select
from typing import Any, Self

Tell = Callable[..., None]

# How long a killed child may take to be gone; one that the kernel holds in a call to a dead device is left behind.
_GRACE = 0.5


class Silent(Exception):
    """The child has told nothing for as long as it was waited for."""


class Died(Exception):
    """The child is gone before it had told everything."""


class Asking:
    """A fork of this process that does `work(tell)`; `tell(name=value)` takes what JSON holds."""

    def __init__(self, work: Callable[[Tell], None]) -> None:
        self._fd, write = os.pipe()
        self._rest = b""
        with warnings.catch_warnings():
            # Python 3.12 warns where there are threads; this child asks, tells and leaves without them.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            os.close(self._fd)
            _tell_all(work, write)
        os.close(write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        until = time.monotonic() + _GRACE
        while not os.waitpid(self._pid, os.WNOHANG)[0] and time.monotonic() < until:
            time.sleep(0.002)

    def hear(self, seconds: float) -> dict[str, Any] | None:
        """Return what is told next, None once everything was; raises Silent after `seconds`, and Died."""
        until = time.monotonic() + seconds
        while b"\n" not in self._rest:
            if not select([self._fd], [], [], max(0.0, until - time.monotonic()))[0]:
                raise Silent
            data = os.read(self._fd, 1 << 16)
            if not data:
                raise Died
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        told: dict[str, Any] | None = json.loads(line)
        return told


def _tell_all(work: Callable[[Tell], None], fd: int) -> None:
    def tell(**told: Any) -> None:
        os.write(fd, json.dumps(told).encode() + b"\n")

    try:
        work(tell)
        os.write(fd, b"null\n")
    finally:
        os._exit(0)
