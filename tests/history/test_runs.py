"""The history of a folder in which some is damaged and some goes on."""

import time
from pathlib import Path
from types import ModuleType

import pytest

from preflight.errors import UserError
from preflight.history.runs import LARGEST, History
from preflight.model import Result, Status
from preflight.records.folder import Records
from preflight.records.results import Results
from preflight.records.states import State
from preflight.system import slurm


def test_runs_come_a_page_at_a_time_the_latest_first(records: Records) -> None:
    history = History(records)
    names = history.names()
    assert (names[0], names[-1]) == ("old", "good-0")
    first, last = history.page(1, size=5), history.page(99, size=5)
    assert [each.name for each in (*first.records, *last.records)] == names
    assert (first.pages, last.number, last.total) == (2, 2, 8)
    assert [each.name for each in history.page(find="GOOD").records] == ["good-2", "good-1", "good-0"]


def test_no_folder_is_no_run(tmp_path: Path) -> None:
    assert History(Records(tmp_path / "nowhere")).page().records == []


def test_what_is_damaged_is_told(records: Records) -> None:
    history = History(records)
    torn = history.stored("torn")
    assert (torn.report, torn.flaw.partition(":")[0]) == (None, "report.json is damaged")
    assert history.stored("no record").record.flaws
    with open(records.run("good-0").report, "wb") as file:
        file.truncate(LARGEST + 1)
    assert "at most" in history.stored("good-0").flaw
    records.run("good-1").report.write_text('{"schema": "preflight.report/1", "results": [3]}')
    assert history.stored("good-1").flaw


def test_a_report_of_before_there_were_places_is_read(records: Records) -> None:
    stored = History(records).stored("old")
    assert stored.verdict is not None
    assert (stored.verdict.word, stored.flaw) == ("GO", "")


def test_a_run_that_goes_on_has_what_came_so_far(records: Records, history: ModuleType) -> None:
    results = Results(history.begin(records, "now"))
    results.planned(["a", "b"])
    results.ended(Result(check="a", status=Status.PASSED, started=time.time()))
    stored = History(records).stored("now")
    assert stored.partial is not None
    assert (stored.goes_on, stored.record.state, len(stored.partial.results)) == (True, State.CHECKING, 1)


def test_what_last_worked_is_found(records: Records) -> None:
    history = History(records)
    assert history.worked_before("bad") == "good-2"
    assert history.worked_before("good-0") == ""


def test_changes_are_those_of_the_command(records: Records) -> None:
    found = History(records).changes("good-2", "bad")
    assert [str(each) for each in found.differences] == ["torch 2.12.1 → 2.13.0"]


def test_facts_that_cannot_be_compared_are_told(records: Records) -> None:
    report = records.run("bad").report
    report.write_text(report.read_text().replace('"packages": {', '"packages": 3, "x": {'))
    assert History(records).changes("good-2", "bad").flaw


def test_a_path_is_no_run(records: Records) -> None:
    for name in ("..", "../runs", str(records.folder / "bad" / "report.json"), ""):
        with pytest.raises(UserError):
            History(records).changes("good-0", name)


def test_slurm_is_asked_once_for_many_pages(
    records: Records, history: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(slurm, "states_of_jobs", lambda jobs: asked.append(jobs) or dict.fromkeys(jobs, "RUNNING"))
    history.begin(records, "now").know(slurm="17")
    times = iter((0.0, 0.0, 1.0, 2.0, 30.0, 30.0))
    found = History(records, clock=lambda: next(times))
    for _ in range(4):
        assert found.page().records[0].state is not State.LOST
    assert asked == [["17"], ["17"]]
