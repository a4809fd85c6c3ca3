"""Looks after the program until it ends or has to be ended."""

from __future__ import annotations

import os
import signal
import time

from preflight.rehearsal.keeper.processes import Processes, name_of, reap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# Asks each Python of the program for its stack; see `inside/start.py`.
TELL_STACK = signal.SIGRTMAX - 2 if hasattr(signal, "SIGRTMAX") else None
PAUSE = 0.05
# How long helpers of a program that has ended (a tracker's, a pool's) may take to follow it.
GRACE = 3.0
# Running or about to, and reading or writing.
_WANTS = ("R", "D")


class Watch:
    """Looks after the program until it ends or has to be ended."""

    def __init__(self, specification: dict[str, Any], processes: Processes, room: int) -> None:
        self.specification, self.processes, self.room = specification, processes, room
        self.began = self.looked = self.active = time.monotonic()
        self.states: dict[int, tuple[str, int]] = {}

    def until_end(self, pid: int) -> dict[str, Any]:
        """Return how the program `pid` ended: its code, or why it had to be stopped."""
        stopped = ""
        while not stopped:
            codes = reap()
            if pid in codes:
                return {"code": codes[pid], "left": self._left(), "stopped": "full" if self._is_full(2) else ""}
            stopped = self._too_much()
            time.sleep(PAUSE)
        idle = time.monotonic() - self.active
        if stopped == "time" and TELL_STACK is not None:
            self.processes.tell(TELL_STACK)
            time.sleep(0.3)
        return {"code": None, "stopped": stopped, "idle": idle, "left": []}

    def _too_much(self) -> str:
        now = time.monotonic()
        if now > self.began + self.specification["seconds"]:
            return "time"
        if self._is_full(1):
            return "full"
        # Soon, where that is cheap: what grows without end makes the whole machine slow.
        if self.processes.alone and len(self.processes.all()) > self.specification["processes"]:
            return "processes"
        if now < self.looked + 0.5:
            return ""
        self.looked = now
        states = self.processes.states()
        if self._is_working(states):
            self.active = now
        self.states = states
        return "processes" if len(states) > self.specification["processes"] else ""

    def _is_working(self, states: dict[int, tuple[str, int]]) -> bool:
        """Tell whether something was done since the last look: a process ran, wants to, began, ended, or reads."""
        if states.keys() != self.states.keys():
            return True
        return any(_has_worked(now, self.states[pid]) for pid, now in states.items())

    def _is_full(self, times: int) -> bool:
        if self.room < 0:
            return False
        facts, floor = os.fstatvfs(self.room), int(self.specification["floor"])
        few = bool(facts.f_files) and facts.f_favail < 100 * times
        return few or facts.f_bavail * facts.f_frsize < floor * times

    def _left(self) -> list[dict[str, Any]]:
        """Return the command lines of what stays when the program has ended."""
        until = time.monotonic() + GRACE
        while (left := self.processes.all()) and time.monotonic() < until:
            reap()
            time.sleep(PAUSE)
        return [{"pid": pid, "argv": name_of(pid)} for pid in left if name_of(pid)]


def _has_worked(now: tuple[str, int], then: tuple[str, int]) -> bool:
    """Tell whether a process did something between two looks: more than to see whether what it waits for has come."""
    ticks = abs(now[1] - then[1])
    # More than a hundredth of a second within half of one: less is what threads need that only wait.
    is_busy = ticks > os.sysconf("SC_CLK_TCK") / 100
    return is_busy or (now[0] in _WANTS and (ticks > 0 or then[0] in _WANTS))
