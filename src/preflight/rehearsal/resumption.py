"""A program that is broken off after a save and resumed, held against the same program run straight on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from preflight.rehearsal.command import Command
from preflight.rehearsal.events import Event
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import Rehearsed, rehearse
from preflight.rehearsal.sources import World, baseline
from preflight.rehearsal.view import View, opened

FEATURES = ("failures", "loaders", "progress")
# What a step starts from, as `progress` tells it, in the order in which it is named.
STARTS = ("parameters", "state", "rates", "batch", "torch", "numpy", "random")
# One batch and the last of each pass, so that the first pass after a resume is as long as it would have been.
_BATCHES = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """Three runs: `straight` to the end, `broken` off after a save, and `resumed` from there, where there was one.

    `steps` are how many optimizer steps it had taken when it was broken off.
    """

    straight: Rehearsed
    broken: Rehearsed
    resumed: Rehearsed | None = None
    steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parting:
    """The first step, counted from 1, that leads elsewhere in the resumed run, and what of `STARTS` is not the same.

    `began` is the step of the straight run whose parameters the resumed run began with, None where there is none.
    """

    step: int
    differing: Sequence[str]
    began: int | None
    one: Event
    other: Event


class Plan(NamedTuple):
    """What is run in `root`: a command, and the one that goes on where it was broken off; `folder` is scratch."""

    command: Command
    resume: Command
    root: Path
    folder: Path


def run_resumption(plan: Plan, seconds: float, until: float) -> Resumption:
    """Run the three, each for at most `seconds` and all of them before `until` (of `time.monotonic`).

    Raises ViewRefused where the kernel does not allow a view: nothing may be left of a run that is broken off.
    """
    world = replace(baseline(time.time()), traced=False)

    def run(name: str, view: View) -> Rehearsed:
        limit = max(1.0, min(seconds, until - time.monotonic()))
        command = plan.resume if name == "resumed" else plan.command
        orders = _orders(world, plan, name)
        return rehearse(world.around(command), orders, seconds=limit, view=view)

    with opened(plan.folder) as view:
        straight = run("straight", view)
    if straight.code != 0:
        return Resumption(straight=straight, broken=straight)
    with opened(plan.folder) as view:
        broken = run("broken", view)
        ended = broken.of("broken-off")
        if not ended:
            return Resumption(straight=straight, broken=broken)
        resumed = run("resumed", view)
    return Resumption(straight=straight, broken=broken, resumed=resumed, steps=ended[0]["steps"])


def is_repeatable(runs: Resumption) -> bool:
    """Tell whether the run that was broken off took the same steps as the straight one until then."""
    pairs = zip(_steps(runs.straight), _steps(runs.broken)[: runs.steps], strict=False)
    return all(one["after"] == other["after"] for one, other in pairs)


def parting(runs: Resumption) -> Parting | None:
    """Return the first step at which the resumed run parts from the straight one; None where it does not."""
    assert runs.resumed is not None
    straight, resumed = _steps(runs.straight), _steps(runs.resumed)
    if not resumed:
        return None
    start = resumed[0]["parameters"]
    began = next((number for number, each in enumerate(straight, 1) if each["parameters"] == start), None)
    for one, other in zip(straight[runs.steps :], resumed, strict=False):
        if one["after"] != other["after"]:
            differing = [name for name in STARTS if one[name] != other[name]]
            return Parting(step=one["step"], differing=differing, began=began, one=one, other=other)
    return None


def _steps(ran: Rehearsed) -> list[Event]:
    """Return the steps of the first process of rank 0 that took any."""
    steps = [event for event in ran.of("progress") if event["rank"] == "0"]
    return [event for event in steps if event["pid"] == steps[0]["pid"]]


def counts(runs: Resumption) -> tuple[int, int]:
    """Return how many steps the straight run and the two parts of the other one took."""
    assert runs.resumed is not None
    return len(_steps(runs.straight)), runs.steps + len(_steps(runs.resumed))


def _orders(world: World, plan: Plan, name: str) -> Orders:
    settings: dict[str, dict[str, Any]] = {
        **world.settings(),
        "loaders": {"batches": _BATCHES},
        "progress": {"breaks": name == "broken"},
    }
    features = [*world.features(), *FEATURES]
    return Orders(root=plan.root, answers=plan.folder / name, features=features, settings=settings)
