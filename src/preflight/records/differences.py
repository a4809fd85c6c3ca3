"""What differs between two worlds, the most telling first, each in words of half a line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from preflight.model import Report
from preflight.quantities import format_size
from preflight.records.world import World
from preflight.system.outline import in_words
from preflight.verdict import refuses

ABSENT = "(none)"
_LONGEST = 60
_SIZES = frozenset({"ram", "shm", "stack"})
# Kinds whose names mean nothing else where they stand in a sentence.
_NAMED = frozenset({"data", "packages", "locks", "variables"})
_WORDS = {"code": {"changed": "changed files", "untracked": "untracked files"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as it was: its kind (`packages`, `data`, …), its name, and both values in words."""

    kind: str
    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name} {self.before} → {self.after}"


def compare(before: World, after: World, suspects: str = "") -> list[Difference]:
    """Return what differs, the most telling first.

    First comes what `suspects` names, which is what was found wrong; then the first of each kind, in the order of the
    kinds in a World, then the second of each. A kind of which one side knows nothing is left out.
    """
    found: list[tuple[tuple[bool, int, int], Difference]] = []
    for rank, kind in enumerate(after):
        sides = before.get(kind) or {}, after[kind] or {}
        differing = [
            (not (kind in _NAMED and _is_named(each.name, suspects)), each)
            for each in (_differing(kind, *sides) if all(sides) else ())
        ]
        ordered = sorted(differing, key=lambda pair: pair[0])
        found += [((late, place if late else 0, rank), each) for place, (late, each) in enumerate(ordered)]
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]


def suspects_of(report: Report) -> str:
    """Return the text of all that speaks against a launch, with the entries that the failed checks are about."""
    bad = [each for each in report.results if refuses(each)]
    entries = [each.check.partition("[")[2].removesuffix("]") for each in bad]
    texts = [(finding.message, finding.cause, finding.found, finding.file) for each in bad for finding in each.findings]
    return "\n".join(word for text in (*texts, entries) for word in text if word)


def by_kind(differences: Sequence[Difference]) -> list[tuple[str, list[Difference]]]:
    """Return the differences of each kind, the kinds in the order in which each first comes."""
    order = {kind: place for place, kind in enumerate(dict.fromkeys(each.kind for each in differences))}
    ordered = sorted(differences, key=lambda each: order[each.kind])
    return [(kind, list(group)) for kind, group in groupby(ordered, key=lambda each: each.kind)]


def _differing(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    words = _WORDS.get(kind, {})
    for name in {**after, **before}:
        one, other = before.get(name), after.get(name)
        if one == other:
            continue
        if kind in ("data", "locks"):
            pair = _of_outlines(one, other)
        elif kind == "code" and name == "commit":
            pair = str(one or ABSENT)[:8], str(other or ABSENT)[:8]
        else:
            pair = _worded(name, one), _worded(name, other)
        if pair[0] != pair[1]:
            yield Difference(kind=kind, name=words.get(name, name), before=pair[0], after=pair[1])


def _worded(name: str, value: Any) -> str:
    if value is None:
        return ABSENT
    if name in _SIZES and isinstance(value, int):
        return format_size(value) if value >= 0 else "no limit"
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _of_outlines(before: Any, after: Any) -> tuple[str, str]:
    """Return two outlines in words; what was touched and has the same content is no difference."""
    one, other = before or {}, after or {}
    same = [name for name in ("sha256", "size", "files", "entries") if name in one and one.get(name) == other.get(name)]
    if "sha256" in same:
        return "", ""
    texts = _of_outline(one), _of_outline(other)
    if texts[0] != texts[1] or not same:
        return texts
    return f"{texts[0]} of {_time(one)}", f"{texts[1]} of {_time(other)}"


def _of_outline(outline: Mapping[str, Any]) -> str:
    return in_words(outline) if outline else ABSENT


def _time(outline: Mapping[str, Any]) -> str:
    try:
        moment = datetime.fromtimestamp(outline.get("modified", 0) / 1e9).astimezone()
    except (OverflowError, ValueError, TypeError, OSError):
        return "an unknown time"
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".")


def _is_named(name: str, text: str) -> bool:
    """Tell whether a name stands in a text as a word of its own; `-` and `_` are the same in names of packages."""
    loose = "[-_.]".join(re.escape(part) for part in re.split("[-_.]", name))
    return re.search(rf"(?<![\w-]){loose}(?![\w-])", text, re.IGNORECASE) is not None
