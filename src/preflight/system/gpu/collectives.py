"""Processes that add up together, one for each device: how far each came, how fast it is, whether it is right."""

from __future__ import annotations

import json
import os
import selectors
import signal
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from preflight.system import group
from preflight.system.gpu.refusals import first_line
from preflight.system.group import Member, Phase
from preflight.system.kernel import die_with_parent

# What is left running when one has died or failed gets so many seconds to say why it fails as well.
LINGER = 2.0


def meet(devices: Sequence[str], seconds: float, folder: Path) -> list[Member]:
    """Have a process for each device (`cuda:0`, `cpu`) form a group and add up, and return what each did.

    The processes are forks of this one, which must not have used CUDA. They find each other through a file in `folder`
    and are killed after `seconds`, or soon after one of them has failed.
    """
    place = folder / f"meeting-{time.monotonic_ns()}"
    began = time.monotonic()
    members = {rank: Member(rank=rank, device=device) for rank, device in enumerate(devices)}
    selector = selectors.DefaultSelector()
    processes: dict[int, int] = {}
    try:
        for rank in members:
            processes[rank], stream = _start(rank, devices, place, seconds)
            selector.register(stream, selectors.EVENT_READ, rank)
        until = began + seconds
        while selector.get_map() and (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                rank = key.data
                members[rank], open_still = _heard(members[rank], key.fd, time.monotonic() - began)
                if not open_still:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    members[rank] = _ended(members[rank], processes.pop(rank), time.monotonic() - began)
                if members[rank].failed:
                    until = min(until, time.monotonic() + LINGER)
    finally:
        for pid in processes.values():
            os.kill(pid, signal.SIGKILL)
        for key in list(selector.get_map().values()):
            os.close(key.fd)
        selector.close()
        _reap(processes.values())
    return [members[rank] for rank in sorted(members)]


def _start(rank: int, devices: Sequence[str], place: Path, seconds: float) -> tuple[int, int]:
    """Fork the process of one rank; return its id and the pipe from which it is heard."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns where there are threads: whether they matter was judged before this check was forked.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        os.close(write)
        return pid, read

    def say(message: Mapping[str, Any]) -> None:
        os.write(write, json.dumps(message).encode() + b"\n")

    def open_store() -> Any:
        from torch.distributed import FileStore

        return FileStore(str(place), len(devices))

    try:
        die_with_parent(signal.SIGKILL)
        os.close(read)
        group.take_part(rank, len(devices), devices[rank], open_store, seconds, say)
    except BaseException as problem:  # noqa: BLE001 - whatever it is, it is told
        say({"error": f"{type(problem).__name__}: {first_line(problem)}"})
    finally:
        os._exit(0)


def _heard(member: Member, stream: int, after: float) -> tuple[Member, bool]:
    """Take what a process says; return whether more may come."""
    data = os.read(stream, 1 << 16)
    for line in data.splitlines():
        member = member.told(json.loads(line), after)
    return member, bool(data)


def _ended(member: Member, pid: int, after: float) -> Member:
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if member.error or member.phase is Phase.DONE:
        return member
    return replace(member, ended=group.ending(code), after=after)


def _reap(pids: Iterable[int]) -> None:
    """Wait for killed processes, though not for ever: the kernel may hold one that waits for a wedged device."""
    until, left = time.monotonic() + 2.0, list(pids)
    while left and time.monotonic() < until:
        left = [pid for pid in left if not os.waitpid(pid, os.WNOHANG)[0]]
        time.sleep(0.01)
