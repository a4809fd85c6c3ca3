"""The limits that the job has here, whatever the machine has: memory, shared memory, open files, processes."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from preflight.system import disk, processes

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
# cgroup v1 writes "no limit" as the largest multiple of the page size; no machine has half of that.
_NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit, what sets it (`ulimit -v`, a control group's file, `the machine`), and what is used of it already."""

    value: int
    source: str
    used: int = 0

    @property
    def left(self) -> int:
        """What is not used yet."""
        return max(0, self.value - self.used)


def memory() -> Limit:
    """Return how many bytes of memory the job may have."""
    found = [Limit(value=_machine_memory(), source="the machine")]
    found += [
        Limit(value=value, source=str(file))
        for file, value in _cgroup_values("memory", "memory.max", "memory.limit_in_bytes")
    ]
    if (soft := resource.getrlimit(resource.RLIMIT_AS)[0]) != resource.RLIM_INFINITY:
        found.append(Limit(value=soft, source="ulimit -v"))
    return min(found, key=lambda limit: limit.value)


def available_memory() -> int:
    """Return the bytes that the machine could give to a new job now."""
    import psutil

    return int(psutil.virtual_memory().available)


def oom_kills() -> int:
    """Return how many processes of this machine the kernel has killed for want of memory since it started."""
    with suppress(OSError, ValueError), open("/proc/vmstat", "rb") as file:
        return next((int(line.split()[1]) for line in file if line.startswith(b"oom_kill ")), 0)
    return 0


def shared_memory() -> disk.Room | None:
    """Return the room in /dev/shm, None where there is none."""
    try:
        return disk.room_of(SHARED_MEMORY)
    except OSError:
        return None


def open_files() -> tuple[int, int]:
    """Return how many files a process may open, and up to how many it may raise that itself; -1 is no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft, hard


def tasks() -> Limit | None:
    """Return the limit of processes and threads that leaves the least room, None where there is none."""
    found = []
    for file, value in _cgroup_values("pids", "pids.max", "pids.max"):
        used = _number(file.with_name("pids.current")) or 0
        found.append(Limit(value=value, source=str(file), used=used))
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if soft != resource.RLIM_INFINITY and os.geteuid() != 0:
        found.append(Limit(value=soft, source="ulimit -u", used=processes.count_tasks(os.getuid())))
    return min(found, key=lambda limit: limit.left, default=None)


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cgroup_values(controller: str, unified: str, legacy: str) -> Iterator[tuple[Path, int]]:
    """Give each limit on the way from the job's control group up to the root, with the file that sets it."""
    for folder, top, version in _cgroups(controller):
        for each in (folder, *folder.parents):
            file = each / (unified if version == 2 else legacy)
            value = _number(file)
            if value is not None and value < _NO_LIMIT:
                yield file, value
            if each == top:
                break


def _cgroups(controller: str) -> Iterator[tuple[Path, Path, int]]:
    """Give the job's group in the hierarchies that may hold `controller`: its folder, the mount's, the version."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    mounts = [mount for mount in disk.mounts() if mount.type in ("cgroup", "cgroup2")]
    for line in lines:
        _, names, group = line.split(":", 2)
        for mount in mounts:
            version = 2 if mount.type == "cgroup2" else 1
            if (version == 2 and not names) or (
                version == 1 and controller in names.split(",") and controller in mount.options
            ):
                top = Path(mount.point)
                folder = top / group.lstrip("/")
                # Inside a container the group's name may be the host's, while only its own folder is mounted.
                yield (folder if folder.is_dir() else top), top, version


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
