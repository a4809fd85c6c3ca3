"""Runs in the foreground."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import pytest

from preflight.records.states import State


def test_a_run_is_tied_to_a_snapshot_and_runs_in_its_own_checkout(experiment: Any) -> None:
    (experiment.folder / "train.py").write_text((experiment.folder / "train.py").read_text() + "\n# changed\n")
    run = experiment.launch("local", "a b")
    record = run.read()
    assert experiment.done.returncode == 0, experiment.done.stderr
    assert experiment.done.stdout == "training\n"
    assert (record.state, record.exit_code, record.verdict) == (State.FINISHED, 0, "GO")
    seen = experiment.seen()
    assert seen["folder"] == record.checkout != str(experiment.folder)
    assert seen["argv"] == ["a b"]
    assert seen["variable"] == os.environ["GIVEN"]
    assert "# changed" in experiment.git("show", f"{record.commit}:train.py")
    assert "train.py" in record.changes
    assert experiment.git("rev-parse", record.snapshot).strip() == record.commit
    assert experiment.git("status", "--porcelain").split() == ["M", "train.py"]
    assert json.loads(run.report.read_text())["verdict"]["word"] == "GO"
    came = [json.loads(line) for line in (run.folder / "results.jsonl").read_text().splitlines()]
    checks = {each["check"] for each in json.loads(run.report.read_text())["results"]}
    assert {each["result"]["check"] for each in came if "result" in each} >= checks, "a result was not told as it came"
    lines = run.log.read_text().splitlines()
    assert any(line.endswith(" training") for line in lines)
    assert all(line[:2] == "20" and "T" in line[:20] for line in lines), "a line without its time"


def test_the_exit_code_is_the_jobs(experiment: Any) -> None:
    (experiment.outside / "code").write_text("9")
    record = experiment.launch("local").read()
    assert (experiment.done.returncode, record.state, record.exit_code) == (9, State.FAILED, 9)


def test_a_no_go_starts_nothing(experiment: Any) -> None:
    (experiment.outside / "bad").touch()
    run = experiment.launch("local")
    assert experiment.done.returncode == 125
    assert (run.read().state, run.read().verdict) == (State.REFUSED, "NO-GO")
    assert "node.node-is-well FAILED" in run.read().reason
    assert not (experiment.outside / "seen.json").exists()


def test_what_cannot_be_executed_is_told_and_recorded(experiment: Any) -> None:
    experiment.done = experiment.command("launch", "--config", "foo.yaml", "--name", "one", "--", "./nothing")
    assert experiment.done.returncode == 127
    assert "./nothing cannot be started" in experiment.done.stderr
    assert experiment.run().read().state is State.FAILED


def test_a_taken_name_is_refused(experiment: Any) -> None:
    experiment.launch("local")
    experiment.launch("local")
    assert experiment.done.returncode == 125
    assert "the name one is taken: a run of" in experiment.done.stderr


@pytest.mark.slow
def test_clean_refuses_and_a_message_commits(experiment: Any) -> None:
    (experiment.folder / "new.py").write_text("x = 1\n")
    experiment.launch("local", more=("--clean",))
    assert experiment.done.returncode == 125
    assert "new.py" in experiment.done.stderr
    experiment.git("config", "user.name", "Me")
    experiment.git("config", "user.email", "me@example.org")
    record = experiment.launch("local", name="two", more=("--commit", "really")).read()
    assert experiment.git("log", "-1", "--format=%s %H").split() == ["really", record.commit]


@pytest.mark.slow
def test_data_that_no_commit_holds_is_told_before_anything_runs(experiment: Any) -> None:
    (experiment.folder / ".gitignore").write_text("data\n")
    (experiment.folder / "data").mkdir()
    (experiment.folder / "data" / "a.csv").write_text("a,b\n1,2\n")
    text = '{"preflight": {"data": [{"path": "data/a.csv"}], "launch": %s}}'
    (experiment.folder / "foo.yaml").write_text(text % "{}")
    experiment.launch("local")
    assert experiment.done.returncode == 125
    assert "lacks data/a.csv, which no commit holds" in experiment.done.stderr
    assert "launch: {link: [data]}" in experiment.done.stderr
    (experiment.folder / "foo.yaml").write_text(text % '{"link": ["data"]}')
    experiment.launch("local", name="two")
    assert experiment.done.returncode == 0, experiment.done.stderr


def start(experiment: Any, name: str = "one") -> subprocess.Popen[bytes]:
    """Launch a run that waits, and return its launcher, which by now supervises it."""
    (experiment.outside / "wait").touch()
    words = [
        "launch",
        "--config",
        "foo.yaml",
        "--name",
        name,
        "--",
        sys.executable,
        "train.py",
        str(experiment.outside),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "preflight", *words],
        cwd=experiment.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    experiment.until(lambda: (experiment.outside / "seen.json").exists())
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_job(experiment: Any, number: signal.Signals) -> None:
    process = start(experiment)
    process.send_signal(number)
    assert process.wait(10) in (1, 128 + number)
    record = experiment.run().read()
    assert (record.state, number.name in record.reason) == (State.STOPPED, True)
    assert not lives(experiment.seen()["pid"])


def test_the_job_has_the_terminal(experiment: Any) -> None:
    """It sees a terminal, reads what is typed, and Ctrl-C means it and not the launcher."""
    program = "import sys, time; print(sys.stdout.isatty(), sys.stdin.isatty(), input(), flush=True); time.sleep(60)"
    words = ["launch", "--config", "foo.yaml", "--name", "one", "--", sys.executable, "-c", program]
    pid, leader = pty.fork()
    if pid == 0:
        os.chdir(experiment.folder)
        os.execv(sys.executable, [sys.executable, "-m", "preflight", *words])
    os.write(leader, b"typed\n")
    shown = b""
    while b"True True typed" not in shown:
        shown += os.read(leader, 1 << 16)
    os.write(leader, b"\x1a")  # Ctrl-Z stops both, `fg` wakes both
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    os.kill(pid, signal.SIGCONT)
    time.sleep(1)
    os.write(leader, b"\x03")
    with suppress(OSError):
        while os.read(leader, 1 << 16):
            pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGINT
    record = experiment.run().read()
    assert (record.state, record.reason) == (State.STOPPED, "asked to end by SIGINT")


def test_the_job_does_not_outlive_its_supervisor(experiment: Any) -> None:
    process = start(experiment)
    process.kill()
    process.wait()
    experiment.until(lambda: not lives(experiment.seen()["pid"]))


def test_stop_ends_the_job_and_says_who(experiment: Any) -> None:
    process = start(experiment)
    done = experiment.command("stop", "--config", "foo.yaml", "one")
    assert done.returncode == 0, done.stderr
    assert process.wait(10)
    record = experiment.run().read()
    assert (record.state, "stopped by" in record.reason) == (State.STOPPED, True)
    assert "one has ended already" in experiment.command("stop", "--config", "foo.yaml", "one").stderr
    assert experiment.command("attach", "--config", "foo.yaml", "one").returncode == 2


@pytest.mark.slow
def test_rerun_is_the_same_commit_or_says_what_is_not(experiment: Any) -> None:
    first = experiment.launch("local", "x").read()
    (experiment.folder / "train.py").write_text("raise SystemExit(5)\n")
    done = experiment.command("rerun", "--config", "foo.yaml", "one", "--name", "two")
    assert done.returncode == 0, done.stderr
    second = experiment.run("two").read()
    assert (second.commit, second.command) == (first.commit, first.command)
    experiment.run().know(lock="f00", environment=first.environment)
    done = experiment.command("rerun", "--config", "foo.yaml", "one", "--name", "three")
    assert (done.returncode, "the lock of the environment is gone, it was f00" in done.stderr) == (125, True)
    assert experiment.command("rerun", "--config", "foo.yaml", "one", "--name", "three", "--anyway").returncode == 0


def test_children_that_the_job_leaves_behind_hold_nothing_up(experiment: Any) -> None:
    words = ["launch", "--config", "foo.yaml", "--name", "one", "--", "bash", "-c", "sleep 20 & echo done"]
    began = time.monotonic()
    done = experiment.command(*words)
    assert done.stdout == "done\n"
    assert time.monotonic() - began < 15
    assert experiment.run().read().state is State.FINISHED


def lives(pid: int) -> bool:
    """Tell whether a process is more than a name."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_run_in_the_foreground_of_somebodys_job_is_no_job_of_slurm(experiment: Any, monkeypatch: Any) -> None:
    for name, value in {"JOB_ID": "7", "ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "3", "RESTART_COUNT": "2"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    record = experiment.launch("local").read()
    assert (record.state, record.slurm, record.attempt) == (State.FINISHED, "", 0), experiment.done.stderr
