"""What the ranks of a torch process group do together: form it, add up, exchange in pairs, and how far each came."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from itertools import islice
from typing import Any

Say = Callable[[Mapping[str, Any]], None]

# Elements that are added up: 64 MB on a device, less where the CPU stands in for one.
LARGE, SMALL = 1 << 24, 1 << 18
# Each exchanges with so many others at most.
_PARTNERS = 16
# Seconds of computing by itself, long enough that a process which gets a tenth of its time shows it.
_COMPUTING = 0.4


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
    contributions arrived wrong; `compute` are the seconds that a product of two matrices takes it. Where there are
    several nodes, `node` is its own, and `state` that of its process, a letter of proc(5).
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
    compute: float = 0.0
    node: str = ""
    state: str = ""

    @property
    def failed(self) -> bool:
        """Whether it died or raised."""
        return bool(self.ended or self.error)

    def told(self, facts: Mapping[str, Any], after: float) -> Member:
        """Return the member with what its process says, in the words of `take_part`, `after` so many seconds."""
        known = dict(facts)
        if "phase" in known:
            known["phase"] = Phase(known["phase"])
        if "pairs" in known:
            known["pairs"] = {int(rank): speed for rank, speed in known["pairs"].items()}
        if "blamed" in known:
            known["blamed"] = tuple(known["blamed"])
        if "error" in known:
            known["after"] = after
        return replace(self, **known)


def ending(code: int) -> str:
    """Return how a process ended with this exit code, as `Member.ended` says it; negative is a signal."""
    return signal.Signals(-code).name if code < 0 else f"exit {code}"


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


def take_part(rank: int, number: int, device: str, open_store: Callable[[], Any], seconds: float, say: Say) -> None:  # noqa: PLR0913, PLR0917
    """Be one of so many ranks: say each phase as it begins, and the facts at the end.

    `open_store` returns the torch store through which the ranks find each other. Raises what torch raises.
    """
    import torch
    import torch.distributed as process_group

    torch.set_num_threads(1)
    say({"phase": Phase.STARTED})
    if not device.startswith("cpu"):
        torch.cuda.set_device(device)
    torch.ones(1, device=device).add(1).cpu()
    say({"phase": Phase.READY})
    backend = "gloo" if device.startswith("cpu") else "nccl"
    limit = timedelta(seconds=seconds)
    process_group.init_process_group(backend, store=open_store(), rank=rank, world_size=number, timeout=limit)
    # NCCL connects when the first sum is asked for.
    together(device)
    say({"phase": Phase.FORMED, "compute": _compute(device)})
    facts = add_up(rank, number, device, say)
    say({"phase": Phase.REDUCED, **facts})
    pairs = exchange_all(rank, number, device)
    say({"pairs": {str(other): speed for other, speed in pairs.items()}, "phase": Phase.DONE})


def _compute(device: str) -> float:
    """Return the seconds that a product of two matrices takes."""
    import torch

    side = 128 if device.startswith("cpu") else 4096
    values = torch.full((side, side), 1.0 / side, device=device)
    torch.mm(values, values)
    _wait(device)
    number, began = 0, time.monotonic()
    while (taken := time.monotonic() - began) < _COMPUTING or not number:
        torch.mm(values, values)
        _wait(device)
        number += 1
    return taken / number


def add_up(rank: int, number: int, device: str, say: Say) -> dict[str, Any]:
    """Add up whole numbers whose sum is known, three times; say when it begins."""
    import torch

    length = SMALL if device.startswith("cpu") else LARGE
    # Whole numbers below 2^24, so that the sum is exact in every order.
    values = torch.arange(length, dtype=torch.float32) % 61 + 1
    wanted = values * sum(_weight(each) for each in range(number))
    own = (values * _weight(rank)).to(device)
    best = 0.0
    say({"phase": Phase.ENTERED})
    for _ in range(3):
        found = own.clone()
        together(device)
        began = time.monotonic()
        reduce(found)
        _wait(device)
        best = max(best, 2 * (number - 1) / number * length * 4 / (time.monotonic() - began))
    wrong = int((found.cpu() != wanted).sum())
    worst = torch.tensor([float(wrong)], device=device)
    # All must agree whether the next step is taken.
    reduce(worst)
    blamed = _blame(rank, number, device) if float(worst.cpu()) else []
    return {"wrong": wrong, "bytes_per_second": best, "blamed": blamed}


def _weight(rank: int) -> int:
    return rank % 16 + 1


def _blame(rank: int, number: int, device: str) -> list[int]:
    """Have each rank write into its own part of a vector of zeros; return whose part is wrong here."""
    import torch

    share = 1 << 12
    parts = torch.zeros(number, share, device=device)
    parts[rank] = torch.arange(1, share + 1, device=device)
    reduce(parts)
    wanted = torch.arange(1, share + 1, dtype=torch.float32).expand(number, share)
    return [int(each) for each in (parts.cpu() != wanted).any(dim=1).nonzero().flatten()]


def reduce(values: Any) -> None:
    """Add `values` up over all ranks, in place."""
    import torch.distributed as process_group

    process_group.all_reduce(values)


def exchange_all(rank: int, number: int, device: str) -> dict[int, float]:
    """Exchange with others, one at a time; return the bytes per second of the best of three times."""
    import torch

    outgoing = torch.full((SMALL if device.startswith("cpu") else LARGE // 4,), float(rank), device=device)
    incoming = torch.empty_like(outgoing)
    speeds: dict[int, float] = {}
    for pairs in islice(rounds(range(number)), _PARTNERS):
        other = next((sum(pair) - rank for pair in pairs if rank in pair), None)
        for _ in range(4):
            together(device)
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
    import torch.distributed as process_group

    both = [
        process_group.P2POp(process_group.isend, outgoing, other),
        process_group.P2POp(process_group.irecv, incoming, other),
    ]
    for work in process_group.batch_isend_irecv(both):
        work.wait()


def together(device: str) -> None:
    """Wait until all ranks have come here."""
    import torch
    import torch.distributed as process_group

    one = torch.ones(1, device=device)
    process_group.all_reduce(one)
    one.cpu()


def _wait(device: str) -> None:
    import torch

    if not device.startswith("cpu"):
        torch.cuda.synchronize(device)
