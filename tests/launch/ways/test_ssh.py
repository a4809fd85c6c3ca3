"""Runs on another host."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from preflight.records.states import State


@pytest.fixture
def far(experiment: Any, host: str, tmp_path: Path) -> Any:
    """The experiment, to be launched onto the host, where runs lie in a folder of this test's own."""
    experiment.ssh = {"folder": str(tmp_path / "there")}
    experiment.write(ssh=experiment.ssh)
    return experiment


def test_a_run_has_a_checkout_there_and_its_output_here(far: Any, host: str, tmp_path: Path) -> None:
    run = far.launch(host, "a b", "$(x)")
    record = run.read()
    assert (far.done.returncode, far.done.stdout) == (0, "training\n"), far.done.stderr
    assert (record.state, record.exit_code, record.way) == (State.FINISHED, 0, host)
    seen = far.seen()
    assert seen["folder"].startswith(str(tmp_path / "there"))
    assert (seen["argv"], seen["variable"]) == (["a b", "$(x)"], "")
    assert any(line.endswith(" training") for line in run.log.read_text().splitlines())
    checks = {result["check"] for result in json.loads(run.report.read_text())["results"]}
    assert "node.node-is-well" in checks
    assert "code.is-known" not in checks


@pytest.mark.slow
def test_the_host_refuses_by_its_own_checks(far: Any, host: str) -> None:
    (far.outside / "bad").touch()
    record = far.launch(host).read()
    assert far.done.returncode == 125
    assert (record.state, record.verdict) == (State.REFUSED, "NO-GO")
    assert "node.node-is-well FAILED" in record.reason
    assert "this node is bad" in far.done.stderr
    assert not (far.outside / "seen.json").exists()


@pytest.mark.slow
def test_an_exit_code_of_125_is_the_jobs_where_the_checks_said_go(far: Any, host: str) -> None:
    (far.outside / "code").write_text("125")
    assert far.launch(host).read().state is State.FAILED


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "signal"])
def test_a_run_that_is_ended_here_ends_there(far: Any, host: str, how: str) -> None:
    (far.outside / "wait").touch()
    words = ["launch", "--config", "foo.yaml", "--name", "one", "--on", host, "--", sys.executable, "train.py"]
    process = subprocess.Popen(
        [sys.executable, "-m", "preflight", *words, str(far.outside)], cwd=far.folder, stderr=subprocess.DEVNULL
    )
    pid = far.seen()["pid"]
    if how == "signal":
        process.send_signal(signal.SIGTERM)
    else:
        assert far.command("stop", "--config", "foo.yaml", "one").returncode == 0
    process.wait(20)
    assert far.run().read().state is State.STOPPED
    far.until(lambda: not Path(f"/proc/{pid}").exists())


@pytest.mark.slow
def test_a_connection_that_breaks_leaves_the_run_lost(far: Any, host: str) -> None:
    (far.outside / "wait").touch()
    words = ["launch", "--config", "foo.yaml", "--name", "one", "--on", host, "--", sys.executable, "train.py"]
    process = subprocess.Popen(
        [sys.executable, "-m", "preflight", *words, str(far.outside)], cwd=far.folder, stderr=subprocess.DEVNULL
    )
    far.seen()
    subprocess.run(["ssh", "-O", "exit", "-o", control_path(), "node"], capture_output=True, check=True)
    assert process.wait(20) == 255
    assert far.run().read().state is State.LOST
    (far.outside / "wait").unlink()


def control_path() -> str:
    import os
    import tempfile

    return f"ControlPath={tempfile.gettempdir()}/preflight-ssh-{os.getuid()}/%C"


def test_a_host_that_cannot_be_reached_is_told(experiment: Any, host: str) -> None:
    record = experiment.launch("ssh:nowhere.invalid").read()
    assert experiment.done.returncode == 125
    assert "nowhere.invalid: " in experiment.done.stderr
    assert record.state is State.REFUSED


def test_a_host_without_preflight_is_told(far: Any, host: str) -> None:
    far.write(ssh={**far.ssh, "python": "/usr/bin/python3"})
    far.launch(host)
    assert far.done.returncode == 125
    assert "No module named preflight" in far.done.stderr
    assert "launch.ssh.python" in far.done.stderr
