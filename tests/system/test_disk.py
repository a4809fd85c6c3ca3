"""Mounts, room, and what writing and running really do, on disks of our own."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from preflight.system import disk
from preflight.system.disk import Refusal


def test_the_mount_of_a_path(tmp_path: Path, in_world: Any) -> None:
    point = tmp_path / "with a blank"
    (point / "inner").mkdir(parents=True)
    setup = f"mount -t tmpfs -o noexec,nodev mine '{point}'; mkdir '{point}/inner'; mount -o remount,ro,bind '{point}'"
    mount = in_world(setup, disk.mount_of, point / "inner")
    assert (mount.point, mount.type, mount.device) == (str(point), "tmpfs", "mine")
    assert {"ro", "noexec", "nodev"} <= mount.options
    assert "rw" not in mount.options


def test_the_later_mount_hides_the_earlier(tmp_path: Path, in_world: Any) -> None:
    setup = f"mount -t tmpfs one {tmp_path}; mount -t tmpfs two {tmp_path}"
    assert in_world(setup, disk.mount_of, tmp_path).device == "two"


def test_a_file_system_that_does_not_count_files(tmp_path: Path, in_world: Any) -> None:
    assert in_world(f"mount -t tmpfs -o nr_inodes=0 none {tmp_path}", disk.room_of, tmp_path).inodes is None
    room = in_world(f"mount -t tmpfs -o nr_inodes=10,size=1m none {tmp_path}", disk.room_of, tmp_path)
    assert (room.inodes, room.total) == (9, 2**20)


@pytest.mark.parametrize("size", [0, 1, 65_536, 200_000])
def test_writing(size: int, tmp_path: Path) -> None:
    assert disk.try_to_write(tmp_path, size) is None
    assert not os.listdir(tmp_path)


def test_writing_more_than_there_is_room(tmp_path: Path, in_world: Any) -> None:
    setup = f"mount -t tmpfs -o size=1m none {tmp_path}"
    assert in_world(setup, disk.try_to_write, tmp_path, 2_000_000) == Refusal(step="write", errno=errno.ENOSPC)


def test_reading(tmp_path: Path) -> None:
    assert disk.try_to_read(tmp_path) is None
    assert disk.try_to_read(tmp_path / "gone") == Refusal(step="read", errno=errno.ENOENT)


def test_running(tmp_path: Path, in_world: Any) -> None:
    assert disk.try_to_execute(tmp_path) is None
    assert not os.listdir(tmp_path)
    refusal = in_world(f"mount -t tmpfs -o noexec none {tmp_path}", disk.try_to_execute, tmp_path)
    assert refusal == Refusal(step="map", errno=errno.EPERM)


def test_appending_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x")
    os.utime(tmp_path / "log", (1, 1))
    assert disk.try_to_append(tmp_path / "log") is None
    assert (tmp_path / "log").stat().st_mtime == 1


def test_a_killed_attempt_is_cleaned_up_after_an_hour(tmp_path: Path) -> None:
    program = (
        f"from preflight.system import disk; import pathlib; disk.try_to_write(pathlib.Path({str(tmp_path)!r}), 10**13)"
    )
    with subprocess.Popen([sys.executable, "-c", program], preexec_fn=None) as process:
        while not os.listdir(tmp_path):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    (left,) = tmp_path.iterdir()
    left.write_bytes(b"")
    assert disk.try_to_write(tmp_path, 1) is None
    assert list(tmp_path.iterdir()) == [left]
    os.utime(left, (time.time() - 3700, time.time() - 3700))
    assert disk.try_to_write(tmp_path, 1) is None
    assert not os.listdir(tmp_path)


def test_planned_mounts(tmp_path: Path) -> None:
    table = tmp_path / "fstab"
    table.write_text(
        "# none /data/a x\n\nserver:/x /data\\040set nfs ro 0 0\nnone / ext4\nUUID=1 none swap sw\nshort\n"
    )
    assert disk.planned_mount(Path("/data set/train"), table) == "/data set"
    assert disk.planned_mount(Path("/data/a"), table) == ""
    assert disk.planned_mount(Path("/"), table) == ""
    assert disk.planned_mount(Path("/data set"), tmp_path / "gone") == ""
