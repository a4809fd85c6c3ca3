"""Results of many places as a page shows them: what is the same at several of them stands there once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from preflight.model import Place, Presence, Report, Result
from preflight.nodesets import fold
from preflight.phrases import counted, in_a_row

MOST_TO_NAME = 5  # nodes that did not answer, each in words of its own


class Folded(NamedTuple):
    """Results, each with all of its places in `place` as they are folded (`n[1-3]`), and how many those are."""

    results: Sequence[Result]
    counts: dict[str, int]


def folded(results: Sequence[Result]) -> Folded:
    """Return the results with those that differ in their place and their time only as one, in their order.

    The one has the longest time, and output and traceback of the first.
    """
    groups: dict[Hashable, list[Result]] = {}
    for result in results:
        groups.setdefault(_kind(result), []).append(result)
    told: list[Result] = []
    counts: dict[str, int] = {}
    for group in groups.values():
        names = list(dict.fromkeys(each.place for each in group))
        name = fold(names) if len(names) > 1 else names[0]
        counts[name] = len(names)
        # Several results of one place under one name are all told.
        if len(group) > len(names):
            told += group
            counts.update(dict.fromkeys(names, 1))
        else:
            told.append(replace(group[0], place=name, seconds=max(each.seconds for each in group)))
    return Folded(told, counts)


def _kind(result: Result) -> Hashable:
    findings = repr(result.findings) if result.findings else ""
    return result.check, result.status, result.reason, result.asked, findings


def summary(report: Report) -> Iterator[str]:
    """Yield how many places answered, and what became of the others, those of one fate in a line."""
    if not report.places:
        return
    silent = [each for each in report.places if each.presence is not Presence.ANSWERED]
    answered = len(report.places) - len(silent)
    yield f"{counted(len(report.places), 'node')}: {'all' if not silent else f'{answered:,}'} answered"
    fates: dict[tuple[Presence, Sequence[str]], list[Place]] = {}
    for place in silent:
        fates.setdefault((place.presence, tuple(place.running)), []).append(place)
    for number, ((presence, running), places) in enumerate(fates.items()):
        if number == MOST_TO_NAME:
            left = [place.name for group in list(fates.values())[number:] for place in group]
            yield f"  {fold(left)} neither, each in a way of its own"
            return
        while_in = f" in {in_a_row(running)}" if running else ""
        yield f"  {fold(place.name for place in places)} {presence}{while_in}"


def all_of(results: Iterable[Result], counts: dict[str, int]) -> int:
    """Return at how many places the most of these results were had."""
    return max((counts.get(each.place, 1) for each in results), default=0)
