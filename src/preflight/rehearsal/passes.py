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

    @property
    def seconds(self) -> float | None:
        """What it took as a whole."""
        return None if self.worked is None else self.waited + self.worked


@dataclass(slots=True, kw_only=True)
class Pass:
    """One pass of one process over one loader; `ended` is None where it was broken off."""

    number: int
    began: float
    ended: float | None = None
    batches: list[Batch] = field(default_factory=list)

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
        """Return what each batch takes once all is warm: not the first of all, not the incomplete last.

        Workers prefetch, so that the few batches of a short pass are all there at once: in the long run none comes
        faster than they make them.
        """
        warm = [each for batch_pass in self.passes for each in batch_pass.batches if not each.is_last]
        warm = [each for each in warm[1:] if each.worked is not None] or [
            each for batch_pass in self.passes for each in batch_pass.batches if each.worked is not None
        ]
        if not self.workers:
            return [each.seconds for each in warm if each.seconds is not None]
        made = median(self.fetched) / self.workers if self.fetched else 0.0
        return [max(each.worked, made) for each in warm if each.worked is not None]

    def stall(self) -> float | None:
        """Return the part of a batch's time in which the program waits for it; None where that is not known."""
        times = self.times()
        worked = [each.worked for one in self.passes for each in one.batches[1:-1] if each.worked is not None]
        if not times or not worked or not median(times):
            return None
        return max(0.0, 1 - median(worked) / median(times))


def loaders_of(events: Sequence[Event]) -> dict[int, list[Loader]]:
    """Return the loaders of each process that had one, by its id, in the order of their first passes."""
    found: dict[int, dict[int, Loader]] = {}
    for event in events:
        of_process = found.setdefault(event["pid"], {})
        if event["kind"] == "loader":
            of_process[event["loader"]] = Loader(facts=event)
        elif event["kind"] in ("pass", "batch", "pass-end") and event["loader"] in of_process:
            _add(of_process[event["loader"]], event)
    loaders = {pid: list(each.values()) for pid, each in found.items() if each}
    for pid, each in loaders.items():
        _add_work(each, [event for event in events if event["kind"] == "saved" and event["pid"] == pid])
        _add_fetched(each, events, pid)
    return loaders


def _add(loader: Loader, event: Event) -> None:
    if event["kind"] == "pass":
        loader.passes.append(Pass(number=event["number"], began=event["at"]))
        return
    of = event["pass"] if event["kind"] == "batch" else event["number"]
    batch_pass = next((each for each in loader.passes if each.number == of), None)
    if batch_pass is None:
        return
    if batch_pass.batches and batch_pass.batches[-1].worked is None:
        last = batch_pass.batches[-1]
        last.worked = event["asked"] - last.handed
    if event["kind"] == "pass-end":
        batch_pass.ended = event["at"]
        return
    facts = {name: event[name] for name in ("asked", "waited", "index")}
    batch_pass.batches.append(Batch(**facts, is_last=event["last"], handed=event["at"], facts=event))


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
