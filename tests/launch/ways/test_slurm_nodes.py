"""Batch jobs of several nodes: checked on all of them, and put back into the queue without those that are bad."""

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
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


def slurm_says(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def begin_again(experiment: Any, attempt: int = 0, name: str = "one") -> str:
    """Wait until an attempt has been put back, and spare it the two minutes that Slurm lets it wait.

    Return what `preflight show` tells meanwhile.
    """
    experiment.until(lambda: experiment.run(name).read().state is State.REQUEUED)
    record = experiment.run(name).read()
    assert record.attempt == attempt
    told = str(experiment.command("show", "--config", "foo.yaml", name).stdout)

    def is_let_go() -> bool:
        if slurm_says("squeue", "--noheader", "--format=%T", f"--jobs={record.slurm}") != "PENDING":
            return False
        let_go = ["scontrol", "update", f"jobid={record.slurm}", "starttime=now"]
        return not subprocess.run(let_go, capture_output=True).returncode

    experiment.until(is_let_go)
    return told


@pytest.mark.slow
def test_the_job_is_requeued_without_the_bad_node_and_those_it_was_not_to_have(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "bad-n3").touch()
    experiment.write(slurm={"nodes": 2, "exclude": "n2", "ntasks_per_node": 2, "cpus_per_task": 2}, requeue=2)
    experiment.launch("slurm")
    assert begin_again(experiment).startswith("one  requeued  without n3: node.node-is-well FAILED\n")
    record = experiment.end()
    assert (record.state, record.exit_code, record.attempt, record.verdict) == (State.FINISHED, 0, 1, "GO")
    assert [place.name for place in report_of(experiment).places] == ["n1", "n4"]
    log = experiment.run().log.read_text()
    assert "checked on n[3-4]: NO-GO" in log
    assert "requeued: without n3: node.node-is-well FAILED" in log
    assert "checked on n[1,4]: GO" in log
    assert log.count(" training\n") == 1


@pytest.mark.slow
def test_it_is_requeued_no_more_often_than_it_may_be(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "bad-n1").touch()
    experiment.write(slurm={"nodes": 2}, requeue=1)
    experiment.launch("slurm")
    experiment.until(lambda: experiment.run().read().state is State.REQUEUED)
    (experiment.outside / "bad-n3").touch()
    begin_again(experiment)
    record = experiment.end()
    assert (record.state, record.exit_code, record.attempt) == (State.REFUSED, 125, 1)
    why = "not requeued: it was requeued 1 time already; to do without them by hand: --exclude=n[1,3]"
    assert record.reason == f"node.node-is-well FAILED; {why}"
    experiment.until(lambda: slurm_says("squeue", "--noheader", f"--jobs={record.slurm}", "--states=PD,R,CG") == "")
    assert not (experiment.outside / "seen.json").exists()


@pytest.mark.slow
def test_a_node_that_is_lost_while_it_is_checked_is_left_out(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "busy").touch()
    experiment.write(slurm={"nodes": 2}, requeue=1)
    run = experiment.launch("slurm")
    wait_until_in_check(experiment, nodes=2)
    worker_on("n2", slurm).kill()
    (experiment.outside / "busy").unlink()
    begin_again(experiment)
    record = experiment.end()
    assert (record.state, record.attempt) == (State.FINISHED, 1)
    assert "n2" not in {place.name for place in report_of(experiment).places}
    assert "requeued: without n2: " in run.log.read_text()


def wait_until_in_check(experiment: Any, nodes: int) -> None:
    """Wait until so many nodes are in the check that lasts while there is a file `busy`."""
    results = experiment.run().folder / "results.jsonl"
    begun = '"started": "node.node-is-well"'
    experiment.until(lambda: experiment.run().read().host and results.read_text().count(begun) == nodes)


def worker_on(node: str, slurm: Path) -> psutil.Process:
    """Return the worker on a node; the children that run its checks have its command line."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environment = process.environ() if process.cmdline()[2:3] == ["worker"] else {}
            if (environment.get("SLURM_CONF"), environment.get("SLURMD_NODENAME")) == (f"{slurm}/slurm.conf", node):
                found.append((process.create_time(), process.pid))
    return psutil.Process(min(found)[1])


@pytest.mark.slow
def test_a_job_whose_nodes_are_all_bad_is_refused(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "bad").touch()
    experiment.write(slurm={"nodes": 2}, requeue=1)
    experiment.launch("slurm")
    record = experiment.end()
    assert (record.state, record.attempt) == (State.REFUSED, 0)
    assert record.reason == "node.node-is-well FAILED; not requeued: none of its nodes has passed"


@pytest.mark.slow
def test_where_too_few_nodes_are_left_it_is_refused(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "bad-n2").touch()
    experiment.write(slurm={"nodes": 4}, requeue=1)
    experiment.launch("slurm")
    record = experiment.end()
    assert record.state is State.REFUSED
    why = "Slurm would refuse the job: Requested node configuration is not available"
    assert record.reason == (f"node.node-is-well FAILED; not requeued: {why}; to do without them by hand: --exclude=n2")


@pytest.mark.slow
def test_where_slurm_does_not_let_it_it_is_refused(experiment: Any, slurm: Path) -> None:
    for name in ("busy", "bad-n2"):
        (experiment.outside / name).touch()
    experiment.write(slurm={"nodes": 2}, requeue=1)
    experiment.launch("slurm")
    job = experiment.run().read().slurm
    experiment.until(lambda: "RUNNING" in slurm_says("squeue", "--noheader", "--format=%T", f"--jobs={job}"))
    slurm_says("scontrol", "update", f"jobid={job}", "requeue=0")
    (experiment.outside / "busy").unlink()
    record = experiment.end()
    assert record.state is State.REFUSED
    assert "FAILED; not requeued: Requested operation is presently disabled for job" in record.reason
    assert record.reason.endswith("; to do without them by hand: --exclude=n2")
    experiment.until(lambda: slurm_says("squeue", "--noheader", f"--jobs={job}", "--states=PD,R,CG") == "")


def test_a_config_that_wants_both_is_told_so_before(experiment: Any, slurm: Path) -> None:
    experiment.write(slurm={"nodes": 2, "no_requeue": True}, requeue=1)
    experiment.launch("slurm")
    assert experiment.done.returncode == 125
    assert "launch.slurm.no_requeue: the job is to be requeued (`launch.requeue: 1`), and not" in experiment.done.stderr


@pytest.mark.slow
def test_stop_ends_a_job_that_waits_to_begin_again(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "bad-n1").touch()
    experiment.write(slurm={"nodes": 2}, requeue=1)
    experiment.launch("slurm")
    experiment.until(lambda: experiment.run().read().state is State.REQUEUED)
    done = experiment.command("stop", "--config", "foo.yaml", "one")
    assert done.returncode == 0, done.stderr
    record = experiment.run().read()
    assert (record.state, "stopped by" in record.reason) == (State.STOPPED, True)
    experiment.until(lambda: slurm_says("squeue", "--noheader", f"--jobs={record.slurm}", "--states=PD,R,CG") == "")


@pytest.mark.slow
def test_a_job_that_is_cancelled_while_it_waits_says_so(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "bad-n1").touch()
    experiment.write(slurm={"nodes": 2}, requeue=1)
    experiment.launch("slurm")
    experiment.until(lambda: experiment.run().read().state is State.REQUEUED)
    job = experiment.run().read().slurm
    experiment.until(lambda: slurm_says("squeue", "--noheader", "--format=%T", f"--jobs={job}") == "PENDING")
    slurm_says("scancel", job)
    experiment.until(lambda: "one  stopped" in experiment.command("show", "--config", "foo.yaml", "one").stdout)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "scancel"])
def test_a_job_is_ended_while_its_nodes_are_checked(experiment: Any, slurm: Path, how: str) -> None:
    for name in ("busy", "bad-n2"):
        (experiment.outside / name).touch()
    experiment.write(slurm={"nodes": 3}, requeue=1)
    run = experiment.launch("slurm")
    wait_until_in_check(experiment, nodes=3)
    if how == "stop":
        done = experiment.command("stop", "--config", "foo.yaml", "one")
        assert done.returncode == 0, done.stderr
    else:
        slurm_says("scancel", run.read().slurm)
    record = experiment.end()
    assert record.state is State.STOPPED
    job = record.slurm
    experiment.until(lambda: slurm_says("squeue", "--noheader", f"--jobs={job}", "--states=PD,R,CG") == "")
    assert record.attempt == 0
    left = subprocess.run(["pgrep", "-f", str(experiment.folder)], capture_output=True, text=True).stdout
    assert left == ""


@pytest.mark.slow
def test_of_an_array_only_the_task_with_the_bad_node_begins_again(experiment: Any, slurm: Path) -> None:
    for name in ("wait", "bad-n1"):
        (experiment.outside / name).touch()
    experiment.write(slurm={"nodes": 2, "array": "1-2", "exclusive": True}, requeue=1)
    experiment.launch("slurm")
    experiment.seen()
    names = ["one-1", "one-2"]
    experiment.until(lambda: any(experiment.run(name).read().state is State.REQUEUED for name in names))
    [back] = [name for name in names if experiment.run(name).read().state is State.REQUEUED]
    begin_again(experiment, name=back)
    (experiment.outside / "wait").unlink()
    records = {name: experiment.end(name) for name in names}
    assert {each.state for each in records.values()} == {State.FINISHED}
    assert {name: each.attempt for name, each in records.items()} == {name: int(name == back) for name in names}


@pytest.mark.slow
def test_where_it_is_asked_for_they_add_up_together(experiment: Any, slurm: Path) -> None:
    pytest.importorskip("torch")
    section = {"deadline": 60, "nodes": {"collectives": True}, "launch": {"slurm": {"nodes": 3}}}
    (experiment.folder / "foo.yaml").write_text(json.dumps({"preflight": section}))
    experiment.launch("slurm")
    record = experiment.end()
    assert (record.state, record.reason) == (State.FINISHED, "")
    passed = {each.place for each in report_of(experiment).results if each.check == "nodes.add-up-together"}
    assert passed == {"n1", "n2", "n3"}
