"""The path check on disks that refuse in every way it has a word for, and on ones that do not."""

import errno
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Config, Data, Import, Location, PathEntry
from preflight.model import Finding, Severity
from preflight.system import disk, trials
from preflight.testing import run_check

AT = Location("foo.yaml", 5, "preflight.paths[0]")
AS_USER = 'set -- setpriv --bounding-set=-dac_override,-dac_read_search "$@"'
WRITE = frozenset({"write"})


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("paths")


@pytest.fixture
def judge(checks: ModuleType, tmp_path: Path) -> Callable[..., list[Finding]]:
    """Return a function that runs the check here, or in the world that `world` sets up."""

    def judge(path: str = "out", access: str = "write", config: Any = None, **more: Any) -> list[Finding]:
        entry = PathEntry(path=path, access=frozenset(access.split("+")), at=AT, **more)
        return list(checks.check_is_usable(entry=entry, root=tmp_path, config=Config(**config or {})))

    return judge


@pytest.fixture
def judge_in(checks: ModuleType, tmp_path: Path, in_world: Callable[..., Any]) -> Callable[..., list[Finding]]:
    def judge(setup: str, path: str = "out", access: str = "write", config: Any = None, **more: Any) -> list[Finding]:
        entry = PathEntry(path=path, access=frozenset(access.split("+")), at=AT, **more)
        arguments = (entry, tmp_path, Config(**config or {}))
        return list(in_world(setup.replace("OUT", f"{tmp_path}/out"), checks.check_is_usable, *arguments))

    return judge


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    assert (findings[0].file, findings[0].line) == ("foo.yaml", 5)
    return findings[0]


def last_line(finding: Finding) -> str:
    return finding.fix.splitlines()[-1].replace("sudo ", "").strip()


def test_a_healthy_folder_is_silent_and_left_as_it_was(out: Path, judge: Any) -> None:
    assert not judge(access="read+write+execute", free=1, inodes=1, empty=True)
    assert not os.listdir(out)


def test_a_folder_that_is_still_to_be_made(tmp_path: Path, judge: Any) -> None:
    assert not judge("runs/2024/a", empty=True, access="read+write+execute")
    assert not os.listdir(tmp_path)


def test_home_is_expanded(out: Path, judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(out / "home"))
    assert only(judge("~/cache", access="read")).id == "paths.missing"
    (out / "home/cache").mkdir(parents=True)
    assert not judge("~/cache", access="read")


def test_a_missing_path_that_is_to_be_read(out: Path, judge: Any) -> None:
    finding = only(judge("outs", access="read"))
    assert finding.id == "paths.missing"
    assert "out is there" in finding.fix


@pytest.mark.parametrize("path", ["link", "link/below"])
def test_a_dangling_link(path: str, tmp_path: Path, judge: Any) -> None:
    (tmp_path / "link").symlink_to("/nowhere/out")
    finding = only(judge(path))
    assert finding.id == "paths.dangling-link"
    assert "/nowhere/out" in finding.cause
    subprocess.run(last_line(finding), shell=True, check=True)
    assert not judge(path)


def test_a_folder_that_cannot_be_entered(out: Path, judge_in: Any) -> None:
    (out / "inner").mkdir()
    out.chmod(0)
    finding = only(judge_in(AS_USER, "out/inner"))
    assert finding.id == "paths.unreachable"
    assert "Permission denied" in finding.cause


@pytest.mark.parametrize("path", ["out", "out/run1"])
def test_a_file_where_a_folder_is_wanted(path: str, tmp_path: Path, judge: Any) -> None:
    (tmp_path / "out").write_text("")
    finding = only(judge(path))
    assert finding.id == "paths.not-a-folder"
    subprocess.run(last_line(finding), shell=True, check=True)
    assert not judge(path)


def test_a_file_that_the_job_writes_to(tmp_path: Path, judge: Any, judge_in: Any) -> None:
    (tmp_path / "log.csv").write_text("a")
    assert not judge("log.csv")
    assert (tmp_path / "log.csv").read_text() == "a"
    os.chown(tmp_path / "log.csv", 1001, 1001)
    finding = only(judge_in(AS_USER, "log.csv"))
    assert finding.id == "paths.permission"
    assert "1001" in finding.cause


def test_a_read_only_mount(out: Path, judge: Any, judge_in: Any) -> None:
    finding = only(judge_in("mount --bind OUT OUT; mount -o remount,ro,bind OUT"))
    assert finding.id == "paths.read-only"
    assert f"{out} (" in finding.cause
    assert not judge()


def test_a_folder_below_a_read_only_mount(out: Path, judge_in: Any) -> None:
    finding = only(judge_in("mount --bind OUT OUT; mount -o remount,ro,bind OUT", "out/run1/logs"))
    assert finding.id == "paths.read-only"
    assert finding.message.startswith(f"out/run1/logs cannot be made: {out} is on a read-only")


def test_a_folder_of_another_user(out: Path, judge_in: Any) -> None:
    os.chown(out, 1001, 1001)
    out.chmod(0o755)
    finding = only(judge_in(AS_USER, "out/torch"))
    assert finding.id == "paths.permission"
    assert "1001" in finding.cause
    assert "drwxr-xr-x" in finding.cause
    subprocess.run(last_line(finding), shell=True, check=True)
    assert not judge_in(AS_USER, "out/torch")


def test_a_folder_of_ones_own_without_the_right_to_write(out: Path, judge_in: Any) -> None:
    out.chmod(0o555)
    finding = only(judge_in(AS_USER))
    assert finding.id == "paths.permission"
    subprocess.run(last_line(finding), shell=True, check=True)
    assert not judge_in(AS_USER)


def test_an_immutable_folder(tmp_path: Path, judge_in: Any) -> None:
    setup = "mkdir -p OUT; mount -t tmpfs none OUT; chattr +i OUT"
    finding = only(judge_in(setup))
    assert finding.id == "paths.immutable"
    assert not judge_in(f"{setup}; {last_line(finding)}")


def test_a_full_disk(out: Path, judge_in: Any) -> None:
    setup = "mount -t tmpfs -o size=4m none OUT; head -c 4M /dev/zero > OUT/big || true"
    finding = only(judge_in(setup))
    assert finding.id == "paths.full"
    assert not judge_in(f"{setup}; rm OUT/big")


def test_no_inodes_left(out: Path, judge_in: Any) -> None:
    finding = only(judge_in("mount -t tmpfs -o nr_inodes=1 none OUT"))
    assert finding.id == "paths.full"
    assert "no inodes" in finding.cause


@pytest.mark.parametrize(("number", "name"), [(errno.EDQUOT, "quota"), (errno.EIO, "write-error")])
def test_a_disk_that_refuses_the_bytes(number: int, name: str, out: Path, judge_in: Any, failing: Any) -> None:
    finding = only(judge_in(failing("write", trials.PROBE, number), free=10_000_000))
    assert finding.id == f"paths.{name}"
    assert not os.listdir(out)


def test_a_quota_that_only_a_reservation_meets(out: Path, judge_in: Any, failing: Any) -> None:
    if disk.mount_of(out).type not in trials._RESERVING:
        pytest.skip("the tests' folder lies on a file system that sets no room aside")
    setup = failing("fallocate", trials.PROBE, errno.EDQUOT)
    finding = only(judge_in(setup, free=500_000_000))
    assert (finding.id, finding.evidence["step"]) == ("paths.quota", "reserve")
    assert not judge_in(setup)
    assert not os.listdir(out)


@pytest.fixture
def judge_on(tmp_path: Path, out: Path, judge_in: Any, misbehaving: Callable[..., str]) -> Callable[..., list[Finding]]:
    """Return a function that runs the check on a file system with the rules of `misbehaving`."""
    (tmp_path / "server").mkdir()

    def judge(*rules: str, **more: Any) -> list[Finding]:
        findings = judge_in(misbehaving(tmp_path / "server", out, *rules), **more)
        assert not os.listdir(tmp_path / "server")
        return findings

    return judge


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "name", "word"),
    [
        ("write:20000000:EDQUOT", "quota", "quota"),
        ("write:*:EIO", "write-error", "Input/output error"),
        ("create:*:ESTALE", "stale-handle", "ESTALE"),
        ("truncate:*:EACCES", "write-once", "cut to a length"),
        ("rename:*:EPERM", "write-once", "renamed"),
        ("fsync:*:EIO", "write-error", "Input/output error"),
    ],
)
def test_a_file_system_that_refuses_a_step(rule: str, name: str, word: str, judge_on: Any) -> None:
    finding = only(judge_on(rule, free=66_000_000))
    assert (finding.id, finding.severity) == (f"paths.{name}", Severity.ERROR)
    assert word in finding.message
    assert not judge_on(free=66_000_000)


def test_a_quota_that_a_small_file_does_not_meet(judge_on: Any) -> None:
    finding = only(judge_on("write:20000000:EDQUOT", free=66_000_000))
    assert 19_000_000 < finding.evidence["written"] <= 20_000_000
    assert not judge_on("write:20000000:EDQUOT")


def test_a_file_system_that_has_no_such_operation(judge_on: Any) -> None:
    finding = only(judge_on("rename:*:ENOSYS"))
    assert (finding.id, finding.severity) == ("paths.write-once", Severity.WARNING)


@pytest.mark.parametrize("rule", ["create:*:HANG", "write:*:HANG"])
def test_a_file_system_that_hangs(rule: str, out: Path, judge_in: Any, tmp_path: Path, misbehaving: Any) -> None:
    (tmp_path / "server").mkdir()
    finding = only(judge_in(misbehaving(tmp_path / "server", out, rule), config={"deadline": 1}))
    assert finding.id == "paths.no-answer"
    assert str(out) in finding.message
    assert f"{out} (fuse from server)" in finding.cause
    assert not judge_in(misbehaving(tmp_path / "server", out), config={"deadline": 1})


def test_locks(judge_on: Any) -> None:
    config = {"imports": (Import(name="h5py"),)}
    finding = only(judge_on("lock:*:ENOLCK", config=config))
    assert (finding.id, finding.severity) == ("paths.no-locks", Severity.WARNING)
    assert "HDF5_USE_FILE_LOCKING=FALSE" in finding.fix
    assert not judge_on(config=config)
    assert not judge_on("lock:*:ENOLCK")


@pytest.mark.parametrize(("seconds", "words"), [(3600, "3,600 s ahead of"), (-60, "60 s behind")])
def test_a_server_whose_clock_is_apart(seconds: int, words: str, judge_on: Any) -> None:
    finding = only(judge_on(f"clock:{seconds}"))
    assert (finding.id, finding.severity) == ("paths.clock", Severity.WARNING)
    assert words in finding.message
    assert not judge_on("clock:2")


@pytest.mark.parametrize("path", ["x" * 300, "out/" + "x" * 300 + "/run1", "out/" + "deep/" * 800 + "run"])
def test_names_that_are_too_long(path: str, out: Path, judge: Any) -> None:
    finding = only(judge(path))
    assert finding.id == "paths.name-too-long"
    assert not judge(path.replace("x" * 300, "x" * 250).replace("deep/" * 800, "deep/" * 700))


def test_a_cache_can_be_moved(tmp_path: Path, judge_in: Any) -> None:
    (tmp_path / ".cache/torch").mkdir(parents=True)
    (tmp_path / ".cache/torch").chmod(0o555)
    setup = f"export HOME={tmp_path}; {AS_USER}"
    finding = only(judge_in(setup, "~/.cache/torch"))
    assert "export TORCH_HOME=" in finding.fix
    subprocess.run(finding.fix.splitlines()[1], shell=True, check=True)
    assert not judge_in(setup, "~/.cache/torch")


def test_a_cache_over_its_quota(tmp_path: Path, judge_in: Any, misbehaving: Any) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / ".triton").mkdir()
    home = f"export HOME={tmp_path}"
    full = misbehaving(tmp_path / "server", tmp_path / ".triton", "write:*:EDQUOT")
    finding = only(judge_in(f"{home}\n{full}", "~/.triton"))
    assert finding.id == "paths.quota"
    assert "export TRITON_CACHE_DIR=" in finding.fix
    assert not judge_in(home, "~/.triton")


@pytest.mark.parametrize(("rule", "number"), [("fold:1", 1), ("clock:0", 0)])
def test_names_that_differ_in_case_only(
    rule: str, number: int, *, tmp_path: Path, out: Path, checks: ModuleType, in_world: Any, misbehaving: Any
) -> None:
    (tmp_path / "server").mkdir()
    config = Config(paths=(PathEntry(path="out/Model"), PathEntry(path="out/model", at=AT)), data=(Data(path="out"),))
    findings = in_world(misbehaving(tmp_path / "server", out, rule), checks.check_names_stay_apart, config, tmp_path)
    assert [finding.id for finding in findings] == ["paths.same-name"] * number
    assert [finding.line for finding in findings] == [5] * number


def test_too_little_space(out: Path, judge_in: Any) -> None:
    setup = "mount -t tmpfs -o size=16m none OUT"
    finding = only(judge_in(setup, free=66_000_000))
    assert (finding.id, finding.found, finding.wanted) == ("paths.space", "16.8 MB", "66 MB")
    assert not judge_in(setup, free=12_000_000)


def test_too_little_space_and_full_is_said_once(out: Path, judge_in: Any) -> None:
    setup = "mount -t tmpfs -o size=1m none OUT; head -c 1M /dev/zero > OUT/big || true"
    assert only(judge_in(setup, free=66_000_000)).id == "paths.space"


def test_too_few_inodes(out: Path, judge_in: Any) -> None:
    setup = "mount -t tmpfs -o nr_inodes=50 none OUT"
    finding = only(judge_in(setup, inodes=100_000))
    assert finding.id == "paths.inodes"
    assert finding.wanted == "100,000 inodes"
    assert not judge_in(setup, inodes=20)


def test_an_earlier_run(out: Path, judge: Any) -> None:
    (out / "run1/checkpoint-500").mkdir(parents=True)
    finding = only(judge("out/run1", empty=True))
    assert finding.id == "paths.not-empty"
    assert "checkpoint-500" in finding.cause
    assert not judge("out/run1")
    subprocess.run(last_line(finding), shell=True, check=True)
    assert not judge("out/run1", empty=True)


def test_what_is_no_run(out: Path, judge: Any) -> None:
    (out / ".gitkeep").touch()
    (out / f"{trials.PROBE}1-x").touch()
    assert not judge(empty=True)
    (out / ".hydra").mkdir()
    assert only(judge(empty=True)).id == "paths.not-empty"


def test_a_folder_that_cannot_be_listed(out: Path, judge_in: Any) -> None:
    os.chown(out, 1001, 1001)
    out.chmod(0o711)
    finding = only(judge_in(AS_USER, access="read", empty=True))
    assert finding.id == "paths.unreadable"
    assert "1001" in finding.cause
    subprocess.run(last_line(finding), shell=True, check=True)
    assert not judge_in(AS_USER, access="read", empty=True)


@pytest.mark.slow
@pytest.mark.parametrize("access", ["execute", "write+execute"])
def test_a_mount_that_runs_nothing(access: str, out: Path, judge_in: Any) -> None:
    setup = "mount -t tmpfs -o noexec none OUT"
    finding = only(judge_in(setup, access=access))
    assert finding.id == "paths.not-executable"
    assert "noexec" in finding.cause
    assert not judge_in(setup, access="write")
    assert not judge_in(f"{setup}; {last_line(finding)}", access=access)


def test_a_program_without_the_right_to_run(tmp_path: Path, judge: Any) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    finding = only(judge("tool", access="execute"))
    assert finding.id == "paths.not-executable"
    subprocess.run(last_line(finding), shell=True, check=True)
    assert not judge("tool", access="execute")


def test_a_read_only_folder_may_hold_programs(out: Path, judge_in: Any) -> None:
    assert not judge_in("mount --bind OUT OUT; mount -o remount,ro,bind OUT", access="read+execute")


def test_what_a_killed_run_left_goes_after_an_hour(out: Path, judge: Any) -> None:
    old, new = out / f"{trials.PROBE}1-old", out / f"{trials.PROBE}1-new"
    old.touch()
    new.touch()
    os.utime(old, (time.time() - 4000, time.time() - 4000))
    assert not judge()
    assert os.listdir(out) == [new.name]


def test_as_a_run_sees_it(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    entries = [{"path": "out", "access": "write", "free": "1kB"}, {"path": "log", "access": "write"}]
    results = run_check("paths.is-usable", {"preflight": {"paths": entries}}, root=tmp_path)
    assert [result.status.name for result in results] == ["PASSED", "FAILED"]
