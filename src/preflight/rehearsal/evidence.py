"""What two runs of a program are compared by: digests of what they computed, and the text that they left."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from preflight.rehearsal.program import Rehearsed

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Bars of progress, and lines of libraries that begin with a time and a process.
_PASSING = re.compile(r"\d+%\||\bit/s\b|\bs/it\b|^\[?(rank\d+\]:)?\[?[WIEF]\d{4} |\bPID\b|\bpid\b")
_UNIT = r"(s|sec|secs|seconds?|ms|us|µs|min|minutes?|h|hours?|[KMGTkmgt]i?B|bytes|\w+/s(ec)?|\w+ per second)"
_MASKED = (
    re.compile(r"\b\d{4}[-/_.]\d{1,2}[-/_.]\d{1,2}([T _-]+\d{1,2}[:-]?\d{2}([:-]?\d{2})?([.,]\d+)?Z?)?"),
    re.compile(r"\b\d{1,2}:\d{2}(:\d{2})?([.,]\d+)?(\s?[AP]M)?\b"),
    re.compile(r"(?<![\w.])\d{8}[-_T]\d{4,6}([-_][0-9a-f]{4,})?\b"),
    re.compile(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? +([A-Z][a-z]{2} +\d+|\d+ +[A-Z][a-z]{2})( +\d{4})?"),
    re.compile(r"(?<![\w.])1[5-9]\d{8}(\d{3}|\d{6}|\d{9})?(\.\d+)?\b"),
    re.compile(r"\b0x[0-9a-fA-F]+\b"),
    re.compile(r"\b[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\b"),
    re.compile(r"(?<![\w.])/(tmp|var|dev/shm|proc|run)/[^\s'\",;)]*"),
    re.compile(rf"(?<![\w.])\d+(\.\d+)?([eE][+-]?\d+)?\s?{_UNIT}\b"),
    re.compile(
        r"(?i)[\w'\"]*(time|elapsed|duration|took|per_second|seconds|speed|throughput|memory|\brss|\beta)\b['\"]?"
        r"\s*[:=]?\s*\d[\d.]*([eE][+-]?\d+)?"
    ),
)
_LONG_NAME = re.compile(r"\b(?=[0-9a-z_]*\d)(?=[0-9a-z_]*[a-z])[0-9a-z_]{6,}\b|\btmp\w+")
# A number of at least three significant digits behind the point.
_COMPUTED = re.compile(r"\d\.0*[1-9]\d\d")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One value that a run computed: what it is (`batch`, `loss`, …), its digest and looks, and where that was."""

    what: str
    digest: str
    shown: str
    place: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a run left: values by process and kind, and lines of text, printed or written, without what passes."""

    values: dict[tuple[str, str], list[Item]]
    lines: list[str]

    @property
    def count(self) -> int:
        """How many values there are."""
        return sum(map(len, self.values.values()))

    @property
    def is_telling(self) -> bool:
        """Whether there is something that a seed decides in most programs: more than data and fixed texts."""
        return self.count > self.counts()["batch"] or any(_COMPUTED.search(line) for line in self.lines)

    def without_number(self, number: int) -> Evidence:
        """Return the same with the whole number left out of the lines."""
        alone = re.compile(rf"(?<![\w.]){number}(?![\w.]|\.\d)")
        return replace(self, lines=[alone.sub("~", line) for line in self.lines])

    def counts(self) -> Counter[str]:
        """Return how many there are of each kind."""
        return Counter(item.what for items in self.values.values() for item in items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first thing that two runs do not have in common: which one of its kind it is, and how it looks in both."""

    what: str
    number: int
    one: str
    other: str
    place: dict[str, Any] = field(default_factory=dict)


def evidence_of(ran: Rehearsed, masked: Sequence[str] = ()) -> Evidence:
    """Return what a run left; `masked` are words that may be others in another run."""
    values: dict[tuple[str, str], list[Item]] = {}
    lines = list(_lines(ran.output.splitlines(), masked))
    for event in ran.events:
        if event["kind"] == "evidence":
            item = Item(**{name: event[name] for name in ("what", "digest", "shown", "place")})
            values.setdefault((event["process"], event["what"]), []).append(item)
        elif event["kind"] == "wrote":
            lines += [f"{_mask(event['name'], masked)}: {line}" for line in _lines(event["lines"], masked)]
    return Evidence(values=values, lines=lines)


def value_difference(one: Evidence, other: Evidence, *, is_cut: bool = False) -> Difference | None:
    """Return the first value that differs, in the order of the first run; None where they computed the same.

    With `is_cut` a run was broken off, so that what only one of them came to says nothing.
    """
    same = _same_processes(one, other)
    for (process, what), items in one.values.items():
        if process not in same:
            continue
        others = other.values.get((same[process], what), [])
        for number, (first, second) in enumerate((zip if is_cut else zip_longest)(items, others), 1):
            if first is None or second is None or first.digest != second.digest:
                known = first or second
                shown = [each.shown if each else "nothing" for each in (first, second)]
                assert known is not None
                return Difference(what=what, number=number, one=shown[0], other=shown[1], place=known.place)
    return None


def text_difference(
    one: Evidence, other: Evidence, noise: Noise, *, names_pass: bool = False, is_cut: bool = False
) -> Difference | None:
    """Return the first line that differs beyond what is noise; with `names_pass` names that hold digits may differ."""
    first, second = (noise.without(each.lines, names_pass=names_pass) for each in (one, other))
    if is_cut:
        length = max(0, min(len(first), len(second)) - 1)
        first, second = first[:length], second[:length]
    if first == second or (noise.is_unordered and Counter(first) == Counter(second)):
        return None
    for number, (left, right) in enumerate(zip_longest(first, second), 1):
        if left != right:
            lines = [f"`{line[:120]}`" if line is not None else "nothing" for line in (left, right)]
            return Difference(what="line", number=number, one=lines[0], other=lines[1])
    return None


class Noise:
    """What differs between two runs in one and the same world, and so says nothing about two others."""

    def __init__(self, one: Evidence | None = None, other: Evidence | None = None) -> None:
        self._numbers: set[tuple[tuple[str, ...], int]] = set()
        self._lines: set[tuple[str, ...]] = set()
        self.is_unordered = False
        if one is not None and other is not None:
            self._learn(one.lines, other.lines)

    def _learn(self, one: list[str], other: list[str]) -> None:
        self.is_unordered = one != other and Counter(one) == Counter(other)
        if self.is_unordered:
            return
        for left, right in zip_longest(one, other, fillvalue=""):
            (frame, numbers), (other_frame, others) = _taken_apart(left), _taken_apart(right)
            if frame != other_frame:
                self._lines |= {frame, other_frame}
                continue
            pairs = enumerate(zip(numbers, others, strict=True))
            self._numbers |= {(frame, index) for index, pair in pairs if pair[0] != pair[1]}

    def without(self, lines: Iterable[str], *, names_pass: bool = False) -> list[str]:
        """Return the lines without what is noise."""
        kept = []
        for line in lines:
            frame, numbers = _taken_apart(line)
            if frame in self._lines:
                continue
            told = ["~" if (frame, index) in self._numbers else number for index, number in enumerate(numbers)]
            text = "".join(part for pair in zip_longest(frame, told, fillvalue="") for part in pair)
            kept.append(_LONG_NAME.sub("~", text) if names_pass else text)
        return kept


def _taken_apart(line: str) -> tuple[tuple[str, ...], list[str]]:
    parts = _NUMBER.split(line)
    return tuple(parts[::2]), parts[1::2]


def _same_processes(one: Evidence, other: Evidence) -> dict[str, str]:
    """Return the process of the other run for each of the first; under another seed none has the same name."""
    ours, theirs = (list(dict.fromkeys(process for process, _ in each.values)) for each in (one, other))
    shared = {name: name for name in ours if name in theirs}
    return shared or dict(zip(ours, theirs, strict=False))


def _lines(raw: Iterable[str], masked: Sequence[str]) -> Iterable[str]:
    for line in raw:
        plain = _COLOUR.sub("", line).rpartition("\r")[2].rstrip()
        if plain and not _PASSING.search(plain):
            yield _mask(plain, masked)


def _mask(text: str, masked: Sequence[str]) -> str:
    for word in masked:
        text = text.replace(word, "~")
    for pattern in _MASKED:
        text = pattern.sub("~", text)
    return text
