"""Copies of the example projects, and preflight as a user would call it there."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


class Answer(NamedTuple):
    """The exit code and the results."""

    code: int
    results: list[dict[str, Any]]

    @property
    def errors(self) -> list[str]:
        """The ids of all errors."""
        findings = [finding for result in self.results for finding in result.get("findings", ())]
        return sorted(finding["id"] for finding in findings if finding["severity"] == "error")


class Project:
    """A copy of an example that a test may break."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the interpreter in the project."""
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=120)

    def preflight(self, *arguments: str) -> Answer:
        """Run preflight on config.yaml."""
        done = self.python("-m", "preflight", "run", "--config", "config.yaml", "--format", "json", *arguments)
        assert done.stdout, done.stderr
        return Answer(done.returncode, json.loads(done.stdout)["results"])

    def replace(self, file: str, old: str, new: str) -> None:
        """Put `new` in the place of the one `old` in a file."""
        text = (self.folder / file).read_text(encoding="utf-8")
        assert text.count(old) == 1
        (self.folder / file).write_text(text.replace(old, new), encoding="utf-8")


def copy_of(example: str, folder: Path) -> Project:
    """Copy an example, without what earlier runs of it left there."""
    ignored = shutil.ignore_patterns("data", "runs", "__pycache__", ".preflight") if example == "digits" else None
    return Project(Path(shutil.copytree(EXAMPLES / example, folder / example, ignore=ignored)))


@pytest.fixture
def broken(tmp_path: Path) -> Project:
    """A copy of examples/broken."""
    return copy_of("broken", tmp_path)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One copy of examples/digits with its data, which no test changes."""
    if not find_spec("torch") or not find_spec("sklearn"):
        pytest.skip("the example needs torch and scikit-learn")
    project = copy_of("digits", tmp_path_factory.mktemp("prepared"))
    assert project.python("prepare.py").returncode == 0
    return project


@pytest.fixture
def digits(prepared: Project, tmp_path: Path) -> Project:
    """A copy of examples/digits with its data."""
    return Project(Path(shutil.copytree(prepared.folder, tmp_path / "digits")))
