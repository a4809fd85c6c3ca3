"""Runs in a tmux session."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from preflight.records.states import State


def test_a_run_goes_on_in_a_session_that_can_be_attached_to(experiment: Any, tmux: None) -> None:
    (experiment.outside / "wait").touch()
    run = experiment.launch("tmux", "a b")
    assert experiment.done.returncode == 0, experiment.done.stderr
    assert "`preflight attach` shows it" in experiment.done.stderr
    assert experiment.seen()["variable"] == os.environ["GIVEN"]
    assert run.read().state is State.RUNNING
    leader, follower = pty.openpty()
    attached = subprocess.Popen(
        [sys.executable, "-m", "preflight", "attach", "--config", "foo.yaml", "one"],
        cwd=experiment.folder,
        env={**os.environ, "TERM": "xterm"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    shown = b""
    end = time.monotonic() + 20
    while b"training" not in shown and time.monotonic() < end:
        shown += os.read(leader, 1 << 16)
    assert b"training" in shown
    (experiment.outside / "wait").unlink()
    record = experiment.end()
    assert (record.state, record.exit_code) == (State.FINISHED, 0)
    assert b"training" in run.log.read_bytes()
    attached.terminate()
    attached.wait(10)
    os.close(leader)
    os.close(follower)


def test_a_no_go_is_told_before_there_is_a_session(experiment: Any, tmux: None) -> None:
    (experiment.outside / "bad").touch()
    run = experiment.launch("tmux")
    assert (experiment.done.returncode, run.read().session) == (125, "")


def test_stop_ends_the_job_and_its_server(experiment: Any, tmux: None) -> None:
    (experiment.outside / "wait").touch()
    run = experiment.launch("tmux")
    pid = experiment.seen()["pid"]
    assert experiment.command("stop", "--config", "foo.yaml", "one").returncode == 0
    assert run.read().state is State.STOPPED
    experiment.until(lambda: not Path(f"/proc/{pid}").exists())


def test_without_tmux_nothing_is_started(experiment: Any, monkeypatch: Any) -> None:
    tools = experiment.outside / "tools"
    tools.mkdir()
    (tools / "git").symlink_to("/usr/bin/git")
    monkeypatch.setenv("PATH", str(tools))
    run = experiment.launch("tmux")
    assert experiment.done.returncode == 125
    assert "the command tmux is not there" in experiment.done.stderr
    assert run.read().state is State.REFUSED
