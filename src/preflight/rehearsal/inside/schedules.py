"""How often a schedule of learning rates is stepped that ends after a number of steps.

`schedule` {schedule, total, steps, passes, asked, place}: at the end, what a OneCycleLR had: how many steps it allows,
how many it was given, the [loader, pass, batches] in which each batch brought one of them, whether the program had
asked how long such a loader is, and where the schedule was made.
"""

import atexit
import functools
import weakref
from collections import Counter
from types import ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, guard, loaders, places, wire

# What a schedule holds itself goes into the checkpoints of the program.
_schedules: "weakref.WeakKeyDictionary[Any, _Schedule]" = weakref.WeakKeyDictionary()
_all: list["_Schedule"] = []


class _Schedule:
    """What one schedule was seen to do; it may be gone long before the end of the program."""

    def __init__(self, schedule: Any) -> None:
        self.kind, self.total, self.place = type(schedule).__name__, int(schedule.total_steps), places.here()
        self.steps = 0
        self.batches: set[tuple[int, int, int]] = set()
        self.is_asked = False

    def step(self) -> None:
        """Count a step, and the batch in hand."""
        self.steps += 1
        if batch := loaders.current():
            self.batches.add((batch["loader"], batch["pass"], batch["index"]))
            self.is_asked |= loaders.is_asked(batch["loader"])

    def tell(self) -> None:
        """Tell what was seen of it."""
        passes = Counter(each[:2] for each in self.batches)
        wire.tell(
            "schedule",
            schedule=self.kind,
            total=self.total,
            steps=self.steps,
            passes=[[*key, count] for key, count in passes.items()],
            asked=self.is_asked,
            place=self.place,
        )


def install(_: dict[str, Any]) -> None:
    """Watch the one schedule of torch that raises after its last step."""
    arrivals.when_imported("torch.optim.lr_scheduler", _watch)
    atexit.register(guard.quietly(_tell))


def _watch(module: ModuleType) -> None:
    kind = module.OneCycleLR
    create, step = kind.__init__, kind.step

    @functools.wraps(create)
    def __init__(self: Any, *arguments: Any, **named: Any) -> None:  # noqa: N807
        create(self, *arguments, **named)
        guard.attempt(_begin, self)

    @functools.wraps(step)
    def stepped(self: Any, *arguments: Any, **named: Any) -> Any:
        if seen := _schedules.get(self):
            guard.attempt(seen.step)
        return step(self, *arguments, **named)

    kind.__init__, kind.step = __init__, stepped


def _begin(schedule: Any) -> None:
    _schedules[schedule] = _Schedule(schedule)
    _all.append(_schedules[schedule])


def _tell() -> None:
    for seen in _all:
        seen.tell()
