"""One check at a time works on a device: two would disturb each other, and some devices admit one process only."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def alone_on(devices: Iterable[int], folder: Path, seconds: float) -> Iterator[bool]:
    """Hold the devices against other checks of the run that `folder` belongs to; give False where it takes too long."""
    until = time.monotonic() + seconds
    with ExitStack() as held:
        # All take them in the same order, so that nobody waits in a circle.
        yield all(_taken(folder / f"device-{number}.lock", held, until) for number in sorted(devices))


def _taken(file: Path, held: ExitStack, until: float) -> bool:
    opened = held.enter_context(file.open("a"))
    while not _try(opened):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    # Closing is not enough: a child that the kernel will not let go of has the file open as well.
    held.callback(fcntl.flock, opened, fcntl.LOCK_UN)
    return True


def _try(opened: IO[str]) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
