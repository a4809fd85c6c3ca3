"""What the program did with its data, put together from the events: loaders, their passes, the batches of a pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from preflight.rehearsal.events import Event


@dataclass(slots=True, kw_only=True)
class Batch:
    """One batch: when the program asked for it and had it, and what was measured then; times in seconds."""

    index: int
    is_last: bool
    asked: float
    handed: float
    waited: float
    facts: Mapping[str, Any]
    # What the program did with it until it asked again, without passes over other data and without saves.
    worked: float | None = None


@dataclass(slots=True, kw_only=True)
class Pass:
    """One pass of one process over one loader; `ended` is None where it was broken off."""

    began: float
    ended: float | None = None
    batches: list[Batch] = field(default_factory=list)

    def holds(self, batch: Batch) -> bool:
        """Tell whether a batch is of this pass."""
        return any(each is batch for each in self.batches)

    @property
    def until(self) -> float:
        """The end of it as far as it is known."""
        return self.ended if self.ended is not None else max((each.handed for each in self.batches), default=self.began)


@dataclass(slots=True, kw_only=True)
class Loader:
    """A DataLoader: what `loader` told of it, its passes, and how long each of its workers took for a batch."""

    facts: Mapping[str, Any]
    passes: list[Pass] = field(default_factory=list)
    fetched: list[float] = field(default_factory=list)

    @property
    def length(self) -> int | None:
        """The true number of batches in a pass."""
        length = self.facts["length"]
        return None if length is None else int(length)

    @property
    def workers(self) -> int:
        """The number of its worker processes."""
        return int(self.facts["workers"])

    def shown(self) -> int:
        """Return how many batches were handed out in all passes together."""
        return sum(len(each.batches) for each in self.passes)

    def times(self) -> list[float]:
        """Return what each batch takes once all is warm.

        Left out are the incomplete last of a pass, its first, which waits for workers to start and is followed by the
        next at once where somebody reads one ahead, and the first steps of all. Workers prefetch, so that the
        few batches of a short pass are all there at once: in the long run none comes faster than they make them.
        """
        every = [batch for each in self.passes for batch in each.batches if batch.worked is not None]
        full = [batch for batch in every if not batch.is_last]
        inner = [batch for batch in full if batch.index] or full[1:] or full or every
        warm = [batch for batch in inner if not self.passes[0].holds(batch)] or inner[len(inner) > 2 :]
        made = median(self.fetched) / self.workers if self.fetched and self.workers else 0.0
        waited = [0.0 if self.workers else batch.waited for batch in warm]
        return [max(made, wait + (batch.worked or 0.0)) for wait, batch in zip(waited, warm, strict=True)]

    def stall(self) -> float | None:
        """Return the part of a batch's time in which the program waits for it; None where that is not known."""
        times = self.times()
        worked = [each.worked for one in self.passes for each in one.batches[1:-1] if each.worked is not None]
        if not times or not worked or not median(times):
            return None
        return max(0.0, 1 - median(worked) / median(times))


def loaders_of(events: Sequence[Event]) -> dict[int, list[Loader]]:
    """Return the loaders of each process that had one, by its id, in the order of their first passes.

    A program that makes a new DataLoader for each epoch has one: those of one place and one length are taken together.
    """
    found: dict[int, dict[tuple[Any, ...], Loader]] = {}
    numbers: dict[tuple[int, int], Loader] = {}
    passes: dict[tuple[int, int, int], Pass] = {}
    for event in events:
        pid, kind = event["pid"], event["kind"]
        if kind == "loader":
            alike = (str(event["place"]), *(event[name] for name in ("dataset", "length", "batch_size", "workers")))
            loader = found.setdefault(pid, {}).setdefault(alike, Loader(facts=event))
            numbers[pid, event["loader"]] = loader
        elif kind == "pass" and (pid, event["loader"]) in numbers:
            begun = passes[pid, event["loader"], event["number"]] = Pass(began=event["at"])
            numbers[pid, event["loader"]].passes.append(begun)
        elif kind in ("batch", "pass-end"):
            number = event["pass" if kind == "batch" else "number"]
            if one := passes.get((pid, event["loader"], number)):
                _add(one, event)
    loaders = {pid: list(each.values()) for pid, each in found.items()}
    for pid, each in loaders.items():
        _add_work(each, [event for event in events if event["kind"] == "saved" and event["pid"] == pid])
        _add_fetched(each, events, pid)
    return loaders


def _add(one: Pass, event: Event) -> None:
    if one.batches and one.batches[-1].worked is None:
        one.batches[-1].worked = event["asked"] - one.batches[-1].handed
    if event["kind"] == "pass-end":
        one.ended = event["at"]
    else:
        facts = {name: event[name] for name in ("asked", "waited", "index")}
        one.batches.append(Batch(**facts, is_last=event["last"], handed=event["at"], facts=event))


def _add_work(loaders: Sequence[Loader], saves: Sequence[Event]) -> None:
    """Take from the work on each batch what went to other passes and to saves meanwhile."""
    for loader in loaders:
        others = [(each.began, each.until) for other in loaders if other is not loader for each in other.passes]
        others += [(each["at"] - each["seconds"], each["at"]) for each in saves]
        for each in (batch for batch_pass in loader.passes for batch in batch_pass.batches):
            if each.worked is not None:
                end = each.handed + each.worked
                each.worked -= _covered([(max(a, each.handed), min(b, end)) for a, b in others])


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    covered, until = 0.0, float("-inf")
    for began, ended in sorted(span for span in spans if span[1] > span[0]):
        covered += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return covered


def _add_fetched(loaders: Sequence[Loader], events: Sequence[Event], pid: int) -> None:
    """Give each loader what workers below its process made for it: known by dataset and time."""
    below = {event["pid"] for event in events if event["kind"] == "process" and event["parent"] == pid}
    for event in events:
        if event["kind"] == "fetched" and event["pid"] in below:
            for loader in loaders:
                alike = loader.facts["dataset"] == event["dataset"] and loader.workers
                if alike and any(each.began <= event["at"] <= each.until for each in loader.passes):
                    loader.fetched.append(event["seconds"])
                    break
