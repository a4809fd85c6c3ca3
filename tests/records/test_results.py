"""Results as they come: written by one process, read by others at any moment."""

import os
import time
from pathlib import Path
from types import ModuleType

import pytest

from preflight.model import Result, Status
from preflight.records.folder import Records, Run
from preflight.records.record import Record
from preflight.records.results import FILE, Results, read_results


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Records(tmp_path).create(Record(name="one"))


def result(check: str, started: float) -> Result:
    return Result(check=check, status=Status.PASSED, started=started, seconds=0.5)


def test_what_came_so_far_is_read(run: Run) -> None:
    results = Results(run)
    results.planned(["a", "b", "c"])
    results.started("a")
    results.started("b")
    results.ended(result("a", time.time() + 3))
    partial = read_results(run)
    assert partial is not None
    assert (partial.planned, partial.running) == (["a", "b", "c"], ["b"])
    assert [(each.check, round(each.started)) for each in partial.results] == [("a", 3)]


def test_of_many_nodes_it_is_told_at_which(run: Run) -> None:
    results = Results(run)
    for place in ("n1", "n2"):
        results.planned(["a"], place)
        results.started("a", place)
    results.ended(Result(check="a", status=Status.PASSED, place="n2", started=time.time()))
    partial = read_results(run)
    assert partial is not None
    assert (len(partial.planned), partial.running) == (2, ["a at n1"])


def test_a_report_outweighs_what_came_before_it(run: Run, history: ModuleType) -> None:
    results = Results(run)
    results.ended(result("a", 1))
    results.close()
    history.store(run, history.report_of(1))
    assert read_results(run) is None


def test_checks_that_begin_again_outweigh_the_report_of_an_earlier_attempt(run: Run, history: ModuleType) -> None:
    history.store(run, history.report_of(1))
    os.utime(run.report, (1, 1))
    Results(run).planned(["a"])
    partial = read_results(run)
    assert partial is not None
    assert (partial.planned, partial.results) == (["a"], [])


@pytest.mark.parametrize(
    "torn", [b'{"result": {"check": "b", "sta', b"\xff\xfe\n", b"[]\n", b'{"result": 3}\n', b"3\n"]
)
def test_a_damaged_line_hides_no_other(run: Run, torn: bytes) -> None:
    results = Results(run)
    results.ended(result("a", time.time()))
    with open(run.folder / FILE, "ab") as file:
        file.write(torn)
    partial = read_results(run)
    assert partial is not None
    assert [each.check for each in partial.results] == ["a"]


def test_without_any_there_is_nothing(run: Run) -> None:
    assert read_results(run) is None


def test_a_folder_that_is_gone_harms_no_check(tmp_path: Path) -> None:
    results = Results(Run(tmp_path / "gone"))
    results.ended(result("a", 1))
    results.close()


def test_it_costs_nothing_noticeable(run: Run) -> None:
    results = Results(run)
    began = time.process_time()
    for number in range(200):
        results.started(str(number))
        results.ended(result(str(number), 1))
    assert time.process_time() - began < 1
