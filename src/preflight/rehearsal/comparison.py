"""Whether a program does the same in unlike worlds under one seed, another under another, and what is to blame."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from preflight.rehearsal.events import Event
from preflight.rehearsal.evidence import Difference, Evidence, Noise, evidence_of, text_difference, value_difference
from preflight.rehearsal.program import Rehearsed
from preflight.rehearsal.repeats import Repeats
from preflight.rehearsal.reseeding import Reseeded
from preflight.rehearsal.sources import SOURCES, World, baseline, fixed, perturbed, pinned
from preflight.system.unordered import Unordered, find_divided, find_unordered

# What a run under the same seed may die of, though the program is in order: filled memory is really taken up.
_HARMLESS = ("memory", "time", "threads")
# Where the values of two runs agree, text can still show that something unseeded is drawn from. Other sources decide
# there how things are told: the order of a printed set is no result.
_TELLING = ("random", "numpy", "torch")
# Orders of a small set are few; so many more are tried where the code goes through one.
_MORE_HASHES = (3, 4)
# What runs are called.
FIRST, OTHER, RESEEDED = "as it is", "in another world", "under another seed"
HASH, THREADS, REST = "with hash seed", "with another number of threads", "everything at rest"
# The events by which the user's code is seen to meet a source; `draw` for the others.
_KINDS = {"names": "listing", "completion": "completion", "time": "time", "memory": "empty"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guilty:
    """A source that decides what the program does: the events and the places in the code that show where."""

    source: str
    difference: Difference
    events: Sequence[Event] = ()
    unordered: Sequence[Unordered] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came of comparing: `first` is the run that the others are held against.

    `difference` is what differs under one seed, None where nothing does; `guilty` the sources that it comes from;
    `is_unsettled` says that two runs differ even where all known sources rest, `is_out_of_time` that runs could not be
    made to their end, and the guilty are named by what was seen alone. `has_effect` tells whether another seed changes
    anything, None where that could not be tried. `tried` are the sources that were moved.
    """

    first: Rehearsed
    evidence: Evidence
    difference: Difference | None = None
    guilty: Sequence[Guilty] = ()
    is_unsettled: bool = False
    is_out_of_time: bool = False
    has_effect: bool | None = None
    tried: Sequence[str] = ()
    pinned: World | None = None


@dataclass(frozen=True, slots=True)
class _Run:
    ran: Rehearsed
    evidence: Evidence

    def differs(self, other: _Run, noise: Noise, *, names_pass: bool = False) -> Difference | None:
        """Return the first difference in how two runs ended, what they computed, or what they told."""
        one, two = self.ran.code, other.ran.code
        is_cut = one is None or two is None
        if one != two and not is_cut:
            return Difference(what="exit code", number=1, one=str(one), other=str(two))
        return value_difference(self.evidence, other.evidence, is_cut=is_cut) or text_difference(
            self.evidence, other.evidence, noise, names_pass=names_pass, is_cut=is_cut
        )


def compare(repeats: Repeats, masked: Sequence[str] = ()) -> Comparison:
    """Run the program in two unlike worlds and under another seed, then in as many as it takes to know the guilty."""
    trial = _Trial(repeats, masked, time.time())
    if repeats.memory:
        runs = trial.together({FIRST: baseline(trial.began), OTHER: perturbed(trial.began)})
        first = runs[FIRST]
    else:
        first = trial.run(FIRST, baseline(trial.began))
        runs = trial.together(trial.worlds(first)) if first.ran.code in (0, None) else {}
    if not runs or first.ran.code not in (0, None):
        return Comparison(first=first.ran, evidence=first.evidence)
    other = runs[OTHER]
    if other.ran.code not in (first.ran.code, None):
        other = trial.run(OTHER, perturbed(trial.began, without=_HARMLESS))
    found = Comparison(
        first=first.ran,
        evidence=first.evidence,
        has_effect=_has_effect(first, other, runs[RESEEDED], repeats.reseeded) if repeats.reseeded else None,
        tried=[name for name in SOURCES if name not in fixed(repeats.environment)],
    )
    others = [other, *(run for name, run in runs.items() if name.startswith(HASH))]
    differences = [each for run in others if (each := first.differs(run, Noise()))]
    if differences:
        return trial.find_guilty(found, first, differences[0])
    if other.ran.code is None and first.ran.code is not None:
        return replace(found, has_effect=None, is_out_of_time=True)
    return trial.try_threads(found, first)


class _Trial:
    """The runs of one comparison."""

    def __init__(self, repeats: Repeats, masked: Sequence[str], began: float) -> None:
        self.repeats, self.masked, self.began = repeats, masked, began

    def run(self, what: str, world: World) -> _Run:
        """Run the program once."""
        return self._read(self.repeats.run(what, world))

    def together(self, worlds: Mapping[str, World]) -> dict[str, _Run]:
        """Run the program in several worlds."""
        runs = self.repeats.together(worlds, reseed=[RESEEDED])
        return {name: self._read(ran) for name, ran in runs.items()}

    def worlds(self, first: _Run) -> dict[str, World]:
        """Return the worlds that the first run is held against, by name."""
        plain, settled = replace(baseline(self.began), traced=False), fixed(self.repeats.environment)
        worlds = {OTHER: perturbed(self.began)}
        if "hash" not in settled and self.unordered(first):
            worlds |= {f"{HASH} {salt}": plain.but(hash=salt) for salt in _MORE_HASHES}
        if self.repeats.reseeded:
            worlds[RESEEDED] = plain
        return worlds

    def _read(self, ran: Rehearsed) -> _Run:
        return _Run(ran, evidence_of(ran, self.masked))

    def unordered(self, run: _Run) -> list[Unordered]:
        """Return the places in the user's own files at which the order of a set or a hash is asked for."""
        files = dict.fromkeys(file for event in run.ran.of("sources") for file in event["files"])
        return [place for file in files for place in find_unordered(Path(file))]

    def try_threads(self, found: Comparison, first: _Run) -> Comparison:
        """Run with another number of threads a program that divides its work among them itself.

        The sums of libraries have other last bits then, in any program.
        """
        files = dict.fromkeys(file for event in first.ran.of("sources") for file in event["files"])
        divided = [place for file in files for place in find_divided(Path(file))]
        if not divided or "threads" in fixed(self.repeats.environment):
            return found
        run = self.run(THREADS, replace(baseline(self.began), traced=False).but(threads=2))
        difference = first.differs(run, Noise())
        if difference is None or difference.what == "exit code":
            return found
        guilty = Guilty(source="threads", difference=difference, unordered=divided)
        return replace(found, difference=difference, guilty=[guilty])

    def find_guilty(self, found: Comparison, first: _Run, difference: Difference) -> Comparison:
        """Move one source at a time in a world in which all others rest, until what differs is explained."""
        plain, _ = self._suspects(first)
        found = replace(found, difference=difference)
        if difference.what != "line":
            world = replace(baseline(self.began), traced=False)
            if guilty := list(self._charged(plain, first, first, Noise(), world)):
                return replace(found, guilty=guilty, pinned=world)
        world = pinned(self.began)
        begun = self.together({REST: replace(world, traced=True), f"{REST}, again": world})
        rest, again = begun.values()
        if rest.ran.code != first.ran.code:  # the program cannot bear to be watched
            world = replace(world, watched=False)
            begun = self.together({f"{REST}, unwatched": world, f"{REST}, unwatched, again": world})
            rest, again = begun.values()
        noise = Noise(rest.evidence, again.evidence)
        # What differs in one and the same world says nothing about two others.
        is_unsettled = rest.differs(again, noise) is not None
        guilty = (
            [] if is_unsettled else list(self._guilty(first, rest, noise, world, thorough=difference.what != "line"))
        )
        if guilty or is_unsettled or not self.repeats.is_over:
            if not guilty and not is_unsettled and difference.what == "line":
                # What passes: times, memory, names of files.
                return replace(found, difference=None, has_effect=found.has_effect or None)
            return replace(found, guilty=guilty, is_unsettled=is_unsettled, pinned=world)
        # There was no time to try; what was seen is told.
        by_sight = [self._charge(name, difference, first) for name in plain]
        return replace(found, guilty=by_sight, is_out_of_time=True)

    def _guilty(self, first: _Run, rest: _Run, noise: Noise, world: World, *, thorough: bool) -> Iterator[Guilty]:
        """Yield the guilty among what the code was seen to meet; only a `thorough` search goes on to all others."""
        settled = {"threads", *fixed(self.repeats.environment)}
        open_ones = [name for name in SOURCES if name not in settled]
        plain, seen = self._suspects(first, rest)
        others = [name for name in open_ones if thorough and name not in plain and name not in seen]
        for group in (plain, [name for name in open_ones if name in seen], others):
            if found := list(self._charged(group, rest, first, noise, world)):
                yield from found
                return

    def _charged(self, group: Sequence[str], rest: _Run, first: _Run, noise: Noise, world: World) -> Iterator[Guilty]:
        """Yield those of a group of sources that change what a run at rest does."""
        if self.repeats.is_over:
            return
        worlds = {f"another {name}": world.but(**{name: 2}) for name in group}
        for name, run in zip(group, self.together(worlds).values(), strict=True):
            if difference := self._blame(name, rest, run, noise):
                charge = self._charge(name, difference, rest, first)
                # What nobody was seen to meet is to blame only if the run repeats itself in that world.
                is_seen = charge.events or charge.unordered
                if is_seen or not run.differs(self.run(f"another {name}, again", worlds[f"another {name}"]), noise):
                    yield charge

    def _suspects(self, *runs: _Run) -> tuple[list[str], set[str]]:
        """Return the generators that were seen to be drawn from unseeded, and what else the user's code meets."""
        drawn = {event["source"] for run in runs for event in run.ran.of("draw")}
        seen = {name for name, kind in _KINDS.items() if any(run.ran.of(kind) for run in runs)} | (drawn & {"entropy"})
        if any(map(self.unordered, runs)):
            seen.add("hash")
        return [name for name in _TELLING if name in drawn], seen

    def _blame(self, name: str, rest: _Run, run: _Run, noise: Noise) -> Difference | None:
        if run.ran.code != rest.ran.code:
            return None if name in _HARMLESS else rest.differs(run, noise)
        difference = rest.differs(run, noise, names_pass=name in ("time", "entropy"))
        is_told_only = difference is not None and difference.what == "line" and rest.evidence.count > 0
        return None if is_told_only and name not in _TELLING else difference

    def _charge(self, name: str, difference: Difference, *runs: _Run) -> Guilty:
        kind = _KINDS.get(name, "draw")
        events = [event for run in runs for event in run.ran.of(kind) if event.get("source", name) == name]
        unordered = self.unordered(runs[0]) if name == "hash" else ()
        return Guilty(source=name, difference=difference, events=events, unordered=unordered)


def _has_effect(first: _Run, again: _Run, other: _Run, reseeded: Reseeded) -> bool | None:
    """Tell whether another seed changes what does not change by itself; that the seed is printed does not count."""
    if other.ran.code != first.ran.code:
        return None
    if value_difference(first.evidence, other.evidence) is not None:
        return True
    if first.ran.code is None:
        return None  # what it would have come to is not known
    one, two = first.evidence.without_number(reseeded.seed - 1), again.evidence.without_number(reseeded.seed - 1)
    return text_difference(one, other.evidence.without_number(reseeded.seed), Noise(one, two)) is not None
