"""All that descends from the program: found, counted, asked, killed."""

from __future__ import annotations

import contextlib
import os
import signal
import time


class Processes:
    """All that descends from the program: counted, asked, killed."""

    def __init__(self, alone: bool) -> None:
        self.alone = alone

    def all(self) -> list[int]:
        """Return the ids of what lives beside this process."""
        if self.alone:
            return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]
        found: list[int] = []
        unseen = [os.getpid()]
        while unseen:
            unseen = [child for pid in unseen for child in children_of(pid)]
            found += unseen
        return found

    def tell(self, number: int) -> None:
        """Send a signal to all of them."""
        for pid in self.all():
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Kill all of them, those included that are born meanwhile."""
        until = time.monotonic() + 2.0
        self.tell(signal.SIGSTOP)
        while time.monotonic() < until and self.all():
            self.tell(signal.SIGKILL)
            reap()
            time.sleep(0.005)

    def states(self) -> dict[int, tuple[str, int]]:
        """Return the state of each, and the processor time in clock ticks that it has had."""
        return {pid: state_of(pid) for pid in self.all()}


def children_of(pid: int) -> list[int]:
    """Return the children of all threads of a process (proc(5))."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        return [int(word) for task in tasks for word in read(f"/proc/{pid}/task/{task}/children").split()]
    except OSError:
        return []


def state_of(pid: int) -> tuple[str, int]:
    """Return the letter of a process's state, and the time that it, and what it has waited for, had (proc(5))."""
    try:
        words = read(f"/proc/{pid}/stat").rpartition(b") ")[2].split()
    except OSError:
        return "", 0
    return words[0].decode(), sum(map(int, words[11:15]))


def read(path: str) -> bytes:
    """Return the bytes of a file of the kernel's."""
    with open(path, "rb") as file:
        return file.read()


def reap() -> dict[int, int]:
    """Take the exit codes of all that has ended; return them by process id."""
    codes: dict[int, int] = {}
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            codes[ended[0]] = os.waitstatus_to_exitcode(ended[1])
    except ChildProcessError:
        pass
    return codes


def name_of(pid: int) -> list[str]:
    """Return the words of a process's command line; none for a zombie."""
    try:
        return read(f"/proc/{pid}/cmdline").decode("utf-8", "replace").split("\0")[:-1]
    except OSError:
        return []
