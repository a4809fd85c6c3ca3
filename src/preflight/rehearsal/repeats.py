"""Runs of one program in given worlds, each in a folder of its own, side by side where there is room."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from preflight.rehearsal.command import Command
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import Rehearsed, rehearse
from preflight.rehearsal.reseeding import Reseeded
from preflight.rehearsal.sources import World
from preflight.system import limits

# What of the memory that is free all runs together may take.
_SHARE = 0.6


@dataclass(kw_only=True)
class Repeats:
    """One program, to be run often.

    `features` take part in each run beside those of its world, with `settings`; a run may take `seconds`, and all of
    them together end `until` (of `time.monotonic`). `reseeded` is the command under another seed, where there is one.
    """

    command: Command
    root: Path
    folder: Path
    seconds: float
    until: float
    features: Sequence[str] = ()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reseeded: Reseeded | None = None
    told: Callable[[str], None] = print
    _count: int = 0
    _peak: int = 0

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the job."""
        return self.command.environment()

    @property
    def is_over(self) -> bool:
        """Whether there is no time for another run."""
        return time.monotonic() > self.until

    def run(self, what: str, world: World, *, reseed: bool = False) -> Rehearsed:
        """Run the program in a world; `what` is what the story calls it."""
        self._count += 1
        command = self.reseeded.command if reseed and self.reseeded else self.command
        variables = {**command.variables, **world.variables(command.environment())}
        orders = Orders(
            root=self.root,
            answers=self.folder / f"run-{self._count}",
            features=[*world.features(), *self.features],
            settings={**self.settings, **world.settings()},
        )
        seconds = max(1.0, min(self.seconds, self.until - time.monotonic()))
        ran = rehearse(replace(command, variables=variables), orders, seconds=seconds)
        self._peak = max([self._peak, *(int(event["peak"]) for event in ran.events if event["kind"] == "sources")])
        ending = "was broken off" if ran.code is None else f"ended with {ran.code}"
        self.told(f"{what}: {ending} after {ran.seconds:.1f} s")
        return ran

    def together(self, worlds: Mapping[str, World], *, reseed: Sequence[str] = ()) -> dict[str, Rehearsed]:
        """Run the program in several worlds; those of the names in `reseed` get the other seed."""
        room = int(limits.available_memory() * _SHARE / self._peak) if self._peak else 1
        with ThreadPoolExecutor(max(1, min(len(os.sched_getaffinity(0)), room, len(worlds) or 1))) as pool:
            runs = {name: pool.submit(self.run, name, world, reseed=name in reseed) for name, world in worlds.items()}
            return {name: run.result() for name, run in runs.items()}
