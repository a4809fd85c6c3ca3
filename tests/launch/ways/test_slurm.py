"""Runs as batch jobs of a real Slurm."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from preflight.records.record import Record
from preflight.records.states import State


def slurm_says(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout


def test_a_run_is_checked_on_its_node_and_recorded(experiment: Any, slurm: Path) -> None:
    experiment.write(slurm={"partition": "main", "time": 5, "cpus_per_task": 2, "exclusive": False})
    run = experiment.launch("slurm", "a b", "$(x)")
    assert experiment.done.returncode == 0, experiment.done.stderr
    record = experiment.end()
    assert (record.state, record.exit_code, record.attempt) == (State.FINISHED, 0, 0)
    assert f"as job {record.slurm} of Slurm" in experiment.done.stderr
    assert record.host in ("n1", "n2", "n3", "n4")
    seen = experiment.seen()
    assert (seen["argv"], seen["folder"], seen["variable"]) == (["a b", "$(x)"], record.checkout, "given $(x) 'ü'")
    log = run.log.read_text()
    assert f"SLURM_JOB_ID={record.slurm}" in log
    assert log.count(" training\n") == 1
    checks = {result["check"] for result in json.loads(run.report.read_text())["results"]}
    assert "node.node-is-well" in checks
    assert "code.is-known" not in checks
    assert "NumCPUs=2" in slurm_says("scontrol", "show", "job", record.slurm)


def test_the_node_refuses_by_its_own_checks(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "bad").touch()
    experiment.launch("slurm")
    assert experiment.done.returncode == 0, "this side has nothing against it"
    record = experiment.end()
    assert (record.state, record.exit_code, record.verdict) == (State.REFUSED, 125, "NO-GO")
    assert "node.node-is-well FAILED" in record.reason
    assert not (experiment.outside / "seen.json").exists()
    assert "this node is bad" in (experiment.run().folder / "slurm.txt").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"partion": "main"}, "slurm.partion: sbatch has no option --partion\n  Do you mean partition"),
        ({"partition": "nowhere"}, "Slurm would refuse the job: "),
        ({"nodes": 99}, "Slurm would refuse the job: "),
        ({"output": "x"}, "--output is preflight's to set"),
        ({"nodelist": ["n1", "n2"]}, "an option of sbatch is one value"),
    ],
)
def test_what_sbatch_would_refuse_is_told_before(
    experiment: Any, slurm: Path, options: dict[str, object], said: str
) -> None:
    experiment.write(slurm=options)
    record = experiment.launch("slurm").read()
    assert experiment.done.returncode == 125
    assert said in experiment.done.stderr
    assert (record.state, record.slurm) == (State.REFUSED, "")


@pytest.mark.parametrize("is_pending", [False, True])
def test_stop_ends_a_job_that_runs_or_waits(experiment: Any, slurm: Path, *, is_pending: bool) -> None:
    (experiment.outside / "wait").touch()
    experiment.write(slurm={"begin": "now+1hour"} if is_pending else {})
    experiment.launch("slurm")
    if not is_pending:
        experiment.seen()
    done = experiment.command("stop", "--config", "foo.yaml", "one")
    assert done.returncode == 0, done.stderr
    record = experiment.run().read()
    assert (record.state, "stopped by" in record.reason) == (State.STOPPED, True)
    assert slurm_says("squeue", "--noheader", f"--jobs={record.slurm}", "--states=RUNNING,PENDING") == ""
    assert record.exit_code == (None if is_pending else 128 + signal.SIGTERM)


@pytest.mark.slow
def test_a_requeued_job_is_another_attempt(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "wait").touch()
    experiment.launch("slurm")
    first = experiment.seen()["pid"]
    job = experiment.run().read().slurm
    slurm_says("scontrol", "requeue", job)

    def is_begun_again() -> bool:
        # Slurm lets a requeued job wait two minutes, unless it is told otherwise once the first attempt is gone.
        subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now"], capture_output=True)
        time.sleep(0.5)
        return bool(experiment.seen()["pid"] != first)

    experiment.until(is_begun_again)
    (experiment.outside / "wait").unlink()
    experiment.until(lambda: experiment.run().read().state is State.FINISHED)
    assert experiment.run().read().attempt == 1
    events = experiment.run().events()[0]
    assert any("ended by Slurm: job requeue" in str(event.facts.get("reason")) for event in events)


@pytest.mark.slow
def test_each_task_of_an_array_has_a_record(experiment: Any, slurm: Path) -> None:
    experiment.write(slurm={"array": "1-2"})
    experiment.launch("slurm")
    tasks = [experiment.end(f"one-{task}") for task in (1, 2)]
    assert [task.state for task in tasks] == [State.FINISHED, State.FINISHED]
    assert len({task.slurm for task in tasks}) == 2


@pytest.mark.slow
def test_a_job_whose_time_is_up_is_asked_to_end_and_says_so(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "wait").touch()
    experiment.write(slurm={"time": 1, "signal": "B:TERM@48"})
    experiment.launch("slurm")
    record = experiment.end()
    assert record.state is State.STOPPED
    late = "asked to end while it was checked"  # on a machine that is very busy
    assert record.reason.startswith(("ended by Slurm: its time is up in 0:", late))


@pytest.mark.slow
def test_a_job_that_somebody_cancels_says_so(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "wait").touch()
    experiment.launch("slurm")
    experiment.seen()
    slurm_says("scancel", experiment.run().read().slurm)
    experiment.until(lambda: settled(experiment).state is State.STOPPED)


@pytest.mark.slow
def test_a_node_that_goes_takes_the_run_with_it(experiment: Any, slurm: Path) -> None:
    (experiment.outside / "wait").touch()
    experiment.write(slurm={"no_requeue": True})
    experiment.launch("slurm")
    experiment.seen()
    record = experiment.run().read()
    node = record.host
    for pid in (int((slurm / "pid" / node).read_text()), stepd_of(record.job.pid), record.job.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    experiment.until(lambda: settled(experiment).state is State.LOST, 60)
    assert "NODE_FAIL" in settled(experiment).reason
    subprocess.run(["slurmd", "-N", node], check=True)
    experiment.until(lambda: "idle" in slurm_says("sinfo", "--noheader", f"--nodes={node}", "--format=%t"))


def settled(experiment: Any) -> Record:
    """Return the record as `preflight runs` tells it."""
    done = experiment.command("show", "--config", "foo.yaml", "one", "--format", "json")
    return Record.from_json(json.loads(done.stdout)["record"])


def stepd_of(pid: int) -> int:
    """Return the parent of a process: of a batch job that is Slurm's step daemon."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
