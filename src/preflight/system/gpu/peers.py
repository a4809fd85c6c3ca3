"""Copies from each device to each other, without a way through the CPU where the machine has one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from preflight.system.gpu.arithmetic import label, one_thread, open_device
from preflight.system.gpu.operation import as_bits
from preflight.system.gpu.refusals import Refusal, first_line

# Numbers of 8 bytes that are copied.
NUMBER = 1 << 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A copy from `source` to `target`: whether they reach each other directly, how many numbers arrived changed."""

    source: int
    target: int
    direct: bool = False
    wrong: int = 0
    bytes_per_second: float = 0.0
    error: str = ""


def try_pairs(devices: Sequence[str] | int, seed: int, note: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Copy random bits from each device to each other and return the devices' labels and the pairs, as plain values.

    `devices` are names, or how many of the visible ones at most (0: all). `refused` says why there is none.
    """
    names = visible_devices(devices) if isinstance(devices, int) else list(devices)
    labels: list[str] = []
    for name in names:
        note(f"the context of {name}")
        opened = open_device(name)
        if opened.refusal:
            return {
                "labels": labels,
                "pairs": [],
                "refused": opened.text,
                "absent": opened.refusal == Refusal.NO_DEVICE,
            }
        labels.append(label(opened))
    pairs = []
    for source, target in ((one, two) for one in range(len(names)) for two in range(len(names)) if one != two):
        note(f"the copy from {names[source]} to {names[target]}")
        with one_thread():
            pairs.append(asdict(_try_pair(names, source, target, seed)))
    return {"labels": labels, "pairs": pairs, "refused": "", "absent": False}


def visible_devices(most: int) -> list[str]:
    """Return the names of the devices that torch sees, `most` of them at most where that is not 0."""
    import torch

    try:
        number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    except RuntimeError:
        number = 0
    return [f"cuda:{index}" for index in range(min(number, most or number))]


def _try_pair(names: Sequence[str], source: int, target: int, seed: int) -> Pair:
    import torch

    draw = torch.Generator().manual_seed(seed + source * len(names) + target)
    content = torch.randint(-(2**62), 2**62, (NUMBER,), generator=draw)
    try:
        there = content.to(names[source])
        arrived = torch.empty(NUMBER, dtype=torch.int64, device=names[target])
        best = 0.0
        for _ in range(3):
            as_bits(arrived).fill_(-1)
            wait(names[target])
            began = time.perf_counter()
            copy(there, arrived)
            wait(names[source])
            wait(names[target])
            best = max(best, NUMBER * 8 / (time.perf_counter() - began))
        wrong = int((arrived.cpu() != content).sum())
        direct = reaches(names[source], names[target])
    except RuntimeError as problem:
        return Pair(source=source, target=target, error=first_line(problem))
    return Pair(source=source, target=target, direct=direct, wrong=wrong, bytes_per_second=best)


def copy(there: Any, arrived: Any) -> None:
    """Copy from one device to another."""
    arrived.copy_(there)


def reaches(source: str, target: str) -> bool:
    """Tell whether the memory of `target` can be reached from `source` directly."""
    import torch

    return source == "cpu" or bool(torch.cuda.can_device_access_peer(source, target))


def wait(device: str) -> None:
    """Wait until a device has done all its work."""
    import torch

    if device != "cpu":
        torch.cuda.synchronize(device)
