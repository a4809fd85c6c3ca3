"""How a file is put in the place of another, also where there is no place."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from preflight import writing
from preflight.errors import UserError

OLD, NEW = b"old\n" * 2000, b"new\n" * 3000


def saved(*paths: str) -> str:
    """Return what a user reads where the files are saved, empty where nothing is wrong."""
    try:
        writing.save({Path(path): NEW for path in paths})
    except UserError as mistake:
        return str(mistake)
    return ""


def test_every_file_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "sub/other"
    other.parent.mkdir()
    one.write_bytes(OLD)
    writing.replace({one: NEW, other: b""})
    assert (one.read_bytes(), other.read_bytes()) == (NEW, b"")
    assert sorted(tmp_path.rglob("*")) == [one, other.parent, other]


def test_the_mode_and_the_owner_stay(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(OLD)
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 1234, 5678)
    before = file.stat()
    writing.replace({file: NEW})
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    writing.replace({file: NEW}, mode=0o755)
    assert file.stat().st_mode & 0o777 == 0o755


def test_a_new_file_gets_the_mode_that_the_user_wants(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        writing.replace({tmp_path / "file": NEW})
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    writing.replace({tmp_path / "link": NEW})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == NEW


def test_what_a_killed_process_has_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    old, fresh, foreign = (tmp_path / f".preflight-{name}.part" for name in ("0" * 16, "1" * 16, "notes"))
    for part in (old, fresh, foreign):
        part.touch()
    for part in (old, foreign):
        os.utime(part, (time.time() - 7200,) * 2)
    writing.replace({tmp_path / "file": NEW})
    assert sorted(tmp_path.iterdir()) == sorted([fresh, foreign, tmp_path / "file"])


def test_a_reader_sees_the_old_or_the_new(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(OLD)
    writers = [
        threading.Thread(target=lambda data=data: [writing.replace({file: data}, durable=False) for _ in range(200)])
        for data in (OLD, NEW)
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert file.read_bytes() in (OLD, NEW)
    assert sorted(tmp_path.iterdir()) == [file]


def test_no_folder(tmp_path: Path) -> None:
    assert (
        saved(str(tmp_path / "none/file"))
        == f"{tmp_path}/none/file: the file cannot be written: No such file or directory"
    )


def test_a_full_disk_leaves_all_old(tmp_path: Path, in_world: Callable[..., Any]) -> None:
    disk = f"mount -t tmpfs -o size=64k none {tmp_path}; cd {tmp_path}"
    world = f"{disk}; echo old >first; echo old >second; head -c44k /dev/zero >fill"
    assert in_world(world, told_and_left, "first", "second") == (
        "second: the file cannot be written: No space left on device\n  Free space on its disk",
        {"first": b"old\n", "second": b"old\n", "fill": bytes(44 << 10)},
    )


def told_and_left(*paths: str) -> tuple[str, dict[str, bytes]]:
    """Return what a user reads, and what the folder then holds."""
    return saved(*paths), {each.name: each.read_bytes() for each in Path.cwd().iterdir()}


def test_a_read_only_file_system(tmp_path: Path, in_world: Callable[..., Any]) -> None:
    world = f"cd {tmp_path}; echo old >file; mount --bind -o ro . .; cd {tmp_path}"
    wanted = "file: the file cannot be written: Read-only file system\n  Mount its file system for writing"
    assert in_world(world, told_and_left, "file") == (wanted, {"file": b"old\n"})


def test_a_folder_of_somebody_else(tmp_path: Path, in_world: Callable[..., Any]) -> None:
    world = f'cd {tmp_path}; echo old >file; chmod 555 .; set -- setpriv --bounding-set=-dac_override "$@"'
    wanted = "file: the file cannot be written: Permission denied\n  Get the right to write to its folder"
    assert in_world(world, told_and_left, "file") == (wanted, {"file": b"old\n"})
