"""The same checks under a user's own pytest, with and without pytest-xdist, and under `preflight run`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKS = """
def check_passes():
    print("hello")

def check_fails(experiment):
    assert experiment["classes"] == 11, "eleven classes"

def check_yields():
    yield warning("careful", id="many.careful")
    yield error("one is wrong", id="many.wrong", found="1", wanted="2", fix="Count again.")

def check_skips():
    pytest.skip("not here")

def check_segfaults():
    import ctypes; ctypes.string_at(0)

@check(timeout=1)
def check_hangs():
    while True: pass

@pytest.mark.parametrize("number", [1, 2])
def check_number(number, scratch, settings):
    assert number == settings["number"] and list(scratch.iterdir()) == []

@check(per="imports")
def check_import(entry, imported):
    assert imported[entry.name].outcome == "imported", imported[entry.name].error

@check(per="data")
def check_entry(entry):
    assert entry.path

@check(needs="wave")
def check_needs():
    assert "wave" in sys.modules or True
"""
CONFIG = """
classes: 10
preflight:
  imports: [wave, nosuchmodule]
  data: [{path: .}]
  checks: {many: {number: 1}}
"""


@pytest.fixture
def many(project: Any) -> Path:
    """A project with checks that end in many ways."""
    project.checks("many", CHECKS)
    project.checks("empty", "")
    (project.folder / "foo.yaml").write_text(CONFIG)
    return project.folder  # type: ignore[no-any-return]


def under_pytest(folder: Path, *words: str) -> tuple[dict[str, dict[str, Any]], str]:
    """Run the checks in a pytest of their own and return the results that its reports carry."""
    keep = folder.parent / "keep.py"
    keep.write_text(
        "import json, pathlib\n"
        "def pytest_runtest_logreport(report):\n"
        "    for name, value in report.user_properties:\n"
        "        if report.when == 'call': print('KEPT', json.dumps([value, report.outcome]))\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--preflight-config",
        "foo.yaml",
        "-p",
        "keep",
        "-s",
        *words,
        "preflight_checks/",
    ]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(keep.parent)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=150, check=False
    )
    kept = [json.loads(line.partition("KEPT ")[2]) for line in done.stdout.splitlines() if "KEPT " in line]
    return {result["check"]: {**result, "outcome": outcome} for result, outcome in kept}, done.stdout + done.stderr


def under_preflight(folder: Path) -> dict[str, dict[str, Any]]:
    """Run them as `preflight run` does."""
    command = [
        sys.executable,
        "-m",
        "preflight",
        "run",
        "--config",
        "foo.yaml",
        "--only",
        "many",
        "--only",
        "empty",
        "--format",
        "json",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    return {result["check"]: result for result in json.loads(done.stdout)["results"]}


def told(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what must be the same wherever a check runs."""
    return {
        name: (
            result["status"],
            result.get("reason", "").split(", in ")[0],
            [finding["message"] for finding in result.get("findings", ())],
        )
        for name, result in results.items()
    }


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((), id="alone"),
        # Three interpreters with all plugins: on a busy machine this takes a minute.
        pytest.param(("-n", "2"), id="xdist", marks=pytest.mark.slow),
    ],
)
def test_results_are_those_of_preflight_run(many: Path, words: tuple[str, ...]) -> None:
    """Status, reason and findings agree check by check."""
    results, output = under_pytest(many, *words)
    assert told(results) == told(under_preflight(many)), output
    outcomes = {result["status"]: result["outcome"] for result in results.values()}
    assert outcomes == {"PASSED": "passed", "FAILED": "failed", "SKIPPED": "skipped", "BROKEN": "failed"}


def test_failures_are_readable_in_pytest(many: Path) -> None:
    """pytest's own output has found, wanted and fix, and the captured output."""
    _, output = under_pytest(many)
    for words in (
        "one is wrong",
        "found: 1",
        "wanted: 2",
        "fix: Count again.",
        "eleven classes",
        "SIGSEGV",
        "holds no check",
    ):
        assert words in output


def test_wrong_config_is_a_usage_error(many: Path) -> None:
    """A mistake in the config stops pytest with one line and its exit code for usage."""
    (many / "foo.yaml").write_text("preflight: {dta: []}")
    _, output = under_pytest(many)
    assert "foo.yaml:1" in output
    assert "data" in output
    assert "Traceback" not in output


def test_plugin_sleeps_without_a_config(tmp_path: Path) -> None:
    """A pytest that names no config collects no checks and loads nothing of preflight."""
    (tmp_path / "preflight_checks").mkdir()
    (tmp_path / "preflight_checks" / "check_x.py").write_text("raise ImportError")
    (tmp_path / "test_y.py").write_text(
        "import sys\ndef test_y():\n    assert not {'preflight.config', 'yaml'} & sys.modules.keys()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:hypothesispytest", "-p", "no:hydra_pytest"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "1 passed" in done.stdout, done.stdout
