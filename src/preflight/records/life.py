"""The process that a run is: how to find it again, and whether it still lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A process that cannot be mistaken for another one.

    `host` is the machine's name, `boot` the id of its start (empty where the system has none), `space` the namespace of
    process ids, `pid` the process and `started` when it began, in the kernel's ticks since the start of the machine (on
    Linux) or in seconds since 1970.
    """

    host: str
    pid: int
    started: float = 0.0
    boot: str = ""
    space: str = ""

    @classmethod
    def of(cls, pid: int | None = None) -> Life:
        """Return a process of this machine, by default this one."""
        pid = os.getpid() if pid is None else pid
        return cls(host=host(), pid=pid, started=_started(pid) or 0.0, boot=boot(), space=_space())

    @property
    def is_alive(self) -> bool | None:
        """Whether it lives; None where that cannot be seen from here."""
        if self.host != host():
            return None
        if self.boot != boot():
            # One name, two starts: of this machine, or of two containers on two machines.
            return None if self.space != _space() else False
        if self.space != _space():
            return None
        now = _started(self.pid)
        return now is not None and (not self.started or now == self.started)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Life:
        """Read what `to_json` wrote; raises TypeError where something is missing or of another type."""
        names = {each.name for each in fields(cls)}
        life = cls(**{key: value for key, value in data.items() if key in names})
        if not all(isinstance(each, str) for each in (life.host, life.boot, life.space)):
            raise TypeError("a process without the name of its host")
        if not (isinstance(life.pid, int) and isinstance(life.started, int | float)):
            raise TypeError("a process without a number")
        return life


def host() -> str:
    """Return the name of this machine; in a job of Slurm that of its node, which is the name that Slurm knows."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


@cache
def boot() -> str:
    """Return the id of this start of the machine, empty where the system has none."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


@cache
def _space() -> str:
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def _started(pid: int) -> float | None:
    """Return when a process began, None where there is none; one that has died but was not waited for is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None if os.path.exists("/proc/self/stat") else _started_elsewhere(pid)
    except ProcessLookupError:
        return None
    # proc(5): the name in brackets may hold anything; after it the state is the third field, the start the 22nd.
    words = text.rpartition(")")[2].split()
    return None if words[0] in "ZX" else float(words[19])


def _started_elsewhere(pid: int) -> float | None:
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return 0.0
