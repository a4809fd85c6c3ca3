"""The checks that a run would run, as text and as JSON."""

import json
from pathlib import Path


def test_lists_what_would_run(project: Path, preflight) -> None:
    ended = preflight("list", "--config", "foo.yaml", "--only", "mine")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        "mine",
        "  mine.holds  It holds.",
        "  mine.warns  It is well.  (slow)",
        "  mine.fails  It is there.",
        "",
        "3 checks",
    ]


def test_lists_as_json(project: Path, preflight) -> None:
    ended = preflight("list", "--config", "foo.yaml", "--tag", "slow", "--format", "json")
    assert ended.returncode == 0
    (listed,) = [each for each in json.loads(ended.stdout) if each["family"] == "mine"]
    assert listed == {
        "id": "mine.warns",
        "title": "It is well.",
        "family": "mine",
        "tags": ["slow"],
        "asked": False,
        "file": listed["file"],
        "line": 8,
    }
    assert listed["file"].endswith("check_mine.py")
