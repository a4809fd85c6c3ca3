"""Mounts and room, on disks of our own."""

from pathlib import Path
from typing import Any

from preflight.system import disk


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


def test_planned_mounts(tmp_path: Path) -> None:
    table = tmp_path / "fstab"
    table.write_text(
        "# none /data/a x\n\nserver:/x /data\\040set nfs ro 0 0\nnone / ext4\nUUID=1 none swap sw\nshort\n"
    )
    assert disk.planned_mount(Path("/data set/train"), table) == "/data set"
    assert disk.planned_mount(Path("/data/a"), table) == ""
    assert disk.planned_mount(Path("/"), table) == ""
    assert disk.planned_mount(Path("/data set"), tmp_path / "gone") == ""


def test_what_hangs(tmp_path: Path, in_world: Any, misbehaving: Any) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "data").mkdir()
    setup = misbehaving(tmp_path / "server", tmp_path / "data", "type:sshfs")
    assert in_world(setup, disk.hanging_at, f"{tmp_path}/data/a.npy") == f"{tmp_path}/data (fuse.sshfs from server)"
    assert disk.hanging_at(f"{tmp_path}/link") == "the file system that it leads to"
