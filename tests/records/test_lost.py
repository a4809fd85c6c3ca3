"""A run is never `running` for ever: what its process, its signs of life and its scheduler tell decides."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from preflight.records import lost
from preflight.records.folder import Records, Run
from preflight.records.life import Life
from preflight.records.listing import latest, settled
from preflight.records.lost import judged
from preflight.records.record import Record
from preflight.records.states import State
from preflight.system import slurm


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Records(tmp_path / "runs").create(Record(name="one"))


def state_of(run: Run, jobs: dict[str, str] | None = None) -> tuple[State, str]:
    record = judged(run, run.read(), jobs)
    return record.state, record.reason


def make_silent(run: Run, seconds: float) -> None:
    for file in run.folder.iterdir():
        os.utime(file, (time.time() - seconds,) * 2)


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_life_is_known_again(sleeper) -> None:
    life = Life.of(sleeper.pid)
    assert Life.from_json(life.to_json()) == life
    assert life.is_alive
    assert replace(life, started=life.started + 1).is_alive is False  # the number was given to another process
    assert replace(life, boot="another start").is_alive is False
    assert replace(life, space="pid:[1]").is_alive is None
    assert replace(life, boot="another machine", space="pid:[1]").is_alive is None
    assert replace(life, host="elsewhere").is_alive is None
    sleeper.kill()
    while Path(f"/proc/{sleeper.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    assert life.is_alive is False  # nobody has waited for it, but it does nothing any more
    sleeper.wait()
    assert life.is_alive is False


def test_a_job_that_was_killed_is_lost(run: Run, sleeper) -> None:
    run.enter(State.RUNNING, job=Life.of(sleeper.pid))
    assert state_of(run) == (State.RUNNING, "")
    sleeper.send_signal(signal.SIGKILL)
    sleeper.wait()
    state, reason = state_of(run)
    assert state is State.LOST
    assert reason.startswith(f"its process {sleeper.pid} on ")
    run.enter(State.FINISHED, exit_code=0)
    assert state_of(run)[0] is State.FINISHED


@pytest.mark.parametrize("state", [State.CREATED, State.CHECKING])
def test_a_launcher_that_was_killed_is_lost(state: State, tmp_path: Path, sleeper) -> None:
    run = Records(tmp_path / "runs").create(Record(name="one", launcher=Life.of(sleeper.pid)))
    run.enter(state)
    assert state_of(run)[0] is state
    sleeper.kill()
    sleeper.wait()
    assert state_of(run)[0] is State.LOST


def test_between_launcher_and_job_there_is_a_while(tmp_path: Path, sleeper) -> None:
    run = Records(tmp_path / "runs").create(Record(name="one", launcher=Life.of(sleeper.pid)))
    run.enter(State.STARTING)
    sleeper.kill()
    sleeper.wait()
    assert state_of(run)[0] is State.STARTING
    make_silent(run, lost.HANDOVER + 1)
    assert state_of(run)[0] is State.LOST


def test_elsewhere_only_signs_of_life_count(run: Run) -> None:
    run.enter(State.RUNNING, job=replace(Life.of(), host="n7"))
    assert state_of(run)[0] is State.RUNNING
    make_silent(run, lost.SILENCE + 60)
    state, reason = state_of(run)
    assert state is State.LOST
    assert reason.startswith("no sign of life from n7 for 11m")
    run.beat()
    assert state_of(run)[0] is State.RUNNING


def test_a_log_that_grows_is_a_sign_of_life(run: Run) -> None:
    run.enter(State.RUNNING, job=replace(Life.of(), host="n7"))
    make_silent(run, lost.SILENCE + 60)
    run.log.write_text("epoch 1\n")
    assert state_of(run)[0] is State.RUNNING


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("RUNNING", State.RUNNING),
        ("COMPLETING", State.RUNNING),
        ("PENDING", State.STARTING),
        ("TIMEOUT", State.FAILED),
        ("CANCELLED", State.STOPPED),
        ("NODE_FAIL", State.LOST),
        ("A_WORD_OF_LATER_VERSIONS", State.RUNNING),
    ],
)
def test_slurm_knows_better(told: str, state: State, run: Run) -> None:
    run.enter(State.RUNNING, slurm="12", job=replace(Life.of(), host="n1"))
    assert state_of(run, {"12": told})[0] is state
    if state.is_end:
        assert state_of(run, {})[1] == f"Slurm: {told} (job 12)"  # written down, for Slurm forgets


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("PENDING", State.REQUEUED),
        ("COMPLETING", State.REQUEUED),
        ("CANCELLED", State.STOPPED),
        ("FAILED", State.FAILED),
    ],
)
def test_a_run_that_was_put_back_waits_and_says_why(told: str, state: State, run: Run) -> None:
    run.enter(State.CHECKING, slurm="12")
    run.enter(State.REQUEUED, reason="without n2: it is bad")
    reason = "without n2: it is bad" if state is State.REQUEUED else f"Slurm: {told} (job 12)"
    assert state_of(run, {"12": told}) == (state, reason)
    make_silent(run, lost.HANDOVER + 1)
    if state is State.REQUEUED:
        assert state_of(run, {})[0] is State.LOST


def test_a_run_that_was_put_back_and_cannot_be_is_refused(run: Run) -> None:
    run.enter(State.REQUEUED, reason="without n2: it is bad")
    run.enter(State.REFUSED, reason="Slurm does not want it")
    assert (run.read().state, run.read().reason) == (State.REFUSED, "Slurm does not want it")
    Run(run.folder, attempt=1).enter(State.CHECKING)
    assert (run.read().state, run.read().reason) == (State.CHECKING, "")


def test_slurm_that_does_not_know_the_job(run: Run) -> None:
    run.enter(State.RUNNING, slurm="12")
    assert state_of(run, {"13": "RUNNING"})[0] is State.RUNNING  # it may have been submitted in this moment
    make_silent(run, lost.HANDOVER + 1)
    assert state_of(run, {"13": "RUNNING"}) == (State.LOST, "Slurm does not know its job 12 any more")


def test_slurm_that_does_not_answer_proves_nothing(run: Run) -> None:
    run.enter(State.STARTING, slurm="12")
    make_silent(run, lost.SILENCE + 1)
    assert state_of(run)[0] is State.STARTING  # queues are long
    run.enter(State.RUNNING)
    make_silent(run, lost.SILENCE + 1)
    assert state_of(run)[0] is State.LOST


def test_what_slurm_completed_may_still_write_its_end(run: Run) -> None:
    run.enter(State.RUNNING, slurm="12")
    assert state_of(run, {"12": "COMPLETED"})[0] is State.RUNNING
    make_silent(run, lost.HANDOVER + 1)
    assert state_of(run, {"12": "COMPLETED"})[0] is State.FINISHED
    assert run.read().exit_code == 0


def test_slurm_is_asked_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(tmp_path / "runs")
    for number in range(3):
        records.create(Record(name=f"run {number}")).enter(State.RUNNING, slurm=str(number))
    program = tmp_path / "bin" / "squeue"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\necho $* >> '{tmp_path}/asked'\necho '0 RUNNING'\necho '1 TIMEOUT'\necho '2_[3-5] PENDING'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    assert [each.state for each in latest(records)] == [State.RUNNING, State.FAILED, State.RUNNING]
    assert [line.split()[-1] for line in (tmp_path / "asked").read_text().splitlines()] == ["--jobs=0,1,2"]
    program.write_text("#!/bin/sh\necho error >&2\nexit 1\n")
    assert [each.state for each in latest(records)] == [State.RUNNING, State.FAILED, State.RUNNING]
    program.write_text("#!/bin/sh\nexec sleep 20\n")
    monkeypatch.setattr("preflight.system.slurm._PATIENCE", 0.2)
    assert [each.state for each in latest(records)] == [State.RUNNING, State.FAILED, State.RUNNING]


def test_slurm_that_has_forgotten_the_only_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "squeue"
    program.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert slurm.states_of_jobs(["12"]) == {}


def test_only_the_last_are_read(tmp_path: Path) -> None:
    records = Records(tmp_path / "runs")
    for number in range(5):
        run = records.create(Record(name=f"run {9 - number}"))
        os.utime(run.folder / "record.json", (number, number))
    assert [each.name for each in latest(records, 2)] == ["run 6", "run 5"]
    assert len(latest(records)) == 5
    assert latest(Records(tmp_path / "nothing")) == []


def test_a_requeued_run_is_judged_as_its_last_attempt(run: Run) -> None:
    run.enter(State.FAILED, exit_code=1)
    Run(run.folder, attempt=1).enter(State.RUNNING, slurm="12")
    read = settled(Records(run.folder.parent), [run.read()])[0]
    assert (read.attempt, read.exit_code) == (1, None)
