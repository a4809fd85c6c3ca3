"""A folder of records as launches leave it: runs that worked, failed, are damaged, and go on."""

import json
from pathlib import Path
from typing import Any

from preflight.model import Finding, Report, Result, Severity, Status
from preflight.records.folder import Records, Run
from preflight.records.life import Life
from preflight.records.record import Record
from preflight.records.states import State
from preflight.reports import render
from preflight.verdict import decide

HOSTILE = '<img src=x onerror=alert(1)> "quoted" & %2e%2e #?'


def report_of(number: int, *, host: str = "node07", bad: bool = False, version: str = "2.12.1") -> Report:
    """Return a report whose times and figures go with a number."""
    finding = Finding(severity=Severity.ERROR, message="torch is not there <b>", found="nothing", wanted="torch>=2.4")
    results = [
        Result(check="data.is-there[train]", status=Status.PASSED, seconds=0.1 + 0.01 * number),
        Result(
            check="imports.works[torch]",
            status=Status.FAILED if bad else Status.PASSED,
            seconds=2.0 + number % 3,
            started=0.2,
            findings=(finding,) if bad else (),
        ),
    ]
    gpus = [{"index": 0, "name": "H100", "temperature": 40 + number, "memory": 80 * 2**30, "free": 79 * 2**30}]
    facts = {"host": host, "gpus": gpus, "packages": {"torch": version}, "python": "3.11.7"}
    return Report(results=results, facts=facts, config="foo.yaml", started="2026-11-20T10:00:00+00:00", seconds=4.0)


def store(run: Run, report: Report) -> None:
    """Write a report where a launch writes it."""
    run.report.write_text(render("json", report, decide(report)))


def add(records: Records, name: str, report: Report | None = None, **facts: Any) -> Run:
    """Record a run that has ended."""
    record = Record(name=name, command=("python", "train.py"), created="2026-11-20T10:00:00.000+00:00")
    run = records.create(record, config="lr: 0.1\n")
    if report is not None:
        store(run, report)
    told = {"state": State.FINISHED, "exit_code": 0, "verdict": "GO", **facts}
    run.enter(started="2026-11-20T10:00:10.000+00:00", ended="2026-11-20T10:02:10.000+00:00", **told)
    return run


def begin(records: Records, name: str) -> Run:
    """Record a run whose checks go on in this process."""
    run = records.create(Record(name=name, command=("python", "train.py"), launcher=Life.of()))
    run.enter(State.CHECKING)
    return run


def make(folder: Path) -> Records:
    """Return records of eight runs, the earliest first: three worked, then one of each kind."""
    found = Records(folder)
    for number in range(3):
        add(found, f"good-{number}", report_of(number))
    bad = report_of(3, bad=True, version="2.13.0")
    add(found, "bad", bad, state=State.REFUSED, exit_code=125, verdict="NO-GO", reason="imports.works[torch] FAILED")
    torn = add(found, "torn", report_of(4))
    torn.report.write_text(torn.report.read_text()[:300])
    add(found, HOSTILE, report_of(5, host=HOSTILE))
    lost = found.folder / "no record"
    lost.mkdir()
    (lost / "record.json").write_text("{")
    old = add(found, "old", report_of(6))
    told = json.loads(old.report.read_text())
    del told["places"]
    old.report.write_text(json.dumps(told))
    return found
