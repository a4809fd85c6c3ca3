"""A run without a section asks what the project's code tells that it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def preflight(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would in that folder."""
    environment = {**os.environ, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "preflight", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("config", ["", "epochs: 3\n"], ids=["no file", "no section"])
def test_missing_import_is_found_without_a_section(tmp_path: Path, config: str) -> None:
    """The code is read, nothing is written, and the finding points into no line that is not there."""
    (tmp_path / "train.py").write_text("import json\nimport nosuchmodule\n")
    words = ["run"]
    if config:
        (tmp_path / "foo.yaml").write_text(config)
        words += ["--config", "foo.yaml"]
    before = sorted(tmp_path.iterdir())
    done = preflight(tmp_path, *words)
    assert done.returncode == 1, done.stdout
    assert "nosuchmodule is not installed" in done.stdout
    assert "read from the code" in done.stdout
    assert "foo.yaml:" not in done.stdout
    assert sorted(tmp_path.iterdir()) == before


def test_section_that_is_there_is_not_added_to(tmp_path: Path) -> None:
    """Who has written a section, even an empty one, has said what is needed."""
    (tmp_path / "train.py").write_text("import nosuchmodule\n")
    (tmp_path / "foo.yaml").write_text("preflight: {}\n")
    done = preflight(tmp_path, "run", "--config", "foo.yaml")
    assert done.returncode == 0, done.stdout
    assert "read from the code" not in done.stdout


def test_listing_shows_what_a_run_would_ask(tmp_path: Path) -> None:
    """`list` knows the same section."""
    (tmp_path / "train.py").write_text("import nosuchmodule\n")
    assert "imports.works[nosuchmodule]" in preflight(tmp_path, "list").stdout
