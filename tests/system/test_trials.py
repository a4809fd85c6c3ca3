"""What writing, reading and running really do, on disks of our own."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from preflight.system import trials
from preflight.system.trials import Refusal


@pytest.mark.parametrize("size", [0, 1, 65_536, 200_000])
def test_writing(size: int, tmp_path: Path) -> None:
    assert trials.try_to_write(tmp_path, size) is None
    assert not os.listdir(tmp_path)


def test_writing_more_than_there_is_room(tmp_path: Path, in_world: Any) -> None:
    setup = f"mount -t tmpfs -o size=1m none {tmp_path}"
    assert in_world(setup, trials.try_to_write, tmp_path, 2_000_000) == Refusal(
        step="write", errno=errno.ENOSPC, written=2**20
    )


def test_reading(tmp_path: Path) -> None:
    assert trials.try_to_read(tmp_path) is None
    assert trials.try_to_read(tmp_path / "gone") == Refusal(step="read", errno=errno.ENOENT)


def test_running(tmp_path: Path, in_world: Any) -> None:
    assert trials.try_to_execute(tmp_path) is None
    assert not os.listdir(tmp_path)
    refusal = in_world(f"mount -t tmpfs -o noexec none {tmp_path}", trials.try_to_execute, tmp_path)
    assert refusal == Refusal(step="map", errno=errno.EPERM, written=len(trials.SCRIPT))


def test_appending_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x")
    os.utime(tmp_path / "log", (1, 1))
    assert trials.try_to_append(tmp_path / "log") is None
    assert (tmp_path / "log").stat().st_mtime == 1


def test_a_killed_attempt_is_cleaned_up_after_an_hour(tmp_path: Path) -> None:
    program = "import pathlib, sys; from preflight.system import trials; "
    program += "trials.try_to_write(pathlib.Path(sys.argv[1]), 10**13)"
    with subprocess.Popen([sys.executable, "-c", program, tmp_path]) as process:
        while not os.listdir(tmp_path):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    (left,) = tmp_path.iterdir()
    left.write_bytes(b"")
    assert trials.try_to_write(tmp_path, 1) is None
    assert list(tmp_path.iterdir()) == [left]
    os.utime(left, (time.time() - 3700, time.time() - 3700))
    assert trials.try_to_write(tmp_path, 1) is None
    assert not os.listdir(tmp_path)
