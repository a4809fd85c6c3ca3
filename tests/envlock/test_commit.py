"""What is committed, what stays as it was, and when nothing is committed at all."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight.envlock import commit as module
from preflight.envlock.commit import commit
from preflight.envlock.model import Change, Package
from preflight.errors import UserError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
BUMP = Change(
    name="numpy",
    manager="conda",
    before=Package(name="numpy", version="1.26.4", manager="conda"),
    after=Package(name="numpy", version="2.0.1", manager="conda"),
    kind="version",
)


def git(folder: Path, *words: str, status: int = 0) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who has told git a name, outside of CI."""
    monkeypatch.delenv("CI", raising=False)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\nname = A\nemail = a@example.org\n[init]\ndefaultBranch = trunk\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with a locked environment, and with a lot that is not finished."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init")
    for name in ("conda-lock.yml", "staged.py", "both.py", "dirty.py", "gone.py"):
        (folder / name).write_text("old\n")
    git(folder, "add", ".")
    git(folder, "commit", "--message=first")
    for name in ("staged.py", "both.py"):
        (folder / name).write_text("staged\n")
        git(folder, "add", name)
    for name in ("both.py", "dirty.py", "untracked.py"):
        (folder / name).write_text("dirty\n")
    git(folder, "rm", "gone.py")
    return folder


UNFINISHED = "MM both.py\n M dirty.py\nD  gone.py\nM  staged.py\n?? untracked.py\n"


def state(folder: Path) -> tuple[str, str, str]:
    """Return the last commit, the index and what differs."""
    return git(folder, "rev-parse", "HEAD"), git(folder, "ls-files", "--stage"), git(folder, "status", "--porcelain")


def files(folder: Path, text: str = "new\n") -> dict[Path, bytes]:
    return {folder / name: f"{name} {text}".encode() for name in ("environment.yml", "conda-lock.yml")}


def refused(folder: Path, wanted: dict[Path, bytes] | None = None) -> str:
    """Return why nothing is committed, after making sure that nothing was written either."""
    lock = folder / "conda-lock.yml"
    before = lock.read_bytes() if lock.exists() else None
    with pytest.raises(UserError) as caught:
        commit(folder, wanted or files(folder), [BUMP])
    assert (lock.read_bytes() if lock.exists() else None) == before
    assert not (folder / "environment.yml").exists()
    return str(caught.value)


def test_only_its_own_files_are_committed(top: Path) -> None:
    told = commit(top, files(top), [BUMP])
    assert told == git(top, "log", "-1", "--format=%h env: numpy 1.26.4 -> 2.0.1").strip()
    assert git(top, "show", "--name-only", "--format=%B") == (
        "env: numpy 1.26.4 -> 2.0.1\n\nconda numpy 1.26.4 -> 2.0.1\n\nconda-lock.yml\nenvironment.yml\n"
    ).replace("\n\nconda-lock", "\n\n\nconda-lock")
    assert git(top, "status", "--porcelain") == UNFINISHED
    assert git(top, "show", "HEAD:environment.yml") == "environment.yml new\n"
    assert git(top, "show", ":both.py") == "staged\n"


def test_the_same_again_is_no_commit(top: Path) -> None:
    commit(top, files(top), [BUMP])
    before = state(top)
    assert commit(top, files(top), []) == ""
    assert state(top) == before


def test_what_was_written_before_and_not_committed_is_committed(top: Path) -> None:
    for path, data in files(top).items():
        path.write_bytes(data)
    assert commit(top, files(top), []).endswith(" env: environment.yml, conda-lock.yml")
    assert git(top, "status", "--porcelain") == UNFINISHED


def test_a_staged_lock_that_is_stale_is_committed_as_it_is_now(top: Path) -> None:
    (top / "conda-lock.yml").write_text("stale\n")
    git(top, "add", "conda-lock.yml")
    commit(top, files(top), [BUMP])
    assert git(top, "show", "HEAD:conda-lock.yml") == "conda-lock.yml new\n"
    assert git(top, "status", "--porcelain") == UNFINISHED


def test_the_first_commit_of_a_repository(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "staged.py").touch()
    git(tmp_path, "add", "staged.py")
    commit(tmp_path, files(tmp_path), [BUMP])
    assert git(tmp_path, "show", "--name-only", "--format=").split() == ["conda-lock.yml", "environment.yml"]
    assert git(tmp_path, "status", "--porcelain", "staged.py") == "A  staged.py\n"


def test_odd_names_are_no_patterns(top: Path) -> None:
    (top / "sub dir").mkdir()
    (top / "sub dir/env1.yml").write_text("mine\n")
    git(top, "add", "sub dir/env1.yml")
    commit(top / "sub dir", {top / "sub dir/env[1].yml": b"a\n", top / "sub dir/ü é.yml": b"b\n"}, [])
    assert (
        git(top, "-c", "core.quotePath=off", "show", "--name-only", "--format=")
        == "sub dir/env[1].yml\nsub dir/ü é.yml\n"
    )


def test_a_link_to_the_lock(top: Path) -> None:
    (top / "envs").mkdir()
    (top / "link.yml").symlink_to("envs/real.yml")
    commit(top, {top / "link.yml": b"new\n"}, [])
    assert git(top, "show", "--name-only", "--format=") == "envs/real.yml\n"


def test_a_worktree_commits_to_its_own_branch(top: Path) -> None:
    other = top.parent / "other"
    git(top, "worktree", "add", "-b", "branch", str(other))
    before = state(top)
    commit(other, files(other), [BUMP])
    assert state(top) == before
    assert git(top, "show", "branch:environment.yml") == "environment.yml new\n"


def test_a_submodule_commits_to_itself(top: Path) -> None:
    module = top / "module"
    git(top, "-c", "protocol.file.allow=always", "submodule", "add", str(top), "module")
    git(module, "config", "user.name", "A")
    before = state(top)[:2]
    commit(module, files(module), [BUMP])
    assert git(module, "show", "HEAD:environment.yml") == "environment.yml new\n"
    assert state(top)[:2] == before
    assert "outside of the repository" in refused(top, {module / "b.yml": b"", top / "c.yml": b""})


def test_a_setting_from_an_included_file(top: Path) -> None:
    (top.parent / "more").write_text("[user]\nname = Included\n")
    git(top, "config", "include.path", str(top.parent / "more"))
    commit(top, files(top), [BUMP])
    assert git(top, "log", "-1", "--format=%an") == "Included\n"


def hook(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def failed(folder: Path) -> str:
    """Return why git has not committed, after making sure that only the files have changed."""
    before = state(folder)
    with pytest.raises(UserError) as caught:
        commit(folder, files(folder), [BUMP])
    assert state(folder)[:2] == before[:2]
    written = {" M conda-lock.yml", "?? environment.yml"}
    assert set(state(folder)[2].splitlines()) == {*before[2].splitlines(), *written}
    assert not (folder / ".git/index.lock").exists()
    return str(caught.value).splitlines()[0].removeprefix(f"{folder}: ")


@pytest.mark.parametrize("where", [".git/hooks", "shared"])
def test_a_hook_that_refuses(top: Path, where: str) -> None:
    git(top, "config", "core.hooksPath", str(top / where)) if where == "shared" else None
    (top / where).mkdir(exist_ok=True)
    (top / ".git/info/exclude").write_text("shared\n")
    hook(top / where, "pre-commit", "echo checking; echo 'no secrets in locks, please' >&2; exit 1")
    assert failed(top) == "the files are written, not committed: no secrets in locks, please"
    hook(top / where, "pre-commit", "exit 1")
    assert failed(top).endswith("git gave no reason (a hook that fails without a word?)")
    hook(top / where, "pre-commit", "exit 0")
    assert commit(top, files(top), [BUMP])


def test_hooks_see_the_commit_and_may_word_it(top: Path) -> None:
    hook(top / ".git/hooks", "pre-commit", "git diff --cached --name-only > ../seen")
    hook(top / ".git/hooks", "commit-msg", 'echo "Ticket: 17" >> "$1"')
    commit(top, files(top), [BUMP])
    assert (top.parent / "seen").read_text() == "conda-lock.yml\nenvironment.yml\n"
    assert git(top, "log", "-1", "--format=%B").rstrip().endswith("Ticket: 17")


def test_a_hook_makes_no_second_commit(top: Path) -> None:
    program = "import pathlib, preflight.envlock.commit as c; c.commit(pathlib.Path('.'), {pathlib.Path('x'): b''}, [])"
    hook(top / ".git/hooks", "pre-commit", f'{sys.executable} -c "{program}" 2>&1 | grep UserError; exit 1')
    assert "no commit is made while git makes one" in failed(top)


def test_a_key_that_cannot_sign(top: Path) -> None:
    git(top, "config", "commit.gpgSign", "true")
    git(top, "config", "gpg.program", "/bin/false")
    assert failed(top) == "the files are written, not committed: gpg failed to sign the data"


def test_a_commit_that_is_signed(top: Path) -> None:
    if not shutil.which("ssh-keygen"):
        pytest.skip("needs ssh-keygen")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(top.parent / "key")], check=True)
    for name, value in (
        ("commit.gpgSign", "true"),
        ("gpg.format", "ssh"),
        ("user.signingKey", str(top.parent / "key")),
    ):
        git(top, "config", name, value)
    assert commit(top, files(top), [BUMP])
    assert "BEGIN SSH SIGNATURE" in git(top, "cat-file", "commit", "HEAD")


def test_nobody_has_told_git_a_name(top: Path) -> None:
    (top.parent / "home/.gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    assert failed(top) == "the files are written, not committed: no email was given and auto-detection is disabled"


def test_an_index_that_another_git_holds(top: Path) -> None:
    lock = top / ".git/index.lock"
    lock.touch()
    threading.Timer(0.5, lock.unlink).start()
    assert commit(top, files(top), [BUMP])


def test_an_index_that_a_killed_git_has_left_locked(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUSY", 0.3)
    lock = top / ".git/index.lock"
    lock.touch()
    with pytest.raises(UserError, match="another git holds a lock") as caught:
        commit(top, files(top), [BUMP])
    subprocess.run(caught.value.fix.splitlines()[-1], shell=True, check=True)
    assert commit(top, files(top), [BUMP])


OPERATIONS = {
    "merge": "git merge --no-commit --no-ff other",
    "rebase": "git reset -q --hard HEAD~1; git rebase other",
    "cherry-pick": "git cherry-pick other",
    "revert": "git revert --no-edit HEAD~1",
    "bisect": "git bisect start",
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_in_the_middle_of(tmp_path: Path, operation: str) -> None:
    git(tmp_path, "init")
    shell = """
        echo 1 >a; git add a; git commit -qm 1; git branch other
        echo 2 >a; git commit -qam 2; echo 3 >a; git commit -qam 3
        git switch -q other; echo x >a; git commit -qam x; git switch -q trunk
    """
    subprocess.run(["bash", "-euc", shell], cwd=tmp_path, check=True)
    subprocess.run(["bash", "-c", OPERATIONS[operation]], cwd=tmp_path, capture_output=True)
    told = refused(tmp_path)
    assert f"git is in the middle of a {operation}: nothing is committed" in told
    subprocess.run(["bash", "-c", "echo z >a; git add a"], cwd=tmp_path, check=True)
    environment = {**os.environ, "GIT_EDITOR": "true"}
    subprocess.run(told.splitlines()[-1], shell=True, cwd=tmp_path, env=environment, capture_output=True)
    assert commit(tmp_path, files(tmp_path), [BUMP])


def test_a_detached_head(top: Path) -> None:
    git(top, "checkout", "--detach")
    assert "HEAD is detached: a commit would belong to no branch" in refused(top)


def test_in_ci(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert refused(top).startswith("no commit is made in CI (the variable CI is set)")
    monkeypatch.setenv("CI", "false")
    assert commit(top, files(top), [BUMP])


def test_no_repository(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith(f"{tmp_path}: nothing can be committed: not a git repository")


def test_a_bare_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "--bare")
    assert "this is no working tree" in refused(tmp_path)


def test_no_git(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "nothing can be committed: the command git is not there" in refused(top)


def test_a_file_that_git_ignores(top: Path) -> None:
    (top / ".gitignore").write_text("*.pyc\nenv*.yml\n")
    assert "environment.yml: git ignores this file (.gitignore:2:env*.yml)" in refused(top)
    (top / "environment.yml").touch()
    git(top, "add", "--force", "environment.yml")
    assert commit(top, files(top), [BUMP])


def test_a_repository_of_somebody_else(top: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    for path in (top, top / ".git"):
        os.chown(path, 1234, 1234)
    told = refused(top)
    assert "detected dubious ownership" in told
    assert len(told.splitlines()) == 3
    subprocess.run(told.splitlines()[-1], shell=True, check=True)
    assert commit(top, files(top), [BUMP])


def told_by(folder: str) -> str:
    try:
        return commit(Path(folder), files(Path(folder)), [BUMP])
    except UserError as mistake:
        return str(mistake).splitlines()[0].removeprefix(folder)


def test_a_read_only_repository(top: Path, in_world: Callable[..., Any]) -> None:
    before = state(top)
    told = in_world(f"mount --bind -o ro {top} {top}", told_by, str(top))
    assert told == "/environment.yml: the file cannot be written: Read-only file system"
    assert state(top) == before


def test_a_full_disk(top: Path, in_world: Callable[..., Any]) -> None:
    disk = f"d=$(mktemp -d); mount -t tmpfs -o size=1m none $d; cp -a {top}/. $d; mount --move $d {top}"
    assert in_world(f"{disk}; cat /dev/zero >{top}/fill || true", told_by, str(top)) == (
        "/environment.yml: the file cannot be written: No space left on device"
    )
    # The files fit, and git's objects do not.
    told = in_world(f"{disk}; cat /dev/zero >{top}/fill || true; truncate -s -8192 {top}/fill", told_by, str(top))
    assert told.startswith(": the files are written, not committed: ")
    assert "disk" in told or "No space left" in told


def test_two_at_once(top: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from preflight.envlock.commit import commit\n"
        "top, name = Path(sys.argv[1]), sys.argv[2]\n"
        "for i in range(4): commit(top, {top / n: f'{n} {name} {i}'.encode() for n in ('a.yml', 'b.yml')}, [])"
    )
    command = [sys.executable, "-c", program, str(top)]
    both = [subprocess.Popen([*command, name], stderr=subprocess.PIPE) for name in ("one", "two")]
    assert [process.communicate()[1] for process in both] == [b"", b""]
    assert git(top, "rev-list", "--count", "HEAD") == "9\n"
    for number in range(8):
        one, other = (git(top, "show", f"HEAD~{number}:{name}").split()[1:] for name in ("a.yml", "b.yml"))
        assert one == other
    assert git(top, "status", "--porcelain") == UNFINISHED
    git(top, "fsck", "--strict")
