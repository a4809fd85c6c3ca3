"""The data check on data that is broken in every way it has a word for, and on data that is not."""

import errno
import hashlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Config, Data, Files, Location
from preflight.model import Finding, Severity
from preflight.testing import run_check

AT = Location("foo.yaml", 3, "preflight.data[0]")
AS_USER = 'set -- setpriv --bounding-set=-dac_override,-dac_read_search "$@"'


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("data")


@pytest.fixture
def judge(checks: ModuleType, tmp_path: Path) -> Callable[..., list[Finding]]:
    def judge(path: str = "data", **more: Any) -> list[Finding]:
        return list(checks.check_is_readable(entry=Data(path=path, at=AT, **more), root=tmp_path, config=Config()))

    return judge


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    assert findings[0].file == "foo.yaml"
    assert findings[0].line == 3
    return findings[0]


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"content")


def test_a_missing_path_names_the_nearest_folder_and_a_name_alike(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "data/train/a.png")
    finding = only(judge("data/trian"))
    assert finding.id == "data.missing"
    assert str(tmp_path / "data") in finding.cause
    assert "train" in finding.fix
    assert not judge("data/train")


def test_a_missing_path_without_a_name_alike(judge: Any) -> None:
    assert "mount" in only(judge("elsewhere/set.npy")).fix


@pytest.mark.parametrize("path", ["link.npy", "link.npy/below"])
def test_a_dangling_link(path: str, tmp_path: Path, judge: Any) -> None:
    (tmp_path / "link.npy").symlink_to("store/a.npy")
    finding = only(judge(path))
    assert finding.id == "data.dangling-link"
    assert "store/a.npy" in finding.cause
    write(tmp_path, "store/a.npy")
    assert not judge("link.npy")


def test_dangling_links_among_files_are_one_finding(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "data/a.png")
    for name in ("b.png", "c.png"):
        (tmp_path / "data" / name).symlink_to("gone.png")
    finding = only(judge())
    assert finding.id == "data.dangling-link"
    assert "b.png (and 1 more of 3 files)" in finding.message
    assert finding.evidence["count"] == 2


@pytest.mark.parametrize("inside", [True, False])
def test_a_loop_of_links(inside: bool, tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "data/a.png")
    (tmp_path / "data/loop").symlink_to("loop")
    finding = only(judge("data" if inside else "data/loop"))
    assert finding.id == "data.link-loop"
    os.system(finding.fix.splitlines()[-1])
    assert not judge("data")


def test_links_that_lead_somewhere_are_healthy(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "store/v3/cat/1.png", "store/v3/dog/2.png")
    (tmp_path / "data").symlink_to("store")
    (tmp_path / "store/current").symlink_to("v3")
    assert not judge("data/current", files=Files(glob="**/*.png", min=2, max=2))
    assert not judge("data/current/cat/1.png")


def test_a_link_back_up_does_not_turn_the_reader_around(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "data/sub/a.png")
    (tmp_path / "data/sub/up").symlink_to("..")
    assert not judge(files=Files(glob="**/*.png", max=1))


def test_a_file_where_a_folder_is_wanted(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "data")
    finding = only(judge(files=Files(glob="*.png")))
    assert (finding.id, finding.found, finding.wanted) == ("data.wrong-kind", "file", "a folder")
    assert not judge()


def test_a_folder_where_a_file_is_wanted(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "data/a.bin")
    finding = only(judge(sha256="0" * 64))
    assert (finding.id, finding.found) == ("data.wrong-kind", "folder")


def test_a_checksum_for_many_files(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "a.bin", "b.bin")
    assert only(judge("*.bin", sha256="0" * 64)).id == "data.wrong-kind"


def test_a_socket_is_no_data(tmp_path: Path, judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("data")
        assert only(judge()).id == "data.wrong-kind"


def test_an_empty_folder_says_where_it_lies(tmp_path: Path, judge: Any) -> None:
    (tmp_path / "mnt/imagenet").mkdir(parents=True)
    finding = only(judge("mnt/imagenet", files=Files(min=1)))
    assert finding.id == "data.empty-folder"
    assert "no file system is mounted there" in finding.cause
    write(tmp_path, "mnt/imagenet/a.npy")
    assert not judge("mnt/imagenet", files=Files(min=1))


def test_an_empty_folder_that_is_a_mount(tmp_path: Path, checks: ModuleType, in_world: Any) -> None:
    (tmp_path / "data").mkdir()
    entry = Data(path="data", at=AT)
    finding = only(
        in_world(f"mount -t tmpfs none {tmp_path}/data", checks.check_is_readable, entry, tmp_path, Config())
    )
    assert finding.id == "data.empty-folder"
    assert "no file system" not in finding.cause


@pytest.mark.parametrize("path", ["data", "data/train"])
def test_a_mount_that_fstab_promises(path: str, tmp_path: Path, checks: ModuleType, in_world: Any) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "fstab").write_text(f"# disks\nnone {tmp_path}/data tmpfs defaults 0 0\n")
    setup = f"mount --bind {tmp_path}/fstab /etc/fstab"
    finding = only(in_world(setup, checks.check_is_readable, Data(path=path, at=AT), tmp_path, Config()))
    assert f"nothing is mounted at {tmp_path}/data" in finding.cause
    assert f"mount {tmp_path}/data" in finding.fix


def test_no_file_matches_the_pattern(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "data/a.jpg")
    finding = only(judge(files=Files(glob="**/*.png")))
    assert finding.id == "data.no-match"
    assert "a.jpg" in finding.cause
    assert not judge(files=Files(glob="**/*.{png,jpg}"))
    assert not judge(files=Files(glob="**/*.png", min=0))


def test_a_pattern_as_path(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "data/train-0.parquet", "data/train-1.parquet", "data/[v1]/x.bin")
    assert not judge("data/train-*.parquet")
    assert not judge("data/{train,test}-*.parquet")
    assert not judge("data/[v1]/x.bin")
    assert not judge("data/**", files=Files(min=3, max=3))
    assert only(judge("data/test-*.parquet")).id == "data.no-match"


@pytest.mark.parametrize(("files", "wanted"), [(Files(min=4), "at least 4"), (Files(max=2), "at most 2")])
def test_the_number_of_files(files: Files, wanted: str, tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "data/a", "data/b/c", "data/b/d", "data/.hidden", "data/.git/e")
    finding = only(judge(files=files))
    assert (finding.id, finding.found, finding.wanted) == ("data.count", "3 files", wanted)
    assert not judge(files=Files(min=3, max=3))


def test_a_file_of_many_that_is_missing_is_a_warning(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, *(f"data/{number}" for number in range(200)))
    assert only(judge(files=Files(min=201))).severity == "warning"
    assert only(judge(files=Files(min=203))).severity == "error"


def test_files_of_another_user(tmp_path: Path, checks: ModuleType, in_world: Any) -> None:
    write(tmp_path, *[f"data/{number}.png" for number in range(20)])
    for number in (3, 7, 11):
        path = tmp_path / f"data/{number}.png"
        os.chown(path, 1001, 1001)
        path.chmod(0o600)
    finding = only(in_world(AS_USER, checks.check_is_readable, Data(path="data", at=AT), tmp_path, Config()))
    assert finding.id == "data.permission"
    assert "(and 2 more of 20 files)" in finding.message
    assert "1001" in finding.cause
    assert "-rw-------" in finding.cause
    os.system(finding.fix.splitlines()[-1].replace("sudo ", ""))
    assert not in_world(AS_USER, checks.check_is_readable, Data(path="data", at=AT), tmp_path, Config())


def test_a_folder_that_cannot_be_listed(tmp_path: Path, checks: ModuleType, in_world: Any) -> None:
    write(tmp_path, "data/a.png", "data/closed/b.png")
    (tmp_path / "data/closed").chmod(0)
    finding = only(in_world(AS_USER, checks.check_is_readable, Data(path="data", at=AT), tmp_path, Config()))
    assert finding.id == "data.permission"
    assert "closed" in finding.message


def test_a_folder_that_cannot_be_entered(tmp_path: Path, checks: ModuleType, in_world: Any) -> None:
    write(tmp_path, "closed/data/a.png")
    (tmp_path / "closed").chmod(0)
    finding = only(in_world(AS_USER, checks.check_is_readable, Data(path="closed/data", at=AT), tmp_path, Config()))
    assert finding.id == "data.unreachable"
    assert "Permission denied" in finding.cause


@pytest.mark.parametrize(
    ("call", "number", "name"),
    [("open", errno.ESTALE, "stale-handle"), ("read", errno.EIO, "read-error"), ("open", errno.EIO, "read-error")],
)
def test_a_file_system_that_fails(
    call: str, number: int, name: str, *, tmp_path: Path, checks: ModuleType, in_world: Any, failing: Any
) -> None:
    write(tmp_path, "data/part08.npy", "data/part09.npy")
    setup = failing(call, "part09", number)
    finding = only(in_world(setup, checks.check_is_readable, Data(path="data", at=AT), tmp_path, Config()))
    assert finding.id == f"data.{name}"
    assert "part09.npy" in finding.message
    assert errno.errorcode[number] in finding.message


def test_empty_files(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "data/a.png")
    (tmp_path / "data/b.png").touch()
    finding = only(judge())
    assert finding.id == "data.empty-file"
    assert finding.severity is Severity.ERROR
    write(tmp_path, "data/b.png")
    assert not judge()


def test_empty_files_that_may_be_meant_so(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "data/1.txt")
    for name in ("2.txt", "_SUCCESS"):
        (tmp_path / "data" / name).touch()
    assert only(judge()).severity is Severity.INFO


def test_a_single_empty_file(tmp_path: Path, judge: Any) -> None:
    (tmp_path / "labels.csv").touch()
    assert only(judge("labels.csv")).severity is Severity.ERROR


def test_a_git_lfs_pointer(tmp_path: Path, judge: Any) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4cac\nsize 437951328\n"
    write(tmp_path, "weights/model.safetensors")
    (tmp_path / "weights/model.safetensors").write_bytes(pointer)
    assert "from a clone" in only(judge("weights/model.safetensors")).fix
    write(tmp_path, ".git/config")
    finding = only(judge("weights/model.safetensors"))
    assert finding.id == "data.lfs-pointer"
    assert f"cd {tmp_path} && git lfs" in finding.fix
    assert f"({len(pointer)} bytes)" in finding.cause
    write(tmp_path, "weights/model.safetensors")
    assert not judge("weights/model.safetensors")


def test_a_web_page_saved_as_weights(tmp_path: Path, judge: Any) -> None:
    (tmp_path / "sam.pth").write_bytes(b"\n<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title>")
    (tmp_path / "page.html").write_bytes(b"<html>")
    assert only(judge("sam.pth")).id == "data.web-page"
    assert not judge("page.html")


def test_a_checksum(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "model.pt")
    right = hashlib.sha256(b"content").hexdigest()
    assert not judge("model.pt", sha256=right.upper())
    finding = only(judge("model.pt", sha256="0" * 64))
    assert (finding.id, finding.found) == ("data.sha256", right)


def test_home_is_expanded(tmp_path: Path, judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert only(judge("~/set.bin")).id == "data.missing"
    write(tmp_path, "home/set.bin")
    assert not judge("~/set.bin")


@pytest.mark.parametrize("rule", ["open:b.npy:HANG", "read:b.npy:HANG", "getattr:b.npy:HANG"])
def test_a_mount_that_hangs(
    rule: str, tmp_path: Path, checks: ModuleType, in_world: Any, misbehaving: Callable[..., str]
) -> None:
    write(tmp_path, "server/a.npy", "server/b.npy")
    (tmp_path / "data").mkdir()
    setup = misbehaving(tmp_path / "server", tmp_path / "data", rule)
    config = Config(deadline=1)
    began = time.monotonic()
    finding = only(in_world(setup, checks.check_is_readable, Data(path="data", at=AT), tmp_path, config))
    assert time.monotonic() - began < 15
    assert finding.id == "data.no-answer"
    assert "b.npy hangs: it does not answer" in finding.message
    assert f"{tmp_path}/data (fuse" in finding.cause
    healthy = misbehaving(tmp_path / "server", tmp_path / "data")
    assert not in_world(healthy, checks.check_is_readable, Data(path="data", at=AT), tmp_path, config)


@pytest.mark.parametrize(("error", "name"), [("ESTALE", "stale-handle"), ("EIO", "read-error")])
def test_a_network_mount_that_fails_on_one_file(
    error: str, name: str, *, tmp_path: Path, checks: ModuleType, in_world: Any, misbehaving: Callable[..., str]
) -> None:
    write(tmp_path, "server/part08.npy", "server/part09.npy")
    (tmp_path / "data").mkdir()
    setup = misbehaving(tmp_path / "server", tmp_path / "data", f"open:part09.npy:{error}")
    finding = only(in_world(setup, checks.check_is_readable, Data(path="data", at=AT), tmp_path, Config()))
    assert finding.id == f"data.{name}"
    assert "part09.npy" in finding.message
    assert "part08" not in finding.message


HOLDING = """
import fcntl, sqlite3, sys, time
file = sys.argv[1]
if file.endswith(".db"):
    held = sqlite3.connect(file)
    held.execute("BEGIN EXCLUSIVE")
else:
    held = open(file, "ab")
    fcntl.flock(held, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("name", ["docs.db", "train.h5"])
def test_a_file_that_another_process_has_locked(
    name: str, tmp_path: Path, judge: Any, checks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "SECONDS_FOR_LOCKS", 0.1)
    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    write(tmp_path, "train.h5")
    with closing(sqlite3.connect(tmp_path / "docs.db")) as database:
        database.execute("CREATE TABLE docs (id)")
    holder = subprocess.Popen([sys.executable, "-c", HOLDING, tmp_path / name], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        finding = only(judge(name))
        holder.kill()
    assert finding.id == "data.locked"
    assert f"process {holder.pid} (" in finding.cause
    assert not judge(name)


@pytest.mark.parametrize(
    ("number", "severity"),
    [(errno.ENOLCK, Severity.ERROR), (errno.ENOSYS, Severity.WARNING), (errno.EIO, Severity.ERROR)],
)
def test_a_file_system_without_locks(
    number: int, severity: Severity, *, tmp_path: Path, checks: ModuleType, in_world: Any, failing: Any
) -> None:
    write(tmp_path, "train.h5")
    setup, arguments = failing("flock", "train.h5", number), (Data(path="train.h5", at=AT), tmp_path, Config())
    finding = only(in_world(setup, checks.check_is_readable, *arguments))
    assert (finding.id, finding.severity) == ("data.no-locks", severity)
    mend = finding.fix.splitlines()[-1]
    assert not in_world(f"{setup}; {mend}", checks.check_is_readable, *arguments)


def test_nothing_is_changed(tmp_path: Path, judge: Any) -> None:
    write(tmp_path, "data/a.png", "data/b.bin")
    before = [(path, path.stat().st_mtime_ns) for path in sorted(tmp_path.rglob("*"))]
    assert not judge()
    assert [(path, path.stat().st_mtime_ns) for path in sorted(tmp_path.rglob("*"))] == before


def test_as_a_run_sees_it(tmp_path: Path) -> None:
    write(tmp_path, "data/a.png")
    entries = [{"path": "data"}, {"path": "gone"}]
    results = run_check("data.is-readable", {"preflight": {"data": entries}}, root=tmp_path)
    assert [result.status.name for result in results] == ["PASSED", "FAILED"]
    assert results[1].findings[0].line == 4
