"""What git tells of a working tree, and what it must not be made to do."""

import shutil
import subprocess
from pathlib import Path

import pytest

from preflight.system import git
from preflight.system.git import GitError, repository, top_of

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def run(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@example.org", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    run(folder, "init", "--initial-branch=trunk")
    (folder / "a.py").write_text("a = 1\n" * 20)
    (folder / "b.py").write_text("b = 1\n")
    run(folder, "add", ".")
    run(folder, "commit", "--message=first")
    return folder


def test_the_state_of_a_clean_tree(top: Path) -> None:
    state = repository(top)
    assert state == git.Repository(top=top, commit=run(top, "rev-parse", "HEAD"), branch="trunk")


def test_every_kind_of_change_is_named_by_its_path(top: Path) -> None:
    run(top, "mv", "a.py", "a new name.py")
    (top / "b.py").write_text("b = 2\n")
    (top / "untracked folder").mkdir()
    (top / "untracked folder/x").touch()
    state = repository(top)
    assert state.changed == ("a new name.py", "b.py")
    assert state.untracked == ("untracked folder/",)


def test_a_conflict_is_a_change(top: Path) -> None:
    run(top, "switch", "--create", "other")
    (top / "b.py").write_text("b = 2\n")
    run(top, "commit", "--all", "--message=other")
    run(top, "switch", "trunk")
    (top / "b.py").write_text("b = 3\n")
    run(top, "commit", "--all", "--message=third")
    with pytest.raises(subprocess.CalledProcessError):
        run(top, "merge", "other")
    state = repository(top)
    assert (state.operation, state.changed) == ("merge", ("b.py",))


def test_a_detached_head_has_no_branch(top: Path) -> None:
    run(top, "switch", "--detach")
    assert repository(top).branch == ""


def test_a_worktree_has_operations_of_its_own(top: Path) -> None:
    other = top.parent / "other"
    run(top, "worktree", "add", str(other))
    run(other, "bisect", "start")
    assert top_of(other) == other
    assert (repository(other).operation, repository(top).operation) == ("bisect", "")


def test_the_top_is_found_from_below_and_through_links(top: Path) -> None:
    (top / "sub/folder").mkdir(parents=True)
    link = top.parent / "link"
    link.symlink_to(top / "sub")
    assert top_of(link / "folder") == top
    assert top_of(top.parent) is None


def test_the_environment_of_another_repository_changes_nothing(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(top.parent / "absent"))
    assert repository(top).branch == "trunk"


def test_no_program_of_the_repository_is_run(top: Path) -> None:
    hook, trace = top.parent / "monitor", top.parent / "it-ran"
    hook.write_text(f"#!/bin/sh\ntouch {trace}\n")
    hook.chmod(0o755)
    run(top, "config", "core.fsmonitor", str(hook))
    repository(top)
    assert not trace.exists()


def test_nothing_is_written(top: Path) -> None:
    index = top / ".git/index"
    (top / "b.py").touch()
    before = index.read_bytes()
    repository(top)
    assert index.read_bytes() == before


def test_a_git_that_hangs(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = top.parent / "bin/git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(git, "_LIMIT", 0.3)
    with pytest.raises(GitError, match="has not answered"):
        repository(top)


def test_a_broken_repository(top: Path) -> None:
    (top / ".git/HEAD").write_text("nonsense\n")
    with pytest.raises(GitError, match="not a git repository"):
        repository(top)
