"""Which nodes a refused job is tried without: only where that helps."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.errors import UserError
from preflight.launch.requeue import to_leave_out
from preflight.model import Finding, Place, Presence, Report, Result, Severity, Status
from preflight.verdict import Word, decide

NODES = ("n1", "n2", "n3")


def at(place: str, status: Status = Status.PASSED, check: str = "node.is-well", **more: Any) -> Result:
    reason = "so" if status in (Status.SKIPPED, Status.BROKEN) else ""
    return Result(check=check, status=status, place=place, reason=reason, **more)


def report_of(*results: Result, presence: Presence = Presence.ANSWERED, **more: Any) -> Report:
    """Return a report of three nodes; the presence is that of n3."""
    gone = {"presence": presence, "reason": "so"} if presence is not Presence.ANSWERED else {}
    places = [Place(name=name, **(gone if name == "n3" else {})) for name in NODES]
    return Report(results=results, places=places, **more)


WARNED = at("n2", findings=(Finding(severity=Severity.WARNING, message="hm"),))
FAILED, BROKEN = Status.FAILED, Status.BROKEN


@pytest.mark.parametrize(
    ("report", "nodes"),
    [
        (report_of(at("n1"), at("n2", FAILED), at("n3")), ["n2"]),
        (report_of(at("n1", FAILED), at("n2"), at("n3", BROKEN)), ["n1", "n3"]),
        (report_of(at("n1"), at("n2"), at("n3", BROKEN, "node.answers"), presence=Presence.LOST), ["n3"]),
        (report_of(at("n1"), WARNED, at("n3"), strict=True), ["n2"]),
    ],
)
def test_what_is_bad_is_left_out_where_the_others_are_go(report: Report, nodes: list[str]) -> None:
    assert to_leave_out(report) == nodes


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (report_of(*(at(name, FAILED) for name in NODES)), "none of its nodes has passed"),
        (Report(results=(at("local", FAILED),)), "none of its nodes has passed"),
        (report_of(at("n1"), at("n2", FAILED), interrupted=True), "none of its nodes has passed"),
        (
            report_of(at("n1"), at("n2", FAILED), at("n3"), at("local", FAILED, "config.is-read")),
            "it would be refused without n2 as well: config.is-read FAILED",
        ),
        (
            report_of(at("n1"), at("n2", FAILED), at("n3", Status.SKIPPED, "gpu.is-there", asked=True)),
            "it would be refused without n2 as well: gpu.is-there SKIPPED although the config asks for it",
        ),
        (
            report_of(at("n1"), at("n2", FAILED), at("n3", BROKEN, "node.answers"), presence=Presence.LATE),
            "it would be refused without n2 as well: node.answers BROKEN",
        ),
        (
            report_of(at("n1"), at("n2"), at("n3", Status.SKIPPED, "gpu.is-there", asked=True)),
            "it would be refused as well: gpu.is-there SKIPPED although the config asks for it",
        ),
    ],
)
def test_where_that_does_not_help_it_says_why(report: Report, why: str) -> None:
    with pytest.raises(UserError) as raised:
        to_leave_out(report)
    assert raised.value.message == why


RESULTS = st.builds(
    at,
    st.sampled_from([*NODES, "local"]),
    st.sampled_from(Status),
    st.sampled_from(["a.a", "b.b"]),
    asked=st.booleans(),
    findings=st.lists(st.builds(Finding, severity=st.sampled_from(Severity), message=st.just("so")), max_size=2).map(
        tuple
    ),
)


@given(
    st.builds(
        lambda results, presence, strict, interrupted: report_of(
            *results, presence=presence, strict=strict, interrupted=interrupted
        ),
        st.lists(RESULTS, max_size=6),
        st.sampled_from(Presence),
        st.booleans(),
        st.booleans(),
    )
)
def test_without_them_the_report_is_go_and_with_any_of_them_it_is_not(report: Report) -> None:
    if decide(report).word is Word.GO:
        return
    try:
        nodes = to_leave_out(report)
    except UserError:
        return
    assert nodes
    assert set(nodes) < set(NODES)
    for back in ("", *nodes):
        left = [each for each in report.results if each.place not in nodes or each.place == back]
        assert (decide(report.with_results(left)).word is Word.GO) is (back == "")
