"""Speed of GPUs: as fast as the others of the machine, and as before on this host.

See it by hand:

    nvidia-smi --query-gpu=clocks.sm,clocks.max.sm,temperature.gpu,power.draw --format=csv
    nvidia-smi -q -d PERFORMANCE

Mend it:

    Free the device of others, let it cool, or run on another; a lasting loss of speed is for whoever runs the machine.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from preflight import ChildFailed, Finding, check, info, warning
from preflight.config import Config, Gpu
from preflight.quantities import format_size
from preflight.system.experiment import cpu_setting
from preflight.system.gpu import gather, history, speed, turns
from preflight.system.gpu.cards import card_called
from preflight.system.gpu.facts import Device, Gpus
from preflight.system.gpu.selection import called, of_job, why_not_usable
from preflight.system.gpu.speed import FROM_DEVICE, MEMORY, TO_DEVICE, Speed
from preflight.system.readers import is_used

# How far below its like a figure may be. Copies also depend on the socket that this process happens to run on, and a
# link that is broken loses half and more.
MARGIN = {TO_DEVICE: 0.4, FROM_DEVICE: 0.4}
USUAL = 0.1
# NVML's clock event reasons that take speed from a healthy card: heat, the power supply, the hardware's own brake.
THROTTLED = 0x08 | 0x20 | 0x40 | 0x80
# More than the driver itself holds of a device's memory, in bytes.
HELD = 2_000_000_000

Measure = Callable[[int], Speed]


@check(when="gpu.perf", needs="torch", tags=["perf"], timeout=120, at="node")
def check_devices_are_fast(config: Config, gpus: Gpus, fresh: Callable[..., Any], scratch: Path) -> Iterator[Finding]:
    """Each device is as fast as the others of this machine, and as it was before on this host.

    Products of matrices in each format of `gpu.dtypes` (float32 where none is named), the device's memory, and copies
    to and from pinned memory: the best of several times, one device after the other. What is far below the median of
    the machine's other devices of that model, or of this device's own last 20 times, is measured again before it
    counts: beyond the median absolute deviation and 10 % (copies to and from the machine: 40 %). A device that
    something else uses is measured, and not judged.

        gpu.speed               what was measured, and the share of what the card's data sheet promises
        gpu.busy                another process or heat takes speed from the device, so that it is not judged
        gpu.slower-than-peers   slower than the machine's other devices of the same model
        gpu.slower-than-before  slower than on this host before
        gpu.not-measured        the device gives no answer
    """
    is_concerned = gpus.build is not None and is_used("torch", config.import_seconds, config.root)
    if cpu_setting(config.experiment) or not is_concerned:
        return
    if reason := why_not_usable(gpus):
        pytest.skip(reason)
    need = config.gpu or Gpu()
    shown = of_job(gpus).devices
    words = need.dtypes or ("float32",)
    measured: dict[int, Speed] = {}

    def measure(number: int) -> Speed:
        with turns.alone_on([number], scratch.parent, 60) as alone:
            if not alone:
                return Speed(device=f"cuda:{number}", refused={"device": "another check is still at work on it"})
            return Speed(**fresh(speed.measure, f"cuda:{number}", words))

    for number in range(min(need.count or len(shown), len(shown))):
        name = called(gpus, number)
        try:
            measured[number] = measure(number)
        except ChildFailed as failure:
            said = str(failure).partition("\n")[0]
            yield warning(f"{name} gives no answer when its speed is measured", id="gpu.not-measured", cause=said)
            continue
        if not measured[number].figures:
            cause = next(iter(measured[number].refused.values()), "nothing is known of it")
            yield warning(f"the speed of {name} cannot be measured", id="gpu.not-measured", cause=cause)
            del measured[number]
    yield from judge(measured, measure, gpus, gather.gather(config.root, start=False).devices)


def judge(measured: Mapping[int, Speed], measure: Measure, gpus: Gpus, now: Sequence[Device]) -> Iterator[Finding]:
    """Say how fast the devices are, which are slow, and which cannot be judged; keep what is as it should be.

    `measure` measures a device again; `now` are the devices as they are afterwards.
    """
    before = of_job(gpus).devices
    quiet: dict[int, Speed] = {}
    for number, found in measured.items():
        name = called(gpus, number)
        yield info(f"{name}: {told(found)}", id="gpu.speed", evidence=dict(found.figures))
        device = before[number]
        looks = [device, *(each for each in now if each.index == device.index)]
        if why := next((said for said in map(why_busy, looks) if said), ""):
            yield info(f"{name} is not judged by its speed: {why}", id="gpu.busy", cause=why)
        else:
            quiet[number] = found
    for number, first in quiet.items():
        found = first
        key = before[number].uuid or f"{found.name} {number}"
        others = [each for other, each in quiet.items() if other != number and each.name == found.name]
        peers = _usual([each.figures for each in others])
        past = _usual(history.earlier(key, found.torch))
        if slow_names(found.figures, peers) | slow_names(found.figures, past):
            # It may have been a moment's: the better of two counts.
            found = _again(found, number, measure)
        slow = {"peers": slow_names(found.figures, peers), "before": slow_names(found.figures, past)}
        if slow["peers"]:
            yield _slower("peers", called(gpus, number), found.figures, peers, slow["peers"])
        if slow["before"]:
            yield _slower("before", called(gpus, number), found.figures, past, slow["before"])
        if not any(slow.values()):
            history.keep(key, found.torch, found.figures)


def slow_names(figures: Mapping[str, float], usual: Mapping[str, tuple[float, float]]) -> set[str]:
    """Return the names of the figures that are below their median by more than its deviation and the margin."""
    return {
        name
        for name, (middle, deviation) in usual.items()
        if name in figures and figures[name] < middle - max(deviation, MARGIN.get(name, USUAL) * middle)
    }


def why_busy(device: Device) -> str:
    """Return what takes speed from a device, empty where nothing is known to."""
    others = [process for process in device.processes or () if not process.own]
    if others:
        return f"process {others[0].pid} {others[0].name} computes on it".replace("  ", " ")
    if device.throttle is not None and device.throttle & THROTTLED:
        return "heat or its power supply slows it down"
    own = sum(process.memory or 0 for process in device.processes or ())
    if device.free is not None and device.memory - device.free - own > HELD and not own:
        return f"{format_size(device.memory - device.free)} of its memory are held by processes that cannot be seen"
    return ""


def told(found: Speed) -> str:
    """Return `float32 51 TFLOP/s (76 % of an H100 SXM's), memory 2.9 TB/s (88 %), …`."""
    card = card_called(found.name)
    parts = []
    for name, value in found.figures.items():
        peak = (card.memory if name == MEMORY else card.peaks.get(name, 0.0)) if card else 0.0
        is_bytes = name in (MEMORY, TO_DEVICE, FROM_DEVICE)
        shown = f"{format_size(value)}/s" if is_bytes else f"{value / 1e12:.3g} TFLOP/s"
        parts.append(f"{name} {shown}" + (f" ({value / peak:.0%} of its peak)" if peak else ""))
    return ", ".join(parts) + (f"; peaks by the {card.source}" if card else "")


def _usual(figures: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return the median of each figure, and the median of the distances from it."""
    names = {name for each in figures for name in each}
    usual = {}
    for name in names:
        values = [each[name] for each in figures if name in each]
        middle = median(values)
        usual[name] = (middle, median(abs(value - middle) for value in values))
    return usual


def _again(one: Speed, number: int, measure: Measure) -> Speed:
    """Return the better of what was measured and what is measured now."""
    try:
        two = measure(number)
    except ChildFailed:
        return one
    figures = {name: max(value, two.figures.get(name, 0.0)) for name, value in one.figures.items()}
    return Speed(device=one.device, name=one.name, torch=one.torch, figures=figures, refused=one.refused)


def _slower(
    than: str, name: str, figures: Mapping[str, float], usual: Mapping[str, tuple[float, float]], slow: set[str]
) -> Finding:
    worst = min(slow, key=lambda each: figures[each] / usual[each][0])
    share = f"{figures[worst] / usual[worst][0]:.0%}"
    whose = "the machine's other devices" if than == "peers" else "itself on this host before"
    cause = "its cooling, power limit, clocks or slot, or a process that cannot be seen from here"
    forget = f"Look at its clocks, and if it is meant to be so, forget the old figures:\n    rm {history.file()}"
    look = "See what holds it back, and compare it with the others:\n    nvidia-smi -q -d CLOCK,POWER,TEMPERATURE"
    return warning(
        f"{name} is slower than {whose}: {worst} at {share}",
        id=f"gpu.slower-than-{than}",
        found=_shown(worst, figures[worst]),
        wanted=f"about {_shown(worst, usual[worst][0])}",
        cause=cause,
        fix=look if than == "peers" else forget,
        evidence={each: [figures[each], usual[each][0]] for each in sorted(slow)},
    )


def _shown(name: str, value: float) -> str:
    return f"{format_size(value)}/s" if name in (MEMORY, TO_DEVICE, FROM_DEVICE) else f"{value / 1e12:.3g} TFLOP/s"
