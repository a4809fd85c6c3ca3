"""Which nodes a job that was refused had better be tried without."""

from __future__ import annotations

from preflight.errors import UserError
from preflight.model import Report
from preflight.nodesets import fold
from preflight.verdict import Word, decide, failing_places, passing_places


def to_leave_out(report: Report) -> list[str]:
    """Return the nodes without which the report would be GO; raises UserError where leaving nodes out does not help."""
    if not passing_places(report):
        raise UserError("none of its nodes has passed")
    bad = set(failing_places(report))
    verdict = decide(report.with_results([each for each in report.results if each.place not in bad]))
    if verdict.word is not Word.GO:
        without = f" without {fold(bad)}" if bad else ""
        raise UserError(f"it would be refused{without} as well: {verdict.reason}")
    return [place.name for place in report.places if place.name in bad]
