"""Batch jobs of several nodes: checked on all of them, and put back into the queue without those that are bad."""

import json
from pathlib import Path
from typing import Any

from preflight.model import Report
from preflight.records.states import State


def report_of(experiment: Any) -> Report:
    return Report.from_json(json.loads(experiment.run().report.read_text()))


def test_every_node_is_checked_and_the_bad_one_named(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "bad-n2").touch()
    experiment.write(slurm={"nodes": 3})
    experiment.launch("slurm")
    record = experiment.end()
    assert (record.state, record.exit_code, record.verdict) == (State.REFUSED, 125, "NO-GO")
    assert record.reason == "node.node-is-well FAILED"
    report = report_of(experiment)
    assert [place.name for place in report.places] == ["n1", "n2", "n3"]
    statuses = {each.place: each.status for each in report.results if each.check == "node.node-is-well"}
    assert statuses == {"n1": "PASSED", "n2": "FAILED", "n3": "PASSED"}
    assert {each.place for each in report.results if each.check == "nodes.are-alike"} == {"n1", "n2", "n3"}
    assert not any(each.check == "code.is-known" for each in report.results), "which belongs to where it was launched"
    assert not (experiment.outside / "seen.json").exists()
    assert "--exclude=n2" in (experiment.run().folder / "slurm.txt").read_text()
    assert "checked on n[1-3]: NO-GO" in experiment.run().log.read_text()
