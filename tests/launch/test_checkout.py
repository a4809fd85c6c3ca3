"""The folder that a run executes in: whole or not there, of the commit and of nothing else."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from preflight.errors import UserError
from preflight.launch import checkout
from preflight.launch.checkout import check_out, remove
from preflight.launch.snapshot import take

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def commit_of(top: Path, git) -> str:
    return git(top, "rev-parse", "HEAD")


def test_what_is_edited_later_is_not_in_it(top, git, tmp_path: Path) -> None:
    check_out(top, commit_of(top, git), tmp_path / "code")
    (top / "train.py").write_text("edited\n")
    git(top, "commit", "--quiet", "--all", "--message=later")
    assert (tmp_path / "code" / "train.py").read_text() == "print('one')\n"
    assert git(tmp_path / "code", "status", "--porcelain") == ""
    assert git(tmp_path / "code", "branch", "--show-current") == ""


def test_hostile_folders(top, git, tmp_path: Path) -> None:
    for name in ("a b", "$(x)", "-f", "ü\n", "'"):
        check_out(top, commit_of(top, git), tmp_path / name / "code")
        assert (tmp_path / name / "code" / "train.py").exists()


def test_what_is_there_is_not_touched(top, git, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    with pytest.raises(UserError, match="something is there"):
        check_out(top, commit_of(top, git), tmp_path / "code")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UserError, match="something is there"):
        check_out(top, commit_of(top, git), tmp_path / "link")


def test_a_commit_that_is_not_there_leaves_nothing(top, git, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="000000000000 cannot be checked out: invalid reference"):
        check_out(top, "0" * 40, tmp_path / "code")
    assert not (tmp_path / "code").exists()
    assert len(git(top, "worktree", "list").splitlines()) == 1


def test_it_can_be_removed(top, git, tmp_path: Path) -> None:
    check_out(top, commit_of(top, git), tmp_path / "code")
    (tmp_path / "code" / "output").write_text("x")
    remove(top, tmp_path / "code")
    assert not (tmp_path / "code").exists()
    assert len(git(top, "worktree", "list").splitlines()) == 1
    remove(top, tmp_path / "code")


def test_a_full_disk_leaves_nothing(top, git, tmp_path: Path, in_world) -> None:
    (top / "big.py").write_bytes(os.urandom(200_000))
    commit = take(top, "one").commit
    full = tmp_path / "full"
    with pytest.raises(AssertionError, match="cannot be checked out"):
        in_world(f"mkdir {full}; mount -t tmpfs -o size=100k tmpfs {full}", check_out, top, commit, full / "code")
    assert len(git(top, "worktree", "list").splitlines()) == 1


def test_git_that_is_killed_leaves_nothing(top, git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nfor w; do [ "$w" = reset ] && kill -9 $$; done\nexec {shutil.which("git")} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    with pytest.raises(UserError, match="cannot be checked out"):
        check_out(top, commit_of(top, git), tmp_path / "code")
    assert not (tmp_path / "code").exists()


def test_a_launch_that_hangs_does_not_lock_out_others(
    top, git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout, "_PATIENCE", 0.1)
    with open(top / ".git" / "preflight.lock", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        check_out(top, commit_of(top, git), tmp_path / "code")
    assert (tmp_path / "code" / "train.py").exists()
