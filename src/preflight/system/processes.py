"""Other processes: who holds a port, and how many tasks a user has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process as far as this user may see it."""

    pid: int
    name: str
    user: str


def holder_of(port: int) -> Process | None:
    """Return the process that listens on a TCP port, None where it is another user's and so cannot be seen."""
    import psutil

    try:
        sockets = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return None
    for socket in sockets:
        if socket.laddr and socket.laddr.port == port and socket.status == psutil.CONN_LISTEN and socket.pid:
            return _process(socket.pid)
    return None


def name_of(pid: int) -> str:
    """Return the name of a process, empty where it cannot be seen."""
    return _process(pid).name


def count_tasks(uid: int) -> int:
    """Return how many threads of this user run, which is what RLIMIT_NPROC counts."""
    import psutil

    tasks = 0
    for process in psutil.process_iter():
        try:
            tasks += process.num_threads() if process.uids().real == uid else 0
        except psutil.Error:
            continue
    return tasks


def _process(pid: int) -> Process:
    import psutil

    try:
        process = psutil.Process(pid)
        return Process(pid=pid, name=process.name(), user=process.username())
    except (psutil.Error, KeyError, OSError):
        return Process(pid=pid, name="", user="")
