"""What the real run will take, carried on from what a few batches of it took: time, memory, disk, open files."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from preflight.rehearsal.events import Event
from preflight.rehearsal.passes import Batch, Loader, loaders_of
from preflight.rehearsal.program import Rehearsed

_NUMBER = re.compile(r"\d+")
# What transformers and Lightning call a checkpoint where they save only one.
_CHECKPOINT = re.compile(r"(?:checkpoint-|epoch=|step=)(\d+)(?=[^/]*(?:/[^/]*)?$)")
# Memory that a program takes once comes in jumps; what it takes with each batch comes in steps of one size.
_NOISE, _CLEAR = 64 << 10, 1 << 20
_FEW = 4
_EVEN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """Seconds of the whole real run, most likely and between which bounds, and of one pass over `loader`, the main one.

    The bounds are what the slowest and the fastest of the `measured` batches would make of it. `repeats` tells how many
    times more often than in the rehearsal a framework repeats its pass.
    """

    seconds: float
    low: float
    high: float
    epoch: float
    measured: int
    loader: Loader
    repeats: float = 1.0


# Points that a plot of one has room for.
_MOST_POINTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Something that grows with every batch: by how much, through how many batches of the real run, `since` how many.

    `persists` says that it had not been given back when the next pass began; None where there was no next pass.
    """

    each: float
    batches: int
    measured: int
    persists: bool | None
    loader: Loader

    @property
    def total(self) -> float:
        """What it comes to at the end of the real run, or of the pass that it lasts for."""
        return self.each * self.batches


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of memory at the peak: of the largest process, of all together, and how that of the main one grows."""

    process: int
    together: int
    processes: int
    growth: Growth | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What the real run leaves on disk: `files` with their bytes, by path.

    `numbered` are families of files that differ by a number, which is `#` in their path: how many of each the real run
    keeps, and the bytes of one.
    """

    files: Mapping[str, int]
    numbered: Mapping[str, tuple[int, int]]

    def all(self) -> list[tuple[str, int, int]]:
        """Return path, number of files and bytes of them together."""
        single = [(path, 1, size) for path, size in self.files.items()]
        return single + [(path, count, count * size) for path, (count, size) in self.numbered.items()]


def main_loaders(events: Sequence[Event]) -> list[Loader]:
    """Return the loaders of the process that had the most batches, the first of those that had as many."""
    return max(loaders_of(events).values(), key=lambda each: sum(one.shown() for one in each), default=[])


def duration(done: Rehearsed) -> Duration | None:
    """Return how long the real run takes; None where that is not known.

    What the rehearsal left out is added to what it took: for each loader the batches that were not shown, at the
    median time of one. Where a framework was made to stop early, the passes and what surrounds them are multiplied.
    """
    loaders = [each for each in main_loaders(done.events) if each.length and each.times() and each.passes]
    if not loaders:
        return None
    main = max(loaders, key=lambda each: (each.length or 0) * len(each.passes))
    repeats = _repeats(done.events, main)
    if done.code is None and repeats is None:
        return None
    most, least, likely = (_whole(done, loaders, main, repeats or 1.0, choose) for choose in (max, min, median))
    return Duration(
        seconds=likely,
        low=least,
        high=most,
        epoch=median(main.times()) * (main.length or 0),
        measured=len(main.times()),
        loader=main,
        repeats=repeats or 1.0,
    )


def _whole(
    done: Rehearsed,
    loaders: Sequence[Loader],
    main: Loader,
    repeats: float,
    choose: Callable[[Sequence[float]], float],
) -> float:
    missing = {
        id(each): choose(each.times()) * ((each.length or 0) * len(each.passes) - each.shown()) for each in loaders
    }
    if repeats == 1.0:
        return done.seconds + sum(missing.values())
    began = min(each.began for each in main.passes)
    ended = max(each.until for each in main.passes)
    inside = [each for each in loaders if any(began <= one.began <= ended for one in each.passes)]
    loop = ended - began + sum(missing[id(each)] for each in inside)
    return done.seconds + sum(missing.values()) + (repeats - 1) * loop


def _repeats(events: Sequence[Event], main: Loader) -> float | None:
    """Return how many times the passes of the real run are those of the rehearsal; None where no framework tells."""
    told = next((event for event in events if event["kind"] == "trainer"), None)
    if told is None or not main.passes:
        return None
    epochs = told["epochs"]
    if told["steps"]:
        epochs = told["steps"] * (told["accumulation"] or 1) / (main.length or 1)
    return None if not epochs else max(1.0, epochs / len(main.passes))


def curve(done: Rehearsed) -> list[tuple[float, int, float]]:
    """Return (seconds since the first batch, bytes of its process, seconds that it took) of the batches in their order.

    Where they are many, every n-th, at most 200.
    """
    passes = [each for loader in main_loaders(done.events) for each in loader.passes]
    batches = sorted((each for one in passes for each in one.batches if each.facts.get("rss")), key=lambda b: b.handed)
    step = -(-len(batches) // _MOST_POINTS) or 1
    first = batches[0].handed if batches else 0.0
    return [
        (round(each.handed - first, 3), each.facts["rss"], round(each.waited + (each.worked or 0.0), 4))
        for each in batches[::step]
    ]


def memory(done: Rehearsed) -> Memory | None:
    """Return the memory at the peak; a page that processes share is counted once in what they take together."""
    peaks: dict[int, int] = defaultdict(int)
    families: dict[int, int] = defaultdict(int)
    members: dict[int, int] = {}
    inner: set[int] = set()
    for event in done.events:
        if event["kind"] == "memory":
            shares = [each.get("pss", 0) for each in event["processes"]]
            inner |= {each["pid"] for each in event["processes"][1:]}
            if sum(shares) > families[event["pid"]]:
                families[event["pid"]], members[event["pid"]] = sum(shares), len(shares)
        if event["kind"] in ("batch", "most") and event.get("rss"):
            peaks[event["pid"]] = max(peaks[event["pid"]], event["rss"])
    if not peaks:
        return None
    sampled = {pid: _sampled(done.events, pid) for pid in families}
    together = sum(size + max(0, peaks[pid] - sampled[pid]) for pid, size in families.items() if pid not in inner)
    return Memory(
        process=max(peaks.values()),
        together=max(together, *peaks.values()),
        processes=sum(count for pid, count in members.items() if pid not in inner) or 1,
        growth=growth(done, lambda batch: batch.facts.get("heap")),
    )


def _sampled(events: Sequence[Event], pid: int) -> int:
    return max((event["rss"] for event in events if event["kind"] == "batch" and event["pid"] == pid), default=0)


def growth(
    done: Rehearsed, measure: Callable[[Batch], float | None], *, noise: float = _NOISE, clear: float = _CLEAR
) -> Growth | None:
    """Return how a measure grows with each batch in the loader where it comes to most; None where it does not.

    The first difference is left out: a first step makes what it keeps. The others must all be of one size, and more
    than `noise`; where they are few, at least `clear`.
    """
    found = [
        each for loader in main_loaders(done.events) if (each := _growth_in(loader, measure, (noise, clear), done))
    ]
    return max(found, key=lambda each: each.total, default=None)


def _growth_in(
    loader: Loader, measure: Callable[[Batch], float | None], least: tuple[float, float], done: Rehearsed
) -> Growth | None:
    series = [[value for batch in each.batches if (value := measure(batch)) is not None] for each in loader.passes]
    steps = [b - a for number, row in enumerate(series) for a, b in _pairs(row[1:] if number == 0 else row)]
    if len(steps) < 2 or not loader.length:
        return None
    typical = median(steps)
    if typical < least[len(steps) < _FEW]:
        return None
    if min(steps) < _EVEN * typical or max(steps) > typical / _EVEN:
        return None
    begun = [row[0] for row in series[1:] if row]
    shown = [len(each.batches) for each in loader.passes[1:]]
    persists = None
    if len(begun) > 1:
        kept = [(b - a) / count for (a, b), count in zip(_pairs(begun), shown, strict=False)]
        persists = min(kept) >= _EVEN * typical
    passes = len(loader.passes) * (_repeats(done.events, loader) or 1.0) if persists else 1
    return Growth(
        each=typical,
        batches=round(loader.length * passes),
        measured=len(steps),
        persists=persists,
        loader=loader,
    )


def _pairs(row: Sequence[float]) -> list[tuple[float, float]]:
    return list(itertools.pairwise(row))


def storage(done: Rehearsed) -> Storage:
    """Return what the real run leaves on disk.

    A program whose passes were only cut writes its numbered files as often as in the real run. Where a framework was
    made to stop early, they are as many as its own settings make.
    """
    sizes = {each.path: each.bytes for each in done.written if each.new}
    kept = _kept(done)
    if kept is None:
        return Storage(files=sizes, numbered={})
    families = _families(list(sizes))
    saved = {event["path"] for event in done.events if event["kind"] == "saved"}
    folders = {name.rpartition("/")[0] for name, paths in families.items() if saved & set(paths)}
    numbered = {}
    for name, paths in families.items():
        is_checkpoint = saved & set(paths) or ("#" in (folder := name.rpartition("/")[0]) and folder in folders)
        count = max(kept, len(paths)) if is_checkpoint else len(paths)
        numbered[name] = (count, max(sizes.pop(path) for path in paths))
    return Storage(files=sizes, numbered=numbered)


def _families(paths: Sequence[str]) -> dict[str, list[str]]:
    """Return the paths that differ by their numbers only, by what they have in common with `#` for what differs."""
    alike: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        alike[_NUMBER.sub("#", path)].append(path)
    families = {}
    for group in alike.values():
        numbers = list(zip(*(_NUMBER.findall(path) for path in group), strict=True))
        fixed = [each[0] if len(set(each)) == 1 else "#" for each in numbers]
        if len(group) > 1:
            rest = itertools.zip_longest(_NUMBER.split(group[0]), fixed, fillvalue="")
            families["".join(itertools.chain.from_iterable(rest))] = group
        elif found := _CHECKPOINT.search(group[0]):
            families[group[0][: found.start(1)] + "#" + group[0][found.end(1) :]] = group
    return families


def _kept(done: Rehearsed) -> int | None:
    """Return how many checkpoints a framework keeps at a time; None where none was made to stop early."""
    told = next((event for event in done.events if event["kind"] == "trainer"), None)
    loaders = main_loaders(done.events)
    main = max(loaders, key=lambda each: (each.length or 0) * len(each.passes), default=None)
    if told is None or main is None or not main.length:
        return None
    steps = told["steps"] or (told["epochs"] or 1) * main.length / (told["accumulation"] or 1)
    # The last step is saved too.
    made = -(-steps // told["save_steps"]) if told["save_steps"] else told["epochs"] or steps / main.length
    limit = told["save_limit"]
    return max(1, round(made if limit is None or limit < 1 else min(limit, made)))
