"""Every finding of the code checks, in real repositories."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from preflight.config import Code, Config
from preflight.model import Finding, Severity

ASKED = Config(code=Code(commit=True, clean=True))

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(scope="session")
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("code")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "A Researcher")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.org")
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "--initial-branch=trunk")
    (root / "train.py").write_text("lr = 1\n")
    git(root, "add", ".")
    git(root, "commit", "--message=first")
    return root


def git(folder: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout.strip()


def ids(findings: object) -> list[str]:
    return [finding.id for finding in findings]  # type: ignore[attr-defined]


def test_unasked_it_only_tells(checks: ModuleType, project: Path) -> None:
    (project / "new.py").touch()
    [finding] = checks.check_is_known(Config(), project)
    assert (finding.id, finding.severity) == ("code.state", Severity.INFO)
    assert finding.evidence == {
        "commit": git(project, "rev-parse", "HEAD"),
        "branch": "trunk",
        "changed": 0,
        "untracked": 1,
    }


def test_unasked_and_outside_a_repository_it_is_silent(checks: ModuleType, tmp_path: Path) -> None:
    assert list(checks.check_is_known(Config(), tmp_path)) == []


def test_a_project_in_no_repository(checks: ModuleType, project: Path) -> None:
    shutil.rmtree(project / ".git")
    assert ids(checks.check_has_a_commit(ASKED, project)) == ["code.no-repository"]
    assert ids(checks.check_is_clean(ASKED, project)) == ["code.no-repository"]


def test_a_repository_without_a_commit(checks: ModuleType, tmp_path: Path, project: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init")
    assert ids(checks.check_has_a_commit(ASKED, empty)) == ["code.no-commit"]
    assert ids(checks.check_has_a_commit(ASKED, project)) == ["code.state"]


def test_what_is_uncommitted_is_named(checks: ModuleType, project: Path) -> None:
    assert list(checks.check_is_clean(ASKED, project)) == []
    (project / "train.py").write_text("lr = 2\n")
    (project / "a new file.py").touch()
    [finding] = checks.check_is_clean(ASKED, project)
    assert finding.id == "code.uncommitted"
    assert finding.message == f"1 changed file and 1 untracked file in {project}: train.py, a new file.py"


def test_what_is_ignored_is_no_difference(checks: ModuleType, project: Path) -> None:
    (project / ".git/info/exclude").write_text("runs/\n")
    (project / "runs").mkdir()
    (project / "runs/log").touch()
    assert list(checks.check_is_clean(ASKED, project)) == []


@pytest.mark.parametrize("operation", ["merge", "rebase", "cherry-pick"])
def test_git_in_the_middle_of_something(checks: ModuleType, project: Path, operation: str) -> None:
    git(project, "switch", "--create", "other")
    (project / "train.py").write_text("lr = 2\n")
    git(project, "commit", "--all", "--message=other")
    git(project, "switch", "trunk")
    (project / "train.py").write_text("lr = 3\n")
    git(project, "commit", "--all", "--message=third")
    git(project, operation, "other", code=1)
    findings = list(checks.check_has_a_commit(ASKED, project))
    assert ids(findings) == ["code.unfinished", "code.state"]
    assert f"in the middle of a {operation}" in findings[0].message
    run_fix(findings[0])
    assert ids(checks.check_has_a_commit(ASKED, project)) == ["code.state"]


def test_git_in_the_middle_of_a_bisect(checks: ModuleType, project: Path) -> None:
    git(project, "bisect", "start")
    [finding, _] = checks.check_has_a_commit(ASKED, project)
    assert "bisect" in finding.message
    run_fix(finding)
    assert ids(checks.check_has_a_commit(ASKED, project)) == ["code.state"]


def test_a_commit_that_is_nowhere_else(checks: ModuleType, tmp_path: Path, project: Path) -> None:
    git(tmp_path, "init", "--bare", "origin.git")
    git(project, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(project, "push", "--set-upstream", "origin", "trunk")
    assert ids(checks.check_has_a_commit(ASKED, project)) == ["code.state"]
    git(project, "commit", "--allow-empty", "--message=second")
    [finding, _] = checks.check_has_a_commit(ASKED, project)
    assert (finding.id, finding.severity) == ("code.unpushed", Severity.WARNING)
    assert finding.message == "1 commit of trunk is not in origin/trunk"
    run_fix(finding)
    assert ids(checks.check_has_a_commit(ASKED, project)) == ["code.state"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_repository_of_another_user(checks: ModuleType, project: Path) -> None:
    for file in (project, project / ".git"):
        os.chown(file, 1234, 1234)
    [finding] = checks.check_has_a_commit(ASKED, project)
    assert finding.id == "code.foreign-owner"
    assert f"git config --global --add safe.directory {project}" in finding.fix
    run_fix(finding)
    assert ids(checks.check_has_a_commit(ASKED, project)) == ["code.state"]


def test_git_is_not_there(checks: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project))
    [finding] = checks.check_has_a_commit(ASKED, project)
    assert finding.id == "code.no-answer"
    assert list(checks.check_is_known(Config(), project)) == []


def run_fix(finding: Finding) -> None:
    """Paste the commands of a fix into a shell."""
    commands = [line for line in finding.fix.splitlines() if line.startswith("    ")]
    subprocess.run("\n".join(commands), shell=True, check=True, capture_output=True)


def test_a_file_of_the_program_that_is_no_python(checks: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("from model import Net\n")
    (tmp_path / "model.py").write_text("class Net:\n<<<<<<< HEAD\n    pass\n")
    [finding] = checks.check_compiles(Config(), tmp_path)
    assert (finding.id, finding.severity) == ("code.does-not-compile", Severity.ERROR)
    assert finding.message.startswith("model.py:2 is no Python: ")
    (tmp_path / "model.py").write_text("class Net:\n    pass\n")
    (tmp_path / "unused.py").write_text("<<<<<<< HEAD\n")
    assert list(checks.check_compiles(Config(), tmp_path)) == []
