"""The phrases that the messages of several checks share."""

import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path

_SIGNALS = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "abort",
    signal.SIGBUS: "bus error, often a full /dev/shm or a file that shrank while mapped",
    signal.SIGILL: "illegal instruction, often a build for another processor",
    signal.SIGFPE: "arithmetic error",
    signal.SIGKILL: "killed from outside, often for want of memory",
}


def in_a_row(names: Sequence[object], most: int = 3) -> str:
    """Return `a, b, c and 7 more`."""
    shown = ", ".join(str(name) for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return `1 file` or `2,000 files`; `plural` where an s is not enough."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def without_secrets(url: str) -> str:
    """Return a URL without user and password, and without the query, where signatures and tokens stand."""
    return re.sub(r"(://)(?:[^/?#]*@)?([^?]*)(\?.*)?", r"\1\2", url, flags=re.DOTALL)


def shown(path: str | Path) -> str:
    """Return a path as seen from the working directory, whole where it lies outside of that."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def no_answer(path: str, seconds: float, place: str) -> dict[str, str]:
    """Return message, cause and fix where a file system hangs; `place` is what is mounted there."""
    return {
        "message": f"{shown(path)} hangs: it does not answer within {seconds:.2g} s",
        "cause": f"{place} is blocked, as a network file system is whose server is gone or out of reach",
        "fix": "Ask whether its server is up and mount it again, or run on another node",
    }


def signal_name(number: int) -> str:
    """Return `SIGSEGV (segmentation fault)` for 11, and the like."""
    try:
        known = signal.Signals(number)
    except ValueError:
        return f"signal {number}"
    meaning = _SIGNALS.get(known)
    return f"{known.name} ({meaning})" if meaning else known.name
