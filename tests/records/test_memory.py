"""What is remembered between plain runs: where, of which, and what it says at the next NO-GO."""

import json
import os
from pathlib import Path

import pytest

from preflight import config as configuration
from preflight.model import Finding, Report, Result, Severity, Status
from preflight.records.memory import GO, LAST, recall, remember
from preflight.reports import render
from preflight.verdict import decide


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def report(status: Status, at: str = "2026-01-01T14:02:00+00:00", **facts: object) -> Report:
    problem = Finding(severity=Severity.ERROR, message="torch cannot be imported")
    findings = (problem,) if status is Status.FAILED else ()
    return Report(results=(Result(check="a.b", status=status, findings=findings),), started=at, facts=facts)


def config(text: str = "lr: 0.1\n", name: str = "foo.yaml") -> configuration.Config:
    return configuration.load(Path(name), text=text, root=Path("/"))


def last_lines(report: Report) -> list[str]:
    return render("terminal", report, decide(report)).splitlines()[-3:]


def test_a_no_go_tells_what_has_changed_since_the_last_go() -> None:
    go = report(Status.PASSED, packages={"torch": "2.12.1", "a": "1"}, data={"x.csv": {"size": 52 * 10**6}})
    assert remember(go, config()) is go
    no_go = report(Status.FAILED, packages={"torch": "2.13.0", "a": "2"}, data={"x.csv": {"size": 131}})
    shown = remember(no_go, config("lr: 0.2\n"))
    page = render("terminal", shown, decide(shown)).splitlines()
    assert page[-1].startswith("NO-GO")
    since = next(line for line in page if line.startswith("since the last GO (2026-01-01 "))
    assert since.endswith(
        "): torch 2.12.1 → 2.13.0 · x.csv 52 MB → 131 B · lr 0.1 → 0.2 · and 1 more, see `preflight diff`"
    )
    assert json.loads(render("json", shown, decide(shown)))["facts"]["since"]["differences"][0]["name"] == "torch"


def test_nothing_is_told_where_nothing_ever_worked() -> None:
    assert "since" not in remember(report(Status.FAILED), config()).facts
    assert recall(config(), LAST).verdict == "NO-GO"
    assert recall(config(), GO) is None


def test_nothing_that_changed_is_told_as_such() -> None:
    remember(report(Status.PASSED, packages={"a": "1"}), config())
    shown = remember(report(Status.FAILED, packages={"a": "1"}), config())
    assert "nothing has changed of what is known" in render("terminal", shown, decide(shown))


def test_a_part_of_the_checks_is_no_go_to_remember() -> None:
    remember(report(Status.PASSED), config(), whole=False)
    assert recall(config(), GO) is None


@pytest.mark.parametrize(("other", "side"), [("bar.yaml", ""), ("foo.yaml", "node")])
def test_each_config_and_each_side_has_its_own(other: str, side: str) -> None:
    remember(report(Status.PASSED), config())
    assert recall(config(name=other), GO, side) is None
    assert recall(config(), GO) is not None


def test_only_the_user_reads_it(state: Path) -> None:
    remember(report(Status.PASSED), config())
    files = [each for each in state.rglob("*") if each.is_file()]
    assert {each.name for each in files} == {"go.json", "last.json"}
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 99}', '{"version": 1, "at": "", "verdict": "", "world": 3}', "[" * 9**5]
)
def test_a_damaged_memory_is_none(text: str, state: Path) -> None:
    remember(report(Status.PASSED), config())
    for file in state.rglob("*.json"):
        file.write_text(text)
    assert recall(config(), GO) is None
    assert "since" not in remember(report(Status.FAILED), config()).facts


def test_a_memory_that_cannot_be_compared_is_none(state: Path) -> None:
    remember(report(Status.PASSED, data={"x": {"size": 1}}), config())
    for file in state.rglob("*.json"):
        file.write_text(file.read_text().replace('{"size": 1}', '"large"'))
    assert "since" not in remember(report(Status.FAILED, data={"x": {"size": 2}}), config()).facts


def test_a_home_that_cannot_be_written(state: Path) -> None:
    state.write_text("a file")
    shown = remember(report(Status.PASSED), config())
    assert shown.facts == {}
    assert os.path.isfile(state)


@pytest.mark.parametrize("since", [3, {}, {"at": 3, "differences": []}, {"at": "x", "differences": [3, {"name": 1}]}])
def test_a_report_from_anywhere_is_shown(since: object) -> None:
    assert last_lines(report(Status.FAILED, since=since))[-1].startswith("NO-GO")
