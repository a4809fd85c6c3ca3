"""The command as a user runs it, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]

CHECKS = '''
"""Checks of a project."""
from preflight import check, error, warning

def check_holds():
    """It holds."""

@check(tags=["slow"])
def check_warns():
    """It is well.

    Prose about it.

        mine.unwell    it is not
                       well
    """
    yield warning("it is not well", id="mine.unwell")

def check_fails():
    """It is there."""
    print("looking")
    yield error("x is not there", found="nothing", wanted="x", fix="Make x:\\n    touch x")
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project with checks of its own, and stand in it."""
    folder = tmp_path / "project"
    (folder / "preflight_checks").mkdir(parents=True)
    (folder / "preflight_checks" / "check_mine.py").write_text(CHECKS)
    (folder / "foo.yaml").write_text("seed: 17\npreflight: {}\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def preflight() -> Command:
    """Return `preflight(*arguments, **environment)`."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")}
        return subprocess.run(
            [sys.executable, "-m", "preflight", *arguments],
            env={**variables, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
