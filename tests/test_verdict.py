"""The one judge: when it says GO, and that nothing added to a report makes it kinder."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.config import Ignore, Location
from preflight.model import Finding, Place, Presence, Report, Result, Severity, Status
from preflight.verdict import Word, apply_ignores, decide, failing_places, passing_places

TODAY = date(2026, 5, 1)
ERROR = Finding(severity=Severity.ERROR, message="the file is empty", id="data.empty")
WARNING = Finding(severity=Severity.WARNING, message="the disk is nearly full", id="paths.nearly-full")


def result(check: str = "data.is-there", status: Status = Status.PASSED, **more: Any) -> Result:
    reason = "because" if status in (Status.SKIPPED, Status.BROKEN) else ""
    return Result(**{"check": check, "status": status, "reason": reason, **more})


PASSED, BROKEN, SKIPPED = result("a.a"), result("b.b", Status.BROKEN), result("c.c", Status.SKIPPED)
FAILED = result("d.d", Status.FAILED, findings=(ERROR,))
ASKED = replace(SKIPPED, asked=True)
WARNED = replace(PASSED, findings=(WARNING,))


@pytest.mark.parametrize(
    ("results", "more", "word", "code"),
    [
        ([PASSED], {}, Word.GO, 0),
        ([PASSED, SKIPPED], {}, Word.GO, 0),
        ([PASSED, WARNED], {}, Word.GO, 0),
        ([PASSED, WARNED], {"strict": True}, Word.NO_GO, 1),
        ([PASSED, replace(WARNED, findings=(replace(WARNING, ignored="known"),))], {"strict": True}, Word.GO, 0),
        ([PASSED, FAILED], {}, Word.NO_GO, 1),
        ([FAILED, BROKEN, ASKED], {}, Word.NO_GO, 1),
        ([PASSED, replace(BROKEN, findings=(ERROR,))], {}, Word.NO_GO, 1),
        ([result("e.e", Status.FAILED)], {}, Word.NO_GO, 1),
        ([PASSED, BROKEN], {}, Word.NO_VERDICT, 3),
        ([PASSED, ASKED], {}, Word.NO_VERDICT, 3),
        ([SKIPPED], {}, Word.NO_VERDICT, 3),
        ([], {}, Word.NO_VERDICT, 3),
        ([PASSED], {"interrupted": True}, Word.NO_VERDICT, 130),
        ([PASSED, FAILED], {"interrupted": True}, Word.NO_GO, 130),
    ],
)
def test_word_and_code(results: list[Result], more: dict[str, bool], word: Word, code: int) -> None:
    verdict = decide(Report(results=results, **more))
    assert (verdict.word, verdict.exit_code) == (word, code)
    assert bool(verdict.reason) is (word is not Word.GO)


def test_counts_and_reason() -> None:
    ignored = replace(WARNED, findings=(WARNING, replace(ERROR, ignored="known")))
    verdict = decide(Report(results=[FAILED, replace(FAILED, check="a.z"), BROKEN, SKIPPED, ignored]))
    assert verdict.counts == {"passed": 1, "failed": 2, "skipped": 1, "broken": 1, "warnings": 1, "ignored": 1}
    assert verdict.reason == "a.z, d.d FAILED; b.b BROKEN"


def ignore(identity: str, until: date | None = None) -> Ignore:
    return Ignore(id=identity, reason="shared node", until=until, at=Location("foo.yaml", 7, "preflight.ignore[0]"))


def ids_of(results: list[Result]) -> list[str]:
    return [finding.id for each in results if each.check == "config.ignores-are-used" for finding in each.findings]


def test_an_ignored_error_no_longer_fails() -> None:
    results = apply_ignores([FAILED], [ignore("data.empty")], TODAY, whole=True)
    assert [(each.status, each.findings[0].ignored) for each in results] == [(Status.PASSED, "shared node")]
    assert decide(Report(results=results)).word is Word.GO


def test_one_error_left_still_fails() -> None:
    both = replace(FAILED, findings=(ERROR, replace(ERROR, id="data.truncated")))
    (only,) = apply_ignores([both], [ignore("data.empty")], TODAY, whole=True)
    assert only.status is Status.FAILED


def test_a_failure_without_findings_cannot_be_ignored() -> None:
    failed = result("d.d", Status.FAILED)
    assert apply_ignores([failed], [ignore("d.d")], TODAY, whole=False) == [failed]


@pytest.mark.parametrize("identity", ["mine.holds", "mine.holds[3]"])
def test_a_finding_without_an_id_goes_by_its_check(identity: str) -> None:
    failed = result("mine.holds[3]", Status.FAILED, findings=(replace(ERROR, id=""),))
    (only,) = apply_ignores([failed], [ignore(identity)], TODAY, whole=True)
    assert only.status is Status.PASSED


def test_until_is_the_last_day() -> None:
    entry = ignore("data.empty", until=TODAY)
    assert apply_ignores([FAILED], [entry], TODAY, whole=True)[0].status is Status.PASSED
    after = apply_ignores([FAILED], [entry], date(2026, 5, 2), whole=True)
    assert after[0].status is Status.FAILED
    (stale,) = after[1].findings
    assert (stale.id, stale.severity, stale.file, stale.line) == (
        "config.ignore-expired",
        Severity.WARNING,
        "foo.yaml",
        7,
    )
    assert "2026-05-01" in stale.message


def test_an_entry_that_matches_nothing_is_told_only_of_a_whole_run() -> None:
    assert ids_of(apply_ignores([PASSED], [ignore("data.empty")], TODAY, whole=True)) == ["config.ignore-unused"]
    assert apply_ignores([PASSED], [ignore("data.empty")], TODAY, whole=False) == [PASSED]


@pytest.mark.parametrize("status", [Status.BROKEN, Status.SKIPPED])
def test_an_entry_is_not_unused_where_its_check_gave_no_answer(status: Status) -> None:
    results = [PASSED, result("data.is-there", status)]
    assert ids_of(apply_ignores(results, [ignore("data.empty")], TODAY, whole=True)) == []


def test_what_nodes_differ_in_is_not_unused_where_there_is_one_node() -> None:
    """One config is for both, and a warning there would tell to remove what the job needs."""
    assert apply_ignores([PASSED], [ignore("nodes.packages")], TODAY, whole=True) == [PASSED]
    several = [PASSED, result("nodes.are-alike", Status.PASSED)]
    assert ids_of(apply_ignores(several, [ignore("nodes.packages")], TODAY, whole=True)) == ["config.ignore-unused"]


def test_a_stale_entry_makes_no_go_where_nothing_ran() -> None:
    for results in ([], [SKIPPED]):
        marked = apply_ignores(results, [ignore("data.empty", until=date(2020, 1, 1))], TODAY, whole=True)
        assert decide(Report(results=marked)).word is Word.NO_VERDICT


TEXT = st.text(max_size=8)
IDS = st.sampled_from(["", "data.empty", "paths.full"])
FINDINGS = st.builds(
    Finding,
    severity=st.sampled_from(Severity),
    message=TEXT,
    id=IDS,
    evidence=st.dictionaries(TEXT, st.integers() | TEXT | st.none() | st.booleans(), max_size=2),
    line=st.integers(0, 9),
    ignored=st.sampled_from(["", "known"]),
)
RESULTS = st.builds(
    Result,
    check=st.sampled_from(["data.is-there", "data.is-there[a]", "mine.holds"]),
    status=st.sampled_from(Status),
    findings=st.lists(FINDINGS, max_size=3).map(tuple),
    reason=TEXT,
    asked=st.booleans(),
    seconds=st.floats(0, 1e6),
    output=TEXT,
)
REPORTS = st.builds(
    Report,
    results=st.lists(RESULTS, max_size=5).map(tuple),
    facts=st.dictionaries(TEXT, TEXT, max_size=2),
    strict=st.booleans(),
    interrupted=st.booleans(),
)
IGNORES = st.lists(st.builds(ignore, IDS.filter(bool), st.none() | st.dates()), max_size=3)


@given(REPORTS, st.data())
def test_an_error_more_never_turns_no_go_into_go(report: Report, data: st.DataObject) -> None:
    if not report.results:
        return
    index = data.draw(st.integers(0, len(report.results) - 1))
    error = data.draw(FINDINGS)
    worse = list(report.results)
    error = replace(error, severity=Severity.ERROR)
    worse[index] = replace(worse[index], findings=(*worse[index].findings, error))
    if decide(report).word is not Word.GO:
        assert decide(report.with_results(worse)).word is not Word.GO
    if not error.ignored:
        assert decide(report.with_results(worse)).word is Word.NO_GO


@given(REPORTS, RESULTS.filter(lambda each: each.status is not Status.PASSED))
def test_a_result_more_that_did_not_pass_never_makes_go(report: Report, more: Result) -> None:
    if decide(report).word is not Word.GO:
        assert decide(report.with_results([*report.results, more])).word is not Word.GO


@given(REPORTS, st.randoms(use_true_random=False))
def test_order_does_not_matter(report: Report, random: Any) -> None:
    shuffled = list(report.results)
    random.shuffle(shuffled)
    assert decide(report.with_results(shuffled)) == decide(report)


@given(REPORTS)
def test_a_report_survives_its_storage(report: Report) -> None:
    assert Report.from_json(report.to_json()) == report


@given(REPORTS, IGNORES, st.booleans())
def test_ignores_only_mark(report: Report, entries: list[Ignore], whole: bool) -> None:
    marked = apply_ignores(report.results, entries, TODAY, whole)
    assert len(marked) - len(report.results) in (0, 1)
    for before, after in zip(report.results, marked, strict=False):
        assert before.check == after.check
        assert after.status in (before.status, Status.PASSED)
        assert [each.message for each in after.findings] == [each.message for each in before.findings]


def many(*results: Result, **presences: Presence) -> Report:
    """Return a report of the nodes n1 to n4; `n1=Presence.LOST` for one that did not answer."""
    names = [f"n{number}" for number in range(1, 5)]
    gone = {name: {"presence": each, "reason": "so"} for name, each in presences.items()}
    return Report(results=results, places=[Place(name=name, **gone.get(name, {})) for name in names])


def at(place: str, status: Status = Status.PASSED, **more: Any) -> Result:
    return result(status=status, place=place, **more)


def test_a_node_is_passing_failing_or_neither() -> None:
    lost = at("n3", Status.BROKEN, reason="silent")
    report = many(at("n1"), at("n2"), at("n2", Status.FAILED), lost, n3=Presence.LOST)
    assert passing_places(report) == ["n1"]
    assert failing_places(report) == ["n2", "n3"]


def test_of_a_cancelled_job_no_node_is_passing_or_failing() -> None:
    gone = dict.fromkeys(["n1", "n2", "n3", "n4"], Presence.CANCELLED)
    report = many(*[at(name) for name in gone], *[at(name, Status.BROKEN, reason="so") for name in gone], **gone)
    assert passing_places(report) == failing_places(report) == []


def test_of_a_run_that_was_broken_off_no_node_is_known_to_pass() -> None:
    report = replace(many(at("n1"), at("n2", Status.FAILED)), interrupted=True)
    assert passing_places(report) == []
    assert failing_places(report) == ["n2"]


def test_what_was_asked_for_and_skipped_is_no_pass() -> None:
    report = many(at("n1"), at("n2"), at("n2", Status.SKIPPED, reason="no GPU", asked=True))
    assert passing_places(report) == ["n1"]
    assert failing_places(report) == []


def test_a_warning_is_against_a_node_where_warnings_count() -> None:
    warned = at("n2", findings=(Finding(severity=Severity.WARNING, message="hm"),))
    report = many(at("n1"), warned)
    assert (passing_places(report), failing_places(report)) == (["n1", "n2"], [])
    strict = replace(report, strict=True)
    assert (passing_places(strict), failing_places(strict)) == (["n1"], ["n2"])
