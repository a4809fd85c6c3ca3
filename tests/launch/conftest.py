"""Repositories as people leave them."""

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

GitIn = Callable[..., str]


def git(folder: Path, *words: str, check: bool = True, **variables: str) -> str:
    """Run git as somebody called A."""
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *words], capture_output=True, text=True, env={**os.environ, **variables}
    )
    assert not check or not done.returncode, done.stderr
    return done.stdout.strip()


@pytest.fixture(name="git")
def git_in() -> GitIn:
    return git


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let git know nothing of who sits here."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with one commit of a few files."""
    folder = tmp_path / "project"
    (folder / "package").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=trunk")
    (folder / "train.py").write_text("print('one')\n")
    (folder / "package" / "model.py").write_text("layers = 3\n")
    (folder / ".gitignore").write_text("data/\n*.log\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    return folder


def seal(top: Path) -> dict[str, str]:
    """Return digests of all that a snapshot must leave as it is."""
    names = git(top, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    sealed = {"refs": "\n".join(each for each in names if not each.startswith("refs/preflight/"))}
    for name in ("HEAD", "index", "config", "logs/HEAD", "logs/refs/stash", "MERGE_HEAD", "ORIG_HEAD"):
        file = top / git(top, "rev-parse", "--git-path", name)
        sealed[name] = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    for path in sorted(top.rglob("*")):
        relative = path.relative_to(top)
        if ".git" not in relative.parts and not path.is_dir():
            facts = path.lstat()
            content = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
            sealed[str(relative)] = f"{facts.st_mode} {facts.st_mtime_ns} {facts.st_ino} {content}"
    return sealed


@pytest.fixture(name="seal")
def seal_of() -> Callable[[Path], dict[str, str]]:
    return seal
