"""Whole runs whose nodes add up together: who takes part, what the report says, what comes of it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from preflight.model import Report

CHECKS = """
import os

def check_disk():
    assert os.environ["NODE"] != os.environ.get("BAD"), "no space is left"
"""


def run(farm: Any, folder: Path, *options: str, **variables: str) -> tuple[int, Report]:
    (folder / "preflight_checks").mkdir(exist_ok=True)
    (folder / "preflight_checks" / "check_mine.py").write_text(CHECKS)
    (folder / "foo.yaml").write_text("preflight: {nodes: {silence: 6s}}\n")
    words = ["run", "--config", "foo.yaml", "--on", "ssh:n[1-4]", "--only", "mine", *options, "--format", "json"]
    environment = {**os.environ, "PATH": f"{farm.folder}:{os.environ['PATH']}", **variables}
    done = subprocess.run(
        [sys.executable, "-m", "preflight", *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.stdout, done.stderr
    return done.returncode, Report.from_json(json.loads(done.stdout))


def together(report: Report) -> dict[str, str]:
    return {each.place: str(each.status) for each in report.results if each.check == "nodes.add-up-together"}


@pytest.mark.slow
def test_who_dies_is_left_out_and_the_others_have_passed(farm: Any, tmp_path: Path) -> None:
    farm.fault("n3", "kill", number=4)
    lists = ["--passing-nodes", "good", "--failing-nodes", "bad"]
    code, report = run(farm, tmp_path, "--only", "nodes.add-up-together", "--collectives", *lists)
    assert code == 1
    assert together(report) == {"n1": "PASSED", "n2": "PASSED", "n3": "FAILED", "n4": "PASSED"}
    assert (tmp_path / "good").read_text().split() == ["n1", "n2", "n4"]
    assert (tmp_path / "bad").read_text().split() == ["n3"]


@pytest.mark.slow
def test_who_has_failed_alone_takes_no_part(farm: Any, tmp_path: Path) -> None:
    code, report = run(farm, tmp_path, "--only", "nodes.add-up-together", "--collectives", BAD="n2")
    assert code == 1
    assert together(report) == {"n1": "PASSED", "n3": "PASSED", "n4": "PASSED"}


def test_they_add_up_only_where_both_say_so(farm: Any, tmp_path: Path) -> None:
    assert together(run(farm, tmp_path, "--collectives")[1]) == {}
    with pytest.raises(AssertionError, match="says when it takes part"):
        run(farm, tmp_path, "--only", "nodes.add-up-together")


def test_one_machine_has_no_nodes(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "preflight", "run", "--collectives"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "only the nodes of a run on many nodes add up together" in done.stderr
