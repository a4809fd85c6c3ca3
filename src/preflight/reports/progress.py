"""What a person sees while the checks run: one live line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import TextIO

from preflight.model import LOCAL, Result, Severity, Status
from preflight.reports.terminal import SHOWN, STYLES, colored, uncolored
from preflight.reports.text import clipped, has_colors, is_live, printable, visible
from preflight.verdict import unignored

SLOW = 3.0  # seconds after which a check is named for being slow
SILENCE = 10.0  # seconds between two lines where nothing can be rewritten
_FEW = 8  # nodes that are named
ERASE = "\r\x1b[K"


class Progress:
    """Watches a run and tells it on `stream`, by default the standard error.

    A stream that goes away while the run lasts is no reason to end it: from then on nothing is told.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._live = is_live(self._stream)
        self._paint = colored if self._live and has_colors(self._stream) else uncolored
        self._told: Counter[str] = Counter()
        self._running: dict[str, dict[str, float]] = {}
        self._planned = 0
        self._done = 0
        self._last_said = clock()
        self._line = ""

    def planned(self, ids: Sequence[str], _place: str = LOCAL) -> None:
        """Learn which checks there will be, besides those that were planned before."""
        self._planned += len(ids)

    def started(self, check: str, place: str = LOCAL) -> None:
        """Learn that a check runs."""
        self._running.setdefault(check, {})[place] = self._clock()

    def ended(self, result: Result) -> None:
        """Learn how a check ended; FAILED and BROKEN are told at once on a terminal, a few of each function."""
        places = self._running.get(result.check, {})
        places.pop(result.place, None)
        if not places:
            self._running.pop(result.check, None)
        self._done += 1
        function = result.check.partition("[")[0]
        if self._live and result.status in (Status.FAILED, Status.BROKEN) and self._told[function] < SHOWN:
            self._told[function] += 1
            errors = unignored(result, Severity.ERROR)
            why = clipped(errors[0].message if errors else result.reason)
            name = visible(_at(result.check, [result.place]))
            self._write(f"{ERASE}{self._paint(result.status, STYLES[result.status])} {name}  {why}\n")
            self._line = ""

    def tick(self) -> None:
        """Let time pass: the live line is drawn again, or what has been slow for long is told."""
        now = self._clock()
        slow = self._slow(now)
        if self._live:
            self._show(slow)
        elif slow and now - self._last_said >= SILENCE:
            self._write(f"preflight: {self._done}/{self._planned} done, still running: {', '.join(slow)}\n")
            self._last_said = now

    def close(self) -> None:
        """Leave no half line behind."""
        if self._line:
            self._write(ERASE)
            self._line = ""

    def _show(self, slow: Sequence[str]) -> None:
        running = (
            f"still running: {', '.join(slow)}" if slow else ", ".join(_at(*each) for each in self._running.items())
        )
        line = visible(f"{self._done}/{self._planned}  {running}" if self._planned else "starting")
        # ASCII, so that a character is a column and the line never wraps: only then can it be erased.
        line = line.encode("ascii", "backslashreplace").decode("ascii")[: self._columns() - 1]
        if line != self._line:
            self._write(f"{ERASE}{line}")
            self._line = line

    def _slow(self, now: float) -> list[str]:
        """Return what has been running for long, the slowest first, with its time."""
        # Of each check the place where it began first, which is the first there is.
        waited = [(now - next(iter(places.values())), _at(check, places)) for check, places in self._running.items()]
        return [
            f"{visible(name)} {int(seconds)} s" for seconds, name in sorted(waited, reverse=True) if seconds >= SLOW
        ]

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def _write(self, text: str) -> None:
        try:
            self._stream.write(printable(text, self._stream))
            self._stream.flush()
        except (OSError, ValueError):
            self._live, self._last_said = False, float("inf")


def _at(check: str, places: Collection[str]) -> str:
    """Return the name of a check and, where there are many places, of those where it runs."""
    if LOCAL in places:
        return check
    from preflight.nodesets import fold

    return f"{check} at {fold(places) if len(places) <= _FEW else f'{len(places):,} nodes'}"
