"""How fast a device is: products of matrices, its memory, and copies to and from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from preflight.system.gpu.arithmetic import one_thread, open_device, precision
from preflight.system.gpu.operations import multiply
from preflight.system.gpu.peers import wait
from preflight.system.gpu.refusals import first_line
from preflight.system.gpu.rounding import FORMATS, formats_of

MEMORY, TO_DEVICE, FROM_DEVICE = "memory", "to device", "from device"
# Each is done so often, or for so many seconds, whichever is less; the best counts.
TIMES, SECONDS = 10, 0.4
# The rows of square matrices: large enough that a device is as fast as it gets. Numbers of 64 bits are slow on most.
ROWS = {"float64": 4096}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What a device reached: FLOP/s (int8: operations per second) by format, bytes per second of memory and copies.

    Memory counts what is read and what is written. `refused` says what could not be measured, and why.
    """

    device: str
    name: str = ""
    torch: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def measure(device: str, words: Sequence[str], note: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure a device (`cuda:0`, `cpu`) in each format that `words` name; return `Speed` as plain values.

    A device that is the CPU gets smaller work.
    """
    import torch

    began = time.perf_counter()
    opened = open_device(device)
    if opened.refusal:
        return asdict(Speed(device=device, refused={"device": opened.text}))
    formats = dict.fromkeys(each.word for word in words for each in formats_of(word) if each.word != "float8_e5m2")
    trials: dict[str, Callable[[], float]] = {word: lambda word=word: products(device, word) for word in formats}  # type: ignore[misc]
    trials |= {MEMORY: lambda: memory(device)}
    trials |= {TO_DEVICE: lambda: copies(device, to=True), FROM_DEVICE: lambda: copies(device, to=False)}
    figures: dict[str, float] = {}
    refused: dict[str, str] = {}
    with one_thread():
        for name, trial in trials.items():
            note(name)
            try:
                figures[name] = trial()
            except Exception as problem:  # noqa: BLE001 - whatever is raised is the answer
                refused[name] = first_line(problem)
    version, seconds = str(torch.__version__), time.perf_counter() - began
    return asdict(
        Speed(device=device, name=opened.name, torch=version, figures=figures, refused=refused, seconds=seconds)
    )


def products(device: str, word: str) -> float:
    """Return the FLOP/s of a product of square matrices, 2 n^3 for each."""
    import torch

    rows = 256 if device == "cpu" else ROWS.get(word, 8192)
    # Random numbers: a device that multiplies zeros needs less power, and is faster than it will be at work.
    left, right = (torch.randn(rows, rows, device=device) for _ in range(2))
    dtype = getattr(torch, FORMATS[word].dtype)
    if word == "int8":
        left, right = (each.mul(40).clamp(-127, 127) for each in (left, right))
    left, right = left.to(dtype), right.to(dtype)
    if word == "int8" or word.startswith("float8"):
        # cuBLAS has its fast products of 8 bits for a right side that is laid out by columns.
        right = right.t().contiguous().t()
    with precision(tf32=word == "tf32"):
        return 2 * rows**3 / best(lambda: multiply(left, right), device)


def memory(device: str) -> float:
    """Return the bytes per second of a copy within the device's memory, those read and those written."""
    import torch

    size = 1 << 24 if device == "cpu" else min(1 << 30, torch.cuda.mem_get_info(device)[0] // 8)
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / best(lambda: target.copy_(source), device)


def copies(device: str, *, to: bool) -> float:
    """Return the bytes per second between pinned memory of the machine and the device."""
    import torch

    size = 1 << 22 if device == "cpu" else 1 << 26
    here, there = torch.ones(size, dtype=torch.uint8), torch.empty(size, dtype=torch.uint8, device=device)
    if device != "cpu":
        here = here.pin_memory()
    source, target = (here, there) if to else (there, here)
    return size / best(lambda: target.copy_(source, non_blocking=True), device)


def best(work: Callable[[], object], device: str) -> float:
    """Return the seconds of the fastest of several times, after two that warm up."""
    for _ in range(2):
        work()
    wait(device)
    taken: list[float] = []
    until = time.perf_counter() + SECONDS
    while len(taken) < TIMES and (not taken or time.perf_counter() < until):
        taken.append(seconds_of(work, device))
    return min(taken)


def seconds_of(work: Callable[[], object], device: str) -> float:
    """Return the seconds that `work` takes on the device, by the device's own clock where it has one."""
    if device == "cpu":
        began = time.perf_counter()
        work()
        return time.perf_counter() - began
    import torch

    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000
