"""Which nodes a job that was refused had better be tried without."""

from __future__ import annotations

from preflight.errors import UserError
from preflight.model import Report
from preflight.nodesets import fold
from preflight.phrases import in_a_row
from preflight.verdict import failing_places, is_bad, passing_places


def to_leave_out(report: Report) -> list[str]:
    """Return the nodes that speak against the job where all others have passed.

    Raises UserError where the job would be refused without them as well, as far as the report tells.
    """
    bad, good = failing_places(report), passing_places(report)
    nodes = {place.name for place in report.places}
    if not good:
        raise UserError("none of its nodes has passed")
    if elsewhere := sorted({each.check for each in report.results if is_bad(each) and each.place not in nodes}):
        raise UserError(f"what {in_a_row(elsewhere)} says is about no node of its own")
    if unclear := nodes.difference(bad, good):
        raise UserError(f"{fold(unclear)} has not answered all that the config asks for")
    if not bad:
        raise UserError("none of its nodes is to blame")
    return bad
