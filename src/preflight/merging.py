"""Several reports of one job, each written where a part of it ran, as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from preflight import drift
from preflight.config import Ignore
from preflight.errors import UserError
from preflight.hearing import rests, shared
from preflight.isolation.endings import unanswered
from preflight.model import Place, Planned, Presence, Report, Result, Status
from preflight.verdict import covered

_ANSWERS = Planned(id="node.answers", title="Every node answers until all checks have run")
_AGREE = Planned(id="node.agrees-on-checks", title="Every node runs the same checks")
# The parts of a job start together, and each start leaves its files where the next one writes.
_OLD = timedelta(hours=1)
# What is each report's own, so that no place is told apart by it.
_OWN = ("part", "on", "config_digest", "drafted")


@dataclass(frozen=True, slots=True)
class Told:
    """A report and what it is called, which is where it was read."""

    name: str
    report: Report

    @property
    def part(self) -> Mapping[str, Any]:
        """Which part of its job wrote it; empty where no launcher told."""
        part: Mapping[str, Any] = self.report.facts.get("part") or {}
        return part

    @property
    def began(self) -> datetime:
        """When it was begun."""
        return datetime.fromisoformat(self.report.started)


def merge(told: Sequence[Told], *, wanted: int = 0, ignore: Sequence[Ignore] = ()) -> tuple[Report, list[str]]:
    """Return one report of all places, and lines that tell of reports that do not count.

    `wanted` is how many reports there are to be, 0 for as many as the job's launcher told. One that is missing is a
    place without an answer. Of two for one place the newer counts, and none of another job than that of the newest,
    or that was begun an hour before it: a file of an earlier start must not stand for a node that is not there.
    `ignore` are the config's entries: each report has them applied to what it found itself, so they are to what the
    places differ in. Raises UserError where there is no report, or one does not tell when it was begun.
    """
    ordered = sorted(told, key=_began)
    if not ordered:
        raise UserError("there is no report to merge", fix="Name the files that `preflight gate --report` wrote.")
    job, since = ordered[-1].part.get("job"), ordered[-1].began - _OLD
    of_job = [each for each in ordered if each.part.get("job") == job and each.began >= since]
    remarks = [f"{each.name} is of another job, or older, and does not count" for each in ordered if each not in of_job]
    if not (expected := wanted or max(int(each.part.get("of", 0)) for each in of_job)):
        remarks.append("no launcher has told how many reports there are to be; --nodes N says so")
    names = _names(of_job)
    newest: dict[str, Told] = {}
    for each in of_job:
        if (older := newest.get(names[each.name])) is not None:
            remarks.append(f"{older.name} tells of {names[older.name]} as {each.name} does, which is newer")
        newest[names[each.name]] = each
    return _one(newest, expected, ignore), remarks


def _began(told: Told) -> datetime:
    try:
        return told.began.astimezone()
    except ValueError:
        raise UserError(f"{told.name} does not tell when it was begun") from None


def _names(told: Sequence[Told]) -> dict[str, str]:
    """Return what the place of each report is called: its node, with the rank where a node has several."""
    nodes = {each.name: str(each.part.get("node") or each.report.facts.get("host") or each.name) for each in told}
    ranks: dict[str, set[object]] = {}
    for each in told:
        ranks.setdefault(nodes[each.name], set()).add(each.part.get("number"))
    return {
        each.name: f"{node}:{each.part['number']}" if each.part and len(ranks[node]) > 1 else node
        for each, node in zip(told, nodes.values(), strict=True)
    }


def _one(told: Mapping[str, Told], expected: int, ignore: Sequence[Ignore]) -> Report:
    began = min(each.began for each in told.values())
    ended = max(each.began + timedelta(seconds=each.report.seconds) for each in told.values())
    first = next(iter(told.values())).report
    pairs = [pair for name, each in told.items() for pair in _placed(name, each.report, began)]
    answered = [place.facts for place, _ in pairs if place.presence is Presence.ANSWERED]
    common = shared(answered or [place.facts for place, _ in pairs])
    missing = [_missing(name) for name in _missing_names(list(told.values()), expected)]
    left = rests({place.name: place.facts for place, _ in pairs}, common)
    places = [replace(place, facts=left[place.name]) for place, _ in pairs] + [place for place, _ in missing]
    # What the places of one part differ in says less than what all of them do.
    results = [result for _, each in [*pairs, *missing] for result in each if result.check != drift.CHECK]
    alike = covered(drift.are_alike(places), ignore, date.today())
    kept = {name: first.facts[name] for name in ("config_digest", "drafted") if name in first.facts}
    return Report(
        results=[*results, *_disagreement(told), *alike],
        facts={**common, **kept, "on": "merge"},
        places=tuple(places),
        config=first.config,
        started=began.isoformat(timespec="seconds"),
        seconds=round((ended - began).total_seconds(), 3),
        strict=any(each.report.strict for each in told.values()),
        interrupted=any(each.report.interrupted for each in told.values()),
    )


def _placed(name: str, report: Report, began: datetime) -> Iterator[tuple[Place, Sequence[Result]]]:
    """Yield each place of a report with its results, in the words of the whole."""
    if not report.places:
        later = (datetime.fromisoformat(report.started) - began).total_seconds()
        lost = next((each.reason for each in report.results if each.check == "worker.answers"), "")
        place = Place(
            name=name,
            presence=Presence.LOST if lost else Presence.ANSWERED,
            reason=lost,
            seconds=round(later + report.seconds, 3),
            facts={key: value for key, value in report.facts.items() if key not in _OWN},
        )
        yield place, [replace(each, place=name, started=round(each.started + later, 4)) for each in report.results]
        return
    of_place: dict[str, list[Result]] = {place.name: [] for place in report.places}
    for each in report.results:
        of_place.setdefault(each.place, []).append(each)
    common = {key: value for key, value in report.facts.items() if key not in _OWN}
    for place in report.places:
        yield replace(place, facts={**common, **_whole(place.facts, common)}), of_place.pop(place.name)
    for left in of_place.values():  # what all of its places did together
        yield Place(name=left[0].place), left


def _whole(facts: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts with what they share within mappings put back."""
    return {
        key: {**common[key], **value} if isinstance(value, Mapping) and isinstance(common.get(key), Mapping) else value
        for key, value in facts.items()
    }


def _missing_names(told: Sequence[Told], expected: int) -> list[str]:
    """Return a name for each report that there should be and is not."""
    count = sum(len(each.report.places) or 1 for each in told)
    kind = str(told[-1].part.get("kind", "node"))
    numbers = {each.part.get("number") for each in told}
    if None not in numbers and numbers <= set(range(expected)):
        return [f"{kind} {number}" for number in range(expected) if number not in numbers]
    return [f"missing {kind} {number}" for number in range(1, expected - count + 1)]


def _missing(name: str) -> tuple[Place, Sequence[Result]]:
    reason = "it has left no report"
    return Place(name=name, presence=Presence.ABSENT, reason=reason), [
        unanswered(_ANSWERS, Status.BROKEN, reason, name)
    ]


def _disagreement(told: Mapping[str, Told]) -> Iterator[Result]:
    """Yield a BROKEN result for each report that was made with another config than most."""
    digests = {name: each.report.facts.get("config_digest") for name, each in told.items()}
    usual = Counter(digests.values()).most_common(1)[0][0]
    for name, digest in digests.items():
        if digest != usual:
            reason = "it was checked with another config than most of the others"
            yield unanswered(_AGREE, Status.BROKEN, reason, name)
