"""The manifest check on lists that the usual tools have written, over files that are lost, damaged or new."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Config, Data, Location
from preflight.model import Finding, Severity, Status
from preflight.testing import run_check

AT = Location("foo.yaml", 5, "preflight.data[0]")


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("manifest")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checks: ModuleType) -> Path:
    """A cache of its own, that trusts the times of files which have just been written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checks.verification, "SETTLED", 0)
    return tmp_path / "cache"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for name in ("a.bin", "train/b.bin", "train/odd name\\ and\nlines.bin"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def write(tree: Path, *arguments: str) -> Path:
    command = [sys.executable, "-m", "preflight", "data", "manifest", str(tree), *arguments]
    subprocess.run(command, check=True, capture_output=True)
    return tree / "MANIFEST"


def judge(checks: ModuleType, manifest: Path | str, root: Path, **more: Any) -> list[Finding]:
    return list(checks.check_holds(Data(manifest=str(manifest), at=AT, **more), root, Config()))


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    assert (findings[0].file, findings[0].line) == ("foo.yaml", 5)
    return findings[0]


def test_our_own_list(tree: Path, tmp_path: Path, checks: ModuleType) -> None:
    write(tree)
    assert not judge(checks, "data/MANIFEST", tmp_path)
    (tree / "train" / "b.bin").write_text("other")
    finding = only(judge(checks, "data/MANIFEST", tmp_path))
    assert (finding.id, finding.severity) == ("manifest.changed", Severity.ERROR)
    assert "train/b.bin" in finding.message
    (tree / "train" / "b.bin").write_text("train/b.bin")
    assert not judge(checks, "data/MANIFEST", tmp_path)


def test_a_file_that_is_lost(tree: Path, tmp_path: Path, checks: ModuleType) -> None:
    write(tree)
    assert not judge(checks, "data/MANIFEST", tmp_path)
    (tree / "a.bin").unlink()
    finding = only(judge(checks, "data/MANIFEST", tmp_path))
    assert finding.id == "manifest.missing-file"
    assert finding.message == "a.bin is not there"


def test_a_file_that_cannot_be_read(
    tree: Path, tmp_path: Path, checks: ModuleType, failing: Any, in_world: Any
) -> None:
    write(tree)
    entry = Data(manifest="data/MANIFEST", at=AT)
    finding = only(in_world(failing("open", "b.bin", 5), checks.check_holds, entry, tmp_path, Config()))
    assert finding.id == "manifest.unreadable"
    assert "Input/output error" in finding.cause
    assert not judge(checks, "data/MANIFEST", tmp_path)


def test_a_file_that_is_in_no_list(tree: Path, tmp_path: Path, checks: ModuleType) -> None:
    write(tree)
    (tree / "train" / "new.bin").write_text("")
    for _ in range(2):
        finding = only(judge(checks, "data/MANIFEST", tmp_path))
        assert (finding.id, finding.severity) == ("manifest.extra", Severity.WARNING)
        assert "train/new.bin" in finding.message
    command = finding.fix.splitlines()[-1].replace("preflight", f"{sys.executable} -m preflight", 1)
    subprocess.run(["/bin/sh", "-c", command], check=True, capture_output=True)
    assert not judge(checks, "data/MANIFEST", tmp_path)
    (tree / "later.bin").write_text("")
    assert only(judge(checks, "data/MANIFEST", tmp_path)).id == "manifest.extra"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("sha256sum", "SHA256SUMS"),
        ("sha256sum --tag", "sums"),
        ("md5sum --binary", "md5.txt"),
        ("sha1sum", "sums.sha1"),
        ("b2sum", "sums.b2"),
        ("b3sum", "sums.b3"),
        ("xxhsum -H2", "sums.xxh"),
        ("xxhsum -H1", "sums.txt"),
    ],
)
def test_lists_of_others(command: str, name: str, tree: Path, tmp_path: Path, checks: ModuleType) -> None:
    tool, *arguments = command.split()
    if not shutil.which(tool):
        pytest.skip(f"needs {tool}")
    names = sorted(
        str(path.relative_to(tree)) for path in tree.rglob("*.bin") if "\n" not in path.name or "sha" in tool
    )
    made = subprocess.run([tool, *arguments, *names], cwd=tree, check=True, capture_output=True)
    (tree / name).write_bytes(made.stdout)
    assert not judge(checks, f"data/{name}", tmp_path)
    (tree / "a.bin").write_text("other")
    assert "a.bin differs" in only(judge(checks, f"data/{name}", tmp_path)).message


@pytest.mark.parametrize("tool", ["sha256sum", "xxhsum"])
def test_others_read_our_lists(tool: str, tree: Path) -> None:
    if not shutil.which(tool):
        pytest.skip(f"needs {tool}")
    (tree / "train" / "odd name\\ and\nlines.bin").unlink()
    write(tree, "--algorithm", "sha256" if tool == "sha256sum" else "xxh128")
    subprocess.run([tool, "--check", "MANIFEST"], cwd=tree, check=True, capture_output=True)
    (tree / "a.bin").write_text("other")
    assert subprocess.run([tool, "--check", "MANIFEST"], cwd=tree, capture_output=True).returncode == 1


def test_a_bag(tmp_path: Path, checks: ModuleType) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a%b\n.txt").write_text("a")
    (tmp_path / "bagit.txt").write_text("BagIt-Version: 1.0\n")
    digest = "0cc175b9c0f1b6a831c399e269772661"
    (tmp_path / "manifest-md5.txt").write_text(f"{digest}  data/a%25b%0A.txt\n")
    assert not judge(checks, "manifest-md5.txt", tmp_path)
    (tmp_path / "data" / "b.txt").write_text("b")
    assert only(judge(checks, "manifest-md5.txt", tmp_path)).id == "manifest.extra"


def test_a_list_relative_to_where_the_job_runs(tmp_path: Path, checks: ModuleType) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "lists" / "sums").write_text("0cc175b9c0f1b6a831c399e269772661 *a.txt\r\n")
    assert not judge(checks, "lists/sums", tmp_path)


def test_what_was_right_is_not_read_again(
    tree: Path, tmp_path: Path, checks: ModuleType, failing: Any, in_world: Any
) -> None:
    write(tree)
    time.sleep(1.1)
    assert not judge(checks, "data/MANIFEST", tmp_path)
    entry = Data(manifest="data/MANIFEST", at=AT)
    assert not in_world(failing("open", ".bin", 5), checks.check_holds, entry, tmp_path, Config())
    shutil.rmtree(tmp_path / "cache")
    assert in_world(failing("open", ".bin", 5), checks.check_holds, entry, tmp_path, Config())


@pytest.mark.parametrize("content", [b"", b"\0\xff", b'{"version": 1}\nx'])
def test_a_memory_that_is_damaged_is_none(
    content: bytes, tree: Path, tmp_path: Path, cache: Path, checks: ModuleType
) -> None:
    write(tree)
    assert not judge(checks, "data/MANIFEST", tmp_path)
    (memory,) = (each for each in cache.rglob("*") if each.is_file())
    memory.write_bytes(content)
    (tree / "a.bin").write_text("other")
    assert only(judge(checks, "data/MANIFEST", tmp_path)).id == "manifest.changed"


def test_a_cache_that_cannot_be_written(tree: Path, tmp_path: Path, cache: Path, checks: ModuleType) -> None:
    cache.write_text("a file")
    write(tree)
    assert not judge(checks, "data/MANIFEST", tmp_path)


def test_a_file_in_the_place_of_the_list(tmp_path: Path, checks: ModuleType) -> None:
    assert only(judge(checks, "none", tmp_path)).id == "manifest.missing"
    (tmp_path / "sums").write_text("what is this?\n")
    finding = only(judge(checks, "sums", tmp_path))
    assert finding.id == "manifest.not-one"
    assert "line 1" in finding.cause
    (tmp_path / "sums").write_text("")
    assert only(judge(checks, "sums", tmp_path)).id == "manifest.not-one"
    (tmp_path / "sums").write_text("NEVERHEARD (a) = 0cc175b9c0f1b6a831c399e269772661\n")
    assert "NEVERHEARD".lower() in only(judge(checks, "sums", tmp_path)).cause


def test_a_pipe_in_the_place_of_a_file(tree: Path, tmp_path: Path, checks: ModuleType) -> None:
    write(tree)
    (tree / "a.bin").unlink()
    os.mkfifo(tree / "a.bin")
    assert only(judge(checks, "data/MANIFEST", tmp_path)).id == "manifest.unreadable"


def test_a_package_that_is_not_installed(tmp_path: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)
    (tmp_path / "a").write_text("a")
    (tmp_path / "sums.b3").write_text(f"{'0' * 64}  a\n")
    with pytest.raises(pytest.skip.Exception, match="pip install blake3"):
        judge(checks, "sums.b3", tmp_path)


def test_what_does_not_fit_into_the_deadline_is_said(tree: Path, tmp_path: Path, checks: ModuleType) -> None:
    write(tree)
    with pytest.raises(pytest.skip.Exception, match=r"3 files of 3 could not be read in time.*preflight data verify"):
        judge(checks, "data/MANIFEST", tmp_path, deadline=1e-9)


def test_as_a_run_sees_it(tree: Path, tmp_path: Path) -> None:
    write(tree)
    config = {"preflight": {"data": [{"manifest": "data/MANIFEST"}, "data"]}}
    (result,) = run_check("manifest.holds", config, root=tmp_path)
    assert (result.status, result.check) == (Status.PASSED, "manifest.holds[data/MANIFEST]")
