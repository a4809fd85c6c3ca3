"""Calls of a step in forks of the process that has imported the experiment, each in a given world."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from preflight.rehearsal.events import Event, read_events
from preflight.rehearsal.inside import places, wire
from preflight.rehearsal.program import Rehearsed
from preflight.rehearsal.repeats import Repeats
from preflight.rehearsal.sources import World
from preflight.system.steps import call_step

# What a fork has from its parent, and cannot have otherwise.
_INHERITED = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}


@dataclass(kw_only=True)
class Forks(Repeats):
    """Runs of a step; `fresh` calls a function in a fork, `facts` are what `call_step` told of each."""

    fresh: Callable[..., Any]
    step: str
    seed: int
    facts: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def environment(self) -> Mapping[str, str]:
        """An environment that fixes what a fork cannot have otherwise."""
        return _INHERITED

    def run(self, what: str, world: World, *, reseed: bool = False) -> Rehearsed:
        """Call the step in a world. Raises ChildFailed where it gives no answer."""
        answers = self.folder / f"call-{len(self.facts)}"
        answers.mkdir(parents=True)
        began = time.monotonic()
        seed = self.seed + reseed
        facts = self.fresh(_call, str(answers), str(self.root), world.features(), world.settings(), self.step, seed)
        self.facts.append(facts)
        self.told(f"{what}: the step {'returned' if 'leaves' in facts else 'failed'}")
        events = [*_values(facts.get("leaves", {})), *read_events(answers)]
        code = 0 if "leaves" in facts else 1
        return Rehearsed(code=code, seconds=time.monotonic() - began, output="", events=events)

    def together(self, worlds: Mapping[str, World], *, reseed: Sequence[str] = ()) -> dict[str, Rehearsed]:
        """Call the step in several worlds, one after the other: a process with threads must not be forked."""
        return {name: self.run(name, world, reseed=name in reseed) for name, world in worlds.items()}


def _call(  # noqa: PLR0913, PLR0917 - they travel to a child
    answers: str, root: str, features: Sequence[str], settings: Mapping[str, Any], step: str, seed: int
) -> dict[str, Any]:
    def begin() -> None:
        wire.open_in(answers, root)
        for name in features:
            importlib.import_module(f"preflight.rehearsal.inside.{name}").install(settings[name])

    facts = call_step(step, seed, begin)
    wire.tell("sources", files=places.own_files(), peak=0)
    return facts


def _values(leaves: Mapping[str, Mapping[str, Any]]) -> list[Event]:
    return [
        {
            "kind": "evidence",
            "what": f"value{path}",
            "digest": leaf["digest"],
            "shown": leaf["shown"],
            "process": "step",
            "place": {},
        }
        for path, leaf in leaves.items()
    ]
