"""Ctrl-C at any moment ends the run within two seconds, shows what is known, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from preflight.places.local import lent_to
from preflight.worker.stage import BOOT

CHECKS = """
import subprocess

def check_is_quick():
    yield info("done")

def check_sleeps():
    subprocess.Popen(["sleep", "600"])
    time.sleep(600)

def check_blocks_all_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True: pass
"""


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start the command as a person would in that folder."""
    (folder / "heavy.py").write_text("import time; time.sleep(600)")
    (folder / "foo.yaml").write_text("preflight: {deadline: 30s, imports: [heavy]}")
    command = [sys.executable, "-m", "preflight", "run", "--config", "foo.yaml", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_shows_what_is_known(
    project: Any, nothing_left: Callable[[], list[str]], start_up: float, number: int
) -> None:
    """What had passed is in the report, the exit code is 130, and no process is left."""
    project.checks("slow", CHECKS)
    process = start(project.folder, "--only", "slow", "--only", "imports.works", "--format", "json")
    wait_for_sleep(process.pid)
    time.sleep(1)
    process.send_signal(number)
    began = time.monotonic()
    output, errors = process.communicate(timeout=20)
    assert time.monotonic() - began < 2 + 3 * start_up
    assert process.returncode == 130, errors
    report = json.loads(output)
    assert report["interrupted"] is True
    assert {result["check"]: result["status"] for result in report["results"]} == {"slow.is-quick": "PASSED"}
    assert nothing_left() == []
    assert b"Traceback" not in errors


@pytest.fixture(scope="module")
def start_up() -> float:
    """The seconds in which this machine, busy as it is, comes to the first line of preflight and back."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "preflight", "--version"], check=True, capture_output=True)
    return time.monotonic() - began


@pytest.mark.parametrize("moment", [0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8])
def test_any_moment_will_do(
    project: Any, nothing_left: Callable[[], list[str]], start_up: float, moment: float
) -> None:
    """While it starts, while it collects, while it runs: two seconds, 130, and no traceback."""
    project.checks("slow", CHECKS)
    process = start(project.folder)
    time.sleep(moment)
    process.send_signal(signal.SIGINT)
    # Before the first line of preflight runs, the interpreter itself answers the signal, or loses it in a callback of
    # an import, where Python ignores what is raised: then one presses again.
    is_early = moment < max(0.4, 3 * start_up)
    if is_early:
        with suppress(subprocess.TimeoutExpired):
            process.wait(2 + 3 * start_up)
        process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - began < 2 + 3 * start_up
    assert process.returncode == 130 or (is_early and process.returncode in {1, -signal.SIGINT})
    assert b"preflight/" not in errors
    assert nothing_left() == []


def test_second_interrupt_changes_nothing(project: Any, nothing_left: Callable[[], list[str]]) -> None:
    """An impatient person who presses twice gets the same end."""
    project.checks("slow", CHECKS)
    process = start(project.folder)
    time.sleep(1.5)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert nothing_left() == []


def test_killed_command_takes_its_worker_along(project: Any) -> None:
    """SIGKILL cannot be answered; the worker notices and ends all that it started."""
    project.checks("slow", CHECKS)
    process = start(project.folder)
    time.sleep(1.5)
    workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert workers
    process.kill()
    process.communicate(timeout=5)
    until = time.monotonic() + 20
    while any(alive(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in workers)


def test_killed_worker_leaves_a_report(project: Any, nothing_left: Callable[[], list[str]]) -> None:
    """A worker that dies gets the last word written for it: NO VERDICT, each check with its reason."""
    project.checks("slow", CHECKS)
    process = start(project.folder, "--only", "slow", "--format", "json")
    (worker,) = wait_for_sleep(process.pid)
    time.sleep(1.5)
    os.kill(worker, signal.SIGKILL)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 3
    statuses = {result["check"]: result["status"] for result in json.loads(output)["results"]}
    assert statuses == {
        "slow.is-quick": "PASSED",
        "slow.sleeps": "BROKEN",
        "slow.blocks-all-signals": "BROKEN",
        "worker.answers": "BROKEN",
    }
    assert nothing_left() == []


def test_worker_that_nobody_hears_leaves_nothing(project: Any, nothing_left: Callable[[], list[str]]) -> None:
    """Its command was killed before it said its first word, so that this word ends it, and what pytest says of that."""
    (project.folder / "heavy.py").write_text("import time; time.sleep(600)")
    request = {"text": "preflight: {}", "root": str(project.folder), "imports": {"heavy": 30}, "lent": lent_to("")}
    hearing, speaking = os.pipe()
    os.close(hearing)
    command = [sys.executable, BOOT, "worker", lent_to(""), "local"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=speaking, stderr=speaking) as worker:
        os.close(speaking)
        assert worker.stdin is not None
        worker.stdin.write(json.dumps(request).encode() + b"\n")
        worker.stdin.flush()
        worker.wait(30)
        assert nothing_left() == []


def wait_for_sleep(pid: int) -> list[int]:
    """Wait until a check below a process sleeps; return the children of that process."""
    until = time.monotonic() + 15
    process = psutil.Process(pid)
    while not any(name_of(each) == "sleep" for each in process.children(recursive=True)):
        assert time.monotonic() < until
        time.sleep(0.05)
    return [child.pid for child in process.children() if any("boot.py" in word for word in child.cmdline())]


def name_of(process: psutil.Process) -> str:
    """Return what a process is called, nothing where it has gone since it was listed."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def alive(pid: int) -> bool:
    """Tell whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
