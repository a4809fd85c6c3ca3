"""Batch jobs of several nodes: checked on all of them, and put back into the queue without those that are bad."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

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


def begin_again(experiment: Any, attempt: int = 0) -> str:
    """Wait until an attempt has been put back, and spare it the two minutes that Slurm lets it wait.

    Return what `preflight show` tells meanwhile.
    """
    experiment.until(lambda: experiment.run().read().state is State.REQUEUED)
    assert experiment.run().read().attempt == attempt
    told = str(experiment.command("show", "--config", "foo.yaml", "one").stdout)

    def is_let_go() -> bool:
        job = experiment.run().read().slurm
        told = subprocess.run(["squeue", "--noheader", "--format=%T", f"--jobs={job}"], capture_output=True, text=True)
        return (
            told.stdout.strip() == "PENDING"
            and not subprocess.run(
                ["scontrol", "update", f"jobid={job}", "starttime=now"], capture_output=True
            ).returncode
        )

    experiment.until(is_let_go)
    return told


@pytest.mark.slow
def test_the_job_is_requeued_without_the_bad_node(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "bad-n1").touch()
    experiment.write(slurm={"nodes": 2, "exclude": "n4"}, requeue=2)
    experiment.launch("slurm")
    assert begin_again(experiment).startswith("one  requeued  without n1: node.node-is-well FAILED\n")
    record = experiment.end()
    assert (record.state, record.exit_code, record.attempt, record.verdict) == (State.FINISHED, 0, 1, "GO")
    assert [place.name for place in report_of(experiment).places] == ["n2", "n3"]
    log = experiment.run().log.read_text()
    assert "checked on n[1-2]: NO-GO" in log
    assert "requeued: without n1: node.node-is-well FAILED" in log
    assert "checked on n[2-3]: GO" in log
    assert log.count(" training\n") == 1
