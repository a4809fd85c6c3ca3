"""Processes that add up together, one for each device: how far each came, how fast it is, whether it is right."""

from __future__ import annotations

import json
import os
import selectors
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from preflight.system.gpu.refusals import first_line
from preflight.system.kernel import die_with_parent

Say = Callable[[Mapping[str, Any]], None]

# What is left running when one has died or failed gets so many seconds to say why it fails as well.
LINGER = 2.0
# Elements that are added up: 64 MB on a device, less where the CPU stands in for one.
LARGE, SMALL = 1 << 24, 1 << 18


class Phase(StrEnum):
    """How far a process has come, in this order."""

    NONE = "has not started"
    STARTED = "is making the context of its device"
    READY = "is waiting for the group to form"
    FORMED = "has not begun to add up"
    ENTERED = "is adding up"
    REDUCED = "is exchanging with one other at a time"
    DONE = "is done"


ORDER = tuple(Phase)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One process of the group: how far it came, and how it ended where it did not come to its end.

    `ended` is `SIGKILL` or `exit 3`, or empty; `error` is what it raised, and `after` the seconds until either was
    known. `wrong` elements of its sum are not what they should be; `bytes_per_second` is how fast it added up (bytes
    times 2 (n-1)/n, over the time), `pairs` how fast it exchanged with each other rank; `blamed` are the ranks whose
    contributions arrived wrong.
    """

    rank: int
    device: str
    phase: Phase = Phase.NONE
    ended: str = ""
    error: str = ""
    after: float = 0.0
    wrong: int = 0
    bytes_per_second: float = 0.0
    pairs: Mapping[int, float] = field(default_factory=dict)
    blamed: tuple[int, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it died or raised."""
        return bool(self.ended or self.error)


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


def rounds(ranks: Sequence[int]) -> Iterator[list[tuple[int, int]]]:
    """Yield rounds of disjoint pairs until each has met each: one stays, the others move on by one place."""
    ring: list[int | None] = [*ranks, *([None] if len(ranks) % 2 else [])]
    for _ in range(len(ring) - 1):
        half = len(ring) // 2
        pairs = zip(ring[:half], reversed(ring[half:]), strict=True)
        yield [(min(one, two), max(one, two)) for one, two in pairs if one is not None and two is not None]
        ring = [ring[0], ring[-1], *ring[1:-1]]


def failing_alone(pairs: Mapping[tuple[int, int], bool]) -> list[int]:
    """Return the ranks that fail with every partner; none where everybody does, so that it is nobody's fault alone."""
    ranks = sorted({rank for pair in pairs for rank in pair})
    good = {rank for pair, worked in pairs.items() if worked for rank in pair}
    return [rank for rank in ranks if rank not in good] if good else []


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

    try:
        die_with_parent(signal.SIGKILL)
        os.close(read)
        take_part(rank, devices, place, seconds, say)
    except BaseException as problem:  # noqa: BLE001 - whatever it is, it is told
        say({"error": f"{type(problem).__name__}: {first_line(problem)}"})
    finally:
        os._exit(0)


def _heard(member: Member, stream: int, after: float) -> tuple[Member, bool]:
    """Take what a process says; return whether more may come."""
    data = os.read(stream, 1 << 16)
    for line in data.splitlines():
        facts = json.loads(line)
        if "phase" in facts:
            facts["phase"] = Phase(facts["phase"])
        if "pairs" in facts:
            facts["pairs"] = {int(rank): speed for rank, speed in facts["pairs"].items()}
        if "error" in facts:
            facts["after"] = after
        if "blamed" in facts:
            facts["blamed"] = tuple(facts["blamed"])
        member = replace(member, **facts)
    return member, bool(data)


def _ended(member: Member, pid: int, after: float) -> Member:
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if member.error or member.phase is Phase.DONE:
        return member
    ended = signal.Signals(-code).name if code < 0 else f"exit {code}"
    return replace(member, ended=ended, after=after)


def _reap(pids: Iterable[int]) -> None:
    """Wait for killed processes, though not for ever: the kernel may hold one that waits for a wedged device."""
    until, left = time.monotonic() + 2.0, list(pids)
    while left and time.monotonic() < until:
        left = [pid for pid in left if not os.waitpid(pid, os.WNOHANG)[0]]
        time.sleep(0.01)


def take_part(rank: int, devices: Sequence[str], place: Path, seconds: float, say: Say) -> None:
    """Be one rank: say each phase as it begins, and the facts at the end."""
    import torch
    import torch.distributed as group

    torch.set_num_threads(1)
    device = devices[rank]
    say({"phase": Phase.STARTED})
    if not device.startswith("cpu"):
        torch.cuda.set_device(device)
    torch.ones(1, device=device).add(1).cpu()
    say({"phase": Phase.READY})
    backend = "gloo" if device.startswith("cpu") else "nccl"
    store = group.FileStore(str(place), len(devices))
    limit = timedelta(seconds=seconds)
    group.init_process_group(backend, store=store, rank=rank, world_size=len(devices), timeout=limit)
    # NCCL connects when the first sum is asked for.
    _together(device)
    say({"phase": Phase.FORMED})
    facts = _add_up(rank, devices, say)
    say({"phase": Phase.REDUCED, **facts})
    say({"pairs": {str(other): speed for other, speed in _exchange_all(rank, devices).items()}, "phase": Phase.DONE})


def _add_up(rank: int, devices: Sequence[str], say: Say) -> dict[str, Any]:
    import torch

    number, device = (SMALL if devices[rank].startswith("cpu") else LARGE), devices[rank]
    places = torch.arange(number, dtype=torch.float32)
    # Whole numbers, so that the sum is exact in every order.
    wanted = sum(_contribution(each, places) for each in range(len(devices)))
    own = _contribution(rank, places).to(device)
    best = 0.0
    say({"phase": Phase.ENTERED})
    for _ in range(3):
        found = own.clone()
        _together(device)
        began = time.monotonic()
        reduce(found)
        _wait(device)
        best = max(best, 2 * (len(devices) - 1) / len(devices) * number * 4 / (time.monotonic() - began))
    wrong = int((found.cpu() != wanted).sum())
    worst = torch.tensor([float(wrong)], device=device)
    # All must agree whether the next step is taken.
    reduce(worst)
    blamed = _blame(rank, devices) if float(worst.cpu()) else []
    return {"wrong": wrong, "bytes_per_second": best, "blamed": blamed}


def _blame(rank: int, devices: Sequence[str]) -> list[int]:
    """Have each rank write into its own part of a vector of zeros; return whose part is wrong here."""
    import torch

    share = 1 << 12
    parts = torch.zeros(len(devices), share, device=devices[rank])
    parts[rank] = torch.arange(1, share + 1, device=devices[rank])
    reduce(parts)
    wanted = torch.arange(1, share + 1, dtype=torch.float32).expand(len(devices), share)
    return [int(each) for each in (parts.cpu() != wanted).any(dim=1).nonzero().flatten()]


def _contribution(rank: int, places: Any) -> Any:
    return (places * (rank + 3)) % 1021 + rank


def reduce(values: Any) -> None:
    """Add `values` up over all ranks, in place."""
    import torch.distributed as group

    group.all_reduce(values)


def _exchange_all(rank: int, devices: Sequence[str]) -> dict[int, float]:
    """Exchange with each other rank, one at a time; return the bytes per second of the best of three times."""
    import torch

    device = devices[rank]
    outgoing = torch.full((SMALL if device.startswith("cpu") else LARGE // 4,), float(rank), device=device)
    incoming = torch.empty_like(outgoing)
    speeds: dict[int, float] = {}
    for pairs in rounds(range(len(devices))):
        other = next((sum(pair) - rank for pair in pairs if rank in pair), None)
        for _ in range(4):
            _together(device)
            if other is None:
                continue
            began = time.monotonic()
            exchange(other, outgoing, incoming)
            _wait(device)
            taken = time.monotonic() - began
            speeds[other] = max(speeds.get(other, 0.0), outgoing.numel() * 4 / taken)
    return speeds


def exchange(other: int, outgoing: Any, incoming: Any) -> None:
    """Send to and receive from one other rank at once."""
    import torch.distributed as group

    both = [group.P2POp(group.isend, outgoing, other), group.P2POp(group.irecv, incoming, other)]
    for work in group.batch_isend_irecv(both):
        work.wait()


def _together(device: str) -> None:
    """Wait until all ranks have come here."""
    import torch
    import torch.distributed as group

    one = torch.ones(1, device=device)
    group.all_reduce(one)
    one.cpu()


def _wait(device: str) -> None:
    import torch

    if not device.startswith("cpu"):
        torch.cuda.synchronize(device)
