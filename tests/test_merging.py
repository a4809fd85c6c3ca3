"""Reports of the parts of a job become one, and what is missing is never green."""

from typing import Any

import pytest

from preflight.errors import UserError
from preflight.merging import Told, merge
from preflight.model import Finding, Presence, Report, Result, Severity, Status
from preflight.verdict import Word, decide, failing_places


def told(number: int, *, of: int = 4, minute: int = 0, name: str = "", passed: bool = True, **facts: Any) -> Told:
    """Write a report of node `nNUMBER`."""
    node = f"n{number}"
    part = {"node": node, "kind": "node", "number": number, "of": of, "nodes": of, "node_number": number, "job": "7"}
    finding = Finding(severity=Severity.ERROR, message="the disk is full")
    result = Result(
        check="paths.have-room",
        status=Status.PASSED if passed else Status.FAILED,
        findings=() if passed else (finding,),
        started=0.5,
    )
    known = {"host": node, "python": "3.11", "packages": {"torch": "2.13", "numpy": "2"}, "config_digest": "d"}
    return Told(
        name or f"{node}.json",
        Report(
            results=(result,),
            facts={**known, "part": part, **facts},
            started=f"2026-01-01T10:{minute:02}:00+00:00",
            seconds=2.0,
        ),
    )


def test_all_are_one_report() -> None:
    report, remarks = merge([told(number) for number in range(4)])
    assert [place.name for place in report.places] == ["n0", "n1", "n2", "n3"]
    assert {each.place for each in report.results} == {"n0", "n1", "n2", "n3"}
    assert report.facts["python"] == "3.11"
    assert report.places[1].facts == {"host": "n1"}
    assert decide(report).word is Word.GO
    assert remarks == []


def test_one_that_fails_is_named() -> None:
    report, _ = merge([told(number, passed=number != 2) for number in range(4)])
    assert decide(report).word is Word.NO_GO
    assert failing_places(report) == ["n2"]


def test_one_that_is_missing_is_no_go_ahead() -> None:
    report, _ = merge([told(number) for number in (0, 1, 3)])
    assert report.places[-1].presence is Presence.ABSENT
    assert failing_places(report) == ["node 2"]
    assert decide(report).word is Word.NO_VERDICT


def test_how_many_there_are_to_be_can_be_said() -> None:
    reports = [told(number, of=0) for number in range(3)]
    report, remarks = merge(reports)
    assert "--nodes" in remarks[0]
    assert decide(report).word is Word.GO
    report, remarks = merge(reports, wanted=5)
    assert failing_places(report) == ["node 3", "node 4"]
    assert remarks == []


def test_missing_ones_are_counted_where_they_have_no_numbers() -> None:
    report, _ = merge([told(number, part={}) for number in range(2)], wanted=3)
    assert failing_places(report) == ["missing node 1"]


def test_of_two_the_newer_counts() -> None:
    old = told(1, passed=False, name="old.json")
    report, remarks = merge([told(1, minute=5), told(0), old], wanted=2)
    assert decide(report).word is Word.GO
    assert len(report.places) == 2
    assert remarks == ["old.json tells of n1 as n1.json does, which is newer"]


@pytest.mark.parametrize("stale", ["another job", "long ago"])
def test_a_file_of_an_earlier_start_stands_for_nobody(stale: str) -> None:
    one = told(2, of=3)
    part = {**one.report.facts["part"], "job": "6" if stale == "another job" else "7"}
    started = one.report.started if stale == "another job" else "2025-12-31T10:00:00+00:00"
    old = Told(
        "old.json", Report(results=one.report.results, facts={**one.report.facts, "part": part}, started=started)
    )
    report, remarks = merge([told(0, of=3), told(1, of=3, minute=1), old])
    assert "old.json is of another job" in remarks[0]
    assert failing_places(report) == ["node 2"]


def test_ranks_of_one_node_are_told_apart() -> None:
    reports = []
    for rank in (0, 1, 3):
        one = told(0, name=f"{rank}.json")
        part = {**one.report.facts["part"], "kind": "rank", "number": rank}
        reports.append(
            Told(one.name, Report(results=one.report.results, facts={"part": part}, started=one.report.started))
        )
    report, _ = merge(reports)
    assert [place.name for place in report.places] == ["n0:0", "n0:1", "n0:3", "rank 2"]
    assert decide(report).word is Word.NO_VERDICT


def test_what_nodes_differ_in_is_told() -> None:
    odd = told(3, packages={"torch": "2.12", "numpy": "2"})
    report, _ = merge([*(told(number) for number in range(3)), odd])
    assert failing_places(report) == ["n3"]
    assert any(each.check == "nodes.are-alike" and each.findings for each in report.results)


def test_another_config_is_no_answer() -> None:
    report, _ = merge([*(told(number) for number in range(3)), told(3, config_digest="e")])
    assert failing_places(report) == ["n3"]
    assert decide(report).word is Word.NO_VERDICT


def test_times_are_those_of_the_whole() -> None:
    report, _ = merge([told(0, of=2), told(1, of=2, minute=1)])
    assert report.seconds == 62.0
    assert [each.started for each in report.results if each.check.startswith("paths")] == [0.5, 60.5]


def test_a_worker_that_died_is_a_lost_place() -> None:
    broken = Result(check="worker.answers", status=Status.BROKEN, reason="it was killed")
    one = told(1, of=2)
    report, _ = merge([told(0, of=2), Told("n1.json", one.report.with_results([broken]))])
    assert report.places[1].presence is Presence.LOST
    assert report.places[1].facts == {"host": "n1"}
    assert decide(report).word is Word.NO_VERDICT


def test_reports_of_several_places_can_be_merged_again() -> None:
    first, _ = merge([told(0, of=2), told(1, of=2)])
    second, _ = merge([told(2, of=2), told(3, of=2, packages={"torch": "2.13", "numpy": "1"})])
    both, _ = merge([Told("a", first), Told("b", second)], wanted=4)
    assert [place.name for place in both.places] == ["n0", "n1", "n2", "n3"]
    assert both.facts["packages"] == {"torch": "2.13"}
    assert both.places[3].facts == {"host": "n3", "packages": {"numpy": "1"}}
    assert [each.place for each in both.results if each.check == "nodes.are-alike"] == ["n0", "n1", "n2", "n3"]


@pytest.mark.parametrize("reports", [[], [Told("a", Report(results=(), started="yesterday"))]])
def test_what_cannot_be_merged_is_said(reports: list[Told]) -> None:
    with pytest.raises(UserError):
        merge(reports)
