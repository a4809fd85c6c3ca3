"""The one judge: a Report in, GO, NO-GO or NO VERDICT out.

See it by hand:

    preflight run --config foo.yaml --format json

Mend it:

    Remove the entry of `ignore:`, or give it a later `until:`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from itertools import chain

from preflight.config import Ignore
from preflight.model import Finding, Json, Presence, Report, Result, Severity, Status
from preflight.phrases import in_a_row

INTERRUPTED = 130
# What only a run on several nodes can find, with the config that one of them is checked with as well.
_BETWEEN = "nodes"


class Word(StrEnum):
    """The three answers; each begins the last line of the terminal output."""

    GO = "GO"
    NO_GO = "NO-GO"
    NO_VERDICT = "NO VERDICT"


EXIT_CODES = {Word.GO: 0, Word.NO_GO: 1, Word.NO_VERDICT: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What `decide` says of a report.

    `reason` is one line, empty for GO. `counts` has the number of results of each status, in lower case, then of
    `warnings` and `ignored` findings.
    """

    word: Word
    exit_code: int
    reason: str
    counts: Mapping[str, int]

    def to_json(self) -> Json:
        """Return plain values."""
        return {"word": str(self.word), "exit_code": self.exit_code, "reason": self.reason, "counts": dict(self.counts)}


def decide(report: Report) -> Verdict:
    """Judge a report; nothing else in preflight says whether a launch is refused."""
    grounds = list(_grounds(report))
    word = grounds[0][0] if grounds else Word.GO
    reason = "; ".join(why for _, why in grounds)
    exit_code = INTERRUPTED if report.interrupted else EXIT_CODES[word]
    return Verdict(word=word, exit_code=exit_code, reason=reason, counts=_counts(report.results))


def unignored(result: Result, severity: Severity) -> list[Finding]:
    """Return the findings of that severity that no `ignore:` entry covers."""
    return [each for each in result.findings if each.severity is severity and not each.ignored]


def is_bad(result: Result) -> bool:
    """Tell whether a result alone keeps the verdict from being GO."""
    return refuses(result) or result.status is Status.BROKEN


def refuses(result: Result) -> bool:
    """Tell whether a result alone makes the verdict NO-GO; an error that was found counts however its check ended."""
    return result.status is Status.FAILED or bool(unignored(result, Severity.ERROR))


def failing_places(report: Report) -> list[str]:
    """Return the places that a job had better leave out: with a result that is against GO, or without an answer.

    Of a job that was cancelled no place is to blame.
    """
    bad = {each.place for each in report.results if _is_against(each, report)}
    spared = (Presence.CANCELLED, Presence.LATE)
    return [place.name for place in report.places if place.name in bad and place.presence not in spared]


def passing_places(report: Report) -> list[str]:
    """Return the places that have answered with something that passed and nothing against GO; none of a broken-off run.

    What the config asks for and was SKIPPED is no answer.
    """
    if report.interrupted:
        return []
    passed = {each.place for each in report.results if each.status is Status.PASSED}
    asked = {each.place for each in report.results if each.asked and each.status is Status.SKIPPED}
    good = passed - asked - {each.place for each in report.results if _is_against(each, report)}
    return [place.name for place in report.places if place.name in good]


def _is_against(result: Result, report: Report) -> bool:
    warns = report.strict and bool(unignored(result, Severity.WARNING))
    return is_bad(result) or warns


def _grounds(report: Report) -> Iterator[tuple[Word, str]]:
    """Yield what speaks against GO, the weightiest first."""
    results = report.results
    if failed := [each for each in results if refuses(each)]:
        yield Word.NO_GO, f"{_named(failed)} FAILED"
    if report.strict and (warned := [each for each in results if unignored(each, Severity.WARNING)]):
        yield Word.NO_GO, f"{_named(warned)} warned, and warnings count under --strict"
    if report.interrupted:
        yield Word.NO_VERDICT, "interrupted before the last check had ended"
    if broken := [each for each in results if each.status is Status.BROKEN]:
        yield Word.NO_VERDICT, f"{_named(broken)} BROKEN"
    if unanswered := [each for each in results if each.asked and each.status is Status.SKIPPED]:
        yield Word.NO_VERDICT, f"{_named(unanswered)} SKIPPED although the config asks for it"
    if all(each.status is Status.SKIPPED for each in results):
        yield Word.NO_VERDICT, "no check ran"


def _named(results: Sequence[Result]) -> str:
    return in_a_row(sorted({each.check for each in results}))


def _counts(results: Sequence[Result]) -> dict[str, int]:
    statuses = Counter(each.status for each in results)
    warnings = sum(len(unignored(each, Severity.WARNING)) for each in results)
    ignored = sum(bool(finding.ignored) for each in results for finding in each.findings)
    return {**{each.lower(): statuses[each] for each in Status}, "warnings": warnings, "ignored": ignored}


def apply_ignores(results: Sequence[Result], ignore: Sequence[Ignore], today: date, whole: bool) -> list[Result]:
    """Return the results with what `ignore:` covers marked, and what is wrong with its entries as one more result.

    `whole` says that no check was deselected: only then can an entry be told to match nothing.
    """
    marked = covered(results, ignore, today)
    # Where nothing ran, this result would be the one that passed and so turn NO VERDICT into GO.
    if all(each.status is Status.SKIPPED for each in marked):
        return marked
    stale = tuple(ignores_are_used(results, ignore, today, whole))
    if not stale:
        return marked
    title = "Every ignore: entry still matches something."
    return [*marked, Result(check="config.ignores-are-used", status=Status.PASSED, title=title, findings=stale)]


def covered(results: Iterable[Result], ignore: Sequence[Ignore], today: date) -> list[Result]:
    """Return the results with what `ignore:` covers marked: a FAILED one whose every error is ignored has PASSED."""
    valid = {each.id: each.reason for each in reversed(ignore) if not _expired(each, today)}
    return [_marked(each, valid) for each in results]


def ignores_are_used(
    results: Sequence[Result], ignore: Sequence[Ignore], today: date, whole: bool
) -> Iterator[Finding]:
    """Every `ignore:` entry still matches something.

    An entry that outlives what it was written for would one day hide something else.

    config.ignore-expired    the entry's `until:` is past; what it covered counts again
    config.ignore-unused     no check of this run found anything with that id
    """
    seen = set(chain.from_iterable(_ids(result, finding) for result in results for finding in result.findings))
    silent = {each.family for each in results if each.status in (Status.BROKEN, Status.SKIPPED)}
    if not any(each.family == _BETWEEN for each in results):
        silent.add(_BETWEEN)
    for entry in ignore:
        if _expired(entry, today):
            yield _stale(entry, "expired", f"ended on {entry.until}", "Mend what it covered, or set a later `until:`")
        elif whole and entry.id not in seen and entry.id.partition(".")[0] not in silent:
            yield _stale(entry, "unused", "matches nothing", "Remove the entry")


def _stale(entry: Ignore, kind: str, what: str, fix: str) -> Finding:
    return Finding(
        severity=Severity.WARNING,
        id=f"config.ignore-{kind}",
        message=f"the ignore: entry for {entry.id} {what}",
        fix=fix,
        file=entry.at.file,
        line=entry.at.line,
    )


def _expired(entry: Ignore, today: date) -> bool:
    return entry.until is not None and entry.until < today


def _ids(result: Result, finding: Finding) -> Iterable[str]:
    """Return the ids that an entry may name: the finding's own, or that of its check at one entry of the config."""
    return finding.id or result.check.partition("[")[0], result.check


def _marked(result: Result, reasons: Mapping[str, str]) -> Result:
    def mark(finding: Finding) -> Finding:
        reason = next((reasons[each] for each in _ids(result, finding) if each in reasons), "")
        return replace(finding, ignored=reason) if reason else finding

    if not result.findings:
        return result
    marked = replace(result, findings=tuple(mark(each) for each in result.findings))
    errors = [each for each in marked.findings if each.severity is Severity.ERROR]
    if marked.status is Status.FAILED and errors and all(each.ignored for each in errors):
        return replace(marked, status=Status.PASSED)
    return marked
