"""Work in a process of its own: what it returns and raises, and when it has stood still for too long."""

import os
import time
from pathlib import Path

import pytest

from preflight.system import watched as module
from preflight.system.watched import NoAnswer, at, watched


def test_what_it_returns() -> None:
    here = os.getpid()
    assert watched(lambda: (os.getppid(), "x" * 1_000_000), 60) == (here, "x" * 1_000_000)


def test_what_it_raises() -> None:
    with pytest.raises(PermissionError, match="no"):
        watched(lambda: os.strerror(1) and _raise(PermissionError(13, "no")), 60)


def test_a_process_that_dies() -> None:
    with pytest.raises(ChildProcessError, match="status 9"):
        watched(lambda: os.kill(os.getpid(), 9), 60)


def test_standing_still(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    def work() -> None:
        at(tmp_path / "a")
        at(tmp_path / "pipe")
        os.open(tmp_path / "pipe", os.O_RDONLY)

    began = time.monotonic()
    with pytest.raises(NoAnswer) as stopped:
        watched(work, 1)
    assert stopped.value.path == str(tmp_path / "pipe")
    assert time.monotonic() - began < 10


def test_slow_work_that_moves_is_not_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GLANCE", 0.05)

    def work() -> str:
        for _ in range(40):
            time.sleep(0.02)
        return "done"

    assert watched(work, 0.6) == "done"


def test_unwatched_it_costs_nothing() -> None:
    at("/anywhere")
    assert module._trail is None


def _raise(error: Exception) -> None:
    raise error
