"""Runs of one program in given worlds, each in a folder of its own, side by side where there is room."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preflight.rehearsal.command import Command
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import Rehearsed, rehearse
from preflight.rehearsal.reseeding import Reseeded
from preflight.rehearsal.sources import World
from preflight.rehearsal.view import ViewRefused, opened
from preflight.system import limits

# The program that calls a step.
CALL = Path(__file__).with_name("call.py")
# What of the memory that is free all runs together may take.
_SHARE = 0.6


@dataclass(kw_only=True)
class Repeats:
    """One program, to be run often.

    `features` take part in each run beside those of its world, with `settings`; a run may take `seconds`, and all of
    them together end `until` (of `time.monotonic`). `reseeded` is the command under another seed, where there is one.
    `memory` is how many bytes one run takes, 0 where that is not known before the first.
    Each run writes to a view of its own; where the kernel allows none, `in_place` lets it write where it says.
    """

    command: Command
    root: Path
    folder: Path
    seconds: float
    until: float
    features: Sequence[str] = ()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reseeded: Reseeded | None = None
    in_place: bool = False
    told: Callable[[str], None] = print
    memory: int = 0
    _count: int = 0

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the job."""
        return self.command.environment()

    @property
    def is_over(self) -> bool:
        """Whether there is no time for another run."""
        return time.monotonic() > self.until

    def run(self, what: str, world: World, *, reseed: bool = False) -> Rehearsed:
        """Run the program in a world; `what` is what the story calls it. Raises ViewRefused where it cannot be run."""
        self._count += 1
        told = self.reseeded if reseed else None
        command = world.around(told.command if told else self.command)
        orders = Orders(
            root=self.root,
            answers=self.folder / f"run-{self._count}",
            features=[*world.features(), *self.features],
            settings={**self.settings, **world.settings()},
        )
        seconds = max(1.0, min(self.seconds, self.until - time.monotonic()))
        try:
            with opened(self.folder, told.files if told else {}) as view:
                ran = rehearse(command, orders, seconds=seconds, view=view)
        except ViewRefused:
            if not self.in_place or (told and told.files):
                raise
            ran = rehearse(command, orders, seconds=seconds)
        self.memory = max(self.memory, sum(event["peak"] for event in ran.of("sources")))
        ending = "was broken off" if ran.code is None else f"ended with {ran.code}"
        self.told(f"{what}: {ending} after {ran.seconds:.1f} s")
        return ran

    def together(self, worlds: Mapping[str, World], *, reseed: Sequence[str] = ()) -> dict[str, Rehearsed]:
        """Run the program in several worlds; those of the names in `reseed` get the other seed."""
        room = int(limits.available_memory() * _SHARE / self.memory) if self.memory else 1
        with ThreadPoolExecutor(max(1, min(len(os.sched_getaffinity(0)), room, len(worlds) or 1))) as pool:
            runs = {name: pool.submit(self.run, name, world, reseed=name in reseed) for name, world in worlds.items()}
            return {name: run.result() for name, run in runs.items()}
