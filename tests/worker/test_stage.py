"""The stage: modules imported as the job would, each ending told, and a new start without what killed it."""

import shutil
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from preflight.model import Status
from preflight.system.modules import Imported, Outcome
from preflight.worker.stage import Stage


def imports(root: Path, *names: str, deadline: float = 20.0) -> dict[str, Imported]:
    """Import modules in a stage and return how each went."""
    stage = Stage(dict.fromkeys(names, deadline), root, deadline)
    until = time.monotonic() + 60
    while not stage.ready and time.monotonic() < until:
        stage.read()
        time.sleep(0.01)
    stage.close()
    return stage.imported


def module(root: Path, name: str, text: str) -> None:
    """Write a module of the project."""
    (root / f"{name}.py").write_text(textwrap.dedent(text))


def test_import_is_timed_and_located(tmp_path: Path) -> None:
    """A module that can be imported has its origin, its seconds, and what it brought."""
    module(tmp_path, "slow", "import time, wave; time.sleep(0.3); __version__ = '1.2'; print('hello')")
    slow = imports(tmp_path, "slow")["slow"]
    assert slow.outcome is Outcome.IMPORTED
    assert slow.origin == str(tmp_path / "slow.py")
    assert slow.version == "1.2"
    assert 0.3 <= slow.seconds < 2
    assert slow.cpu_seconds < slow.seconds
    assert {"slow", "wave"} <= slow.brought.keys()
    assert slow.output == "hello\n"


def test_missing_module_is_told_from_one_that_misses_another(tmp_path: Path) -> None:
    """`missing` is the name that was not found, whichever module wanted it."""
    module(tmp_path, "wants", "import nosuchmodule")
    facts = imports(tmp_path, "nosuch", "wants")
    assert (facts["nosuch"].outcome, facts["nosuch"].missing) == (Outcome.MISSING, "nosuch")
    assert (facts["wants"].outcome, facts["wants"].missing) == (Outcome.MISSING, "nosuchmodule")
    assert facts["wants"].file == str(tmp_path / "wants.py")


def test_raised_error_has_its_place_and_its_causes(tmp_path: Path) -> None:
    """Error, file and line are those of the innermost frame; the text tells what led to it."""
    module(
        tmp_path,
        "raises",
        """
        def fail():
            try:
                int("x")
            except ValueError as problem:
                raise RuntimeError("could not") from problem
        fail()
        """,
    )
    facts = imports(tmp_path, "raises")["raises"]
    assert facts.outcome is Outcome.RAISED
    assert facts.error == "RuntimeError: could not"
    assert (facts.file, facts.line) == (str(tmp_path / "raises.py"), 6)
    assert "ValueError: invalid literal" in facts.traceback
    assert 'int("x")' in facts.traceback


def test_module_that_kills_or_hangs_is_left_out_and_the_others_follow(tmp_path: Path) -> None:
    """Each death is told with its stack, and the modules behind it are imported by a new stage."""
    module(tmp_path, "segfaults", "import ctypes\nctypes.string_at(0)")
    module(tmp_path, "exits", "import os\nos._exit(0)")
    module(tmp_path, "leaves", "raise SystemExit(3)")
    module(tmp_path, "hangs", "def wait():\n    while True: pass\nwait()")
    module(tmp_path, "well", "")
    began = time.monotonic()
    facts = imports(tmp_path, "segfaults", "exits", "leaves", "hangs", "well", deadline=1.0)
    assert time.monotonic() - began < 20
    assert {name: each.outcome for name, each in facts.items()} == {
        "segfaults": Outcome.DIED,
        "exits": Outcome.DIED,
        "leaves": Outcome.RAISED,
        "hangs": Outcome.HUNG,
        "well": Outcome.IMPORTED,
    }
    assert facts["segfaults"].signal == 11
    assert "segfaults.py" in facts["segfaults"].traceback
    assert (facts["exits"].signal, facts["exits"].exit_code) == (0, 0)
    assert "hangs.py" in facts["hangs"].traceback


def test_project_file_hides_what_it_would_hide_in_the_job(tmp_path: Path) -> None:
    """The stage has imported nothing that the job has not, so a shadowing file shows itself."""
    module(tmp_path, "random", "def sample_batch(): ...")
    facts = imports(tmp_path, "tempfile")["tempfile"]
    assert facts.outcome is Outcome.RAISED
    assert "cannot import name 'Random' from 'random'" in facts.error


@pytest.mark.parametrize(
    "hazard", ["", "import threading, time; threading.Thread(target=time.sleep, args=(99,), daemon=True).start()"]
)
def test_check_that_needs_a_module_finds_it_imported(project: Any, hazard: str) -> None:
    """A check runs where what it needs is there already, or in a fresh process where a fork is unsafe."""
    module(project.folder, "heavy", f"import time; time.sleep(0.5)\n{hazard}")
    project.checks(
        "heavy", "@check(needs='heavy')\ndef check_there():\n    assert 'heavy' in sys.modules\n    yield info('seen')"
    )
    (result,) = project.run("imports: [heavy]", only=("heavy",)).results
    assert result.status is Status.PASSED, result
    assert result.findings[0].message == "seen"
    assert (result.seconds > 0.4) is bool(hazard)


def test_file_that_imports_the_experiment_is_loaded_in_the_stage(project: Any) -> None:
    """A check file with the experiment's modules at its top does not make the others wait for them."""
    module(project.folder, "heavy", "import time; time.sleep(2)")
    project.checks("heavy", "import heavy\ndef check_there(): ...")
    project.checks("light", "def check_at_once(): ...")
    light, heavy = sorted(
        project.run("imports: [heavy]", only=("heavy", "light")).results, key=lambda each: each.started
    )
    assert (light.check, heavy.check) == ("light.at-once", "heavy.there")
    assert heavy.status is Status.PASSED
    assert light.started + light.seconds < heavy.started


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "needs gone, which is not installed"),
        ("import ctypes; ctypes.string_at(0)", "needs gone, which cannot be imported"),
    ],
)
def test_check_that_needs_what_is_not_there_is_skipped(project: Any, text: str, reason: str) -> None:
    """A module that is missing or kills the stage is one finding elsewhere, and a reason here."""
    if text:
        module(project.folder, "gone", text)
    project.checks("heavy", "@check(needs='gone')\ndef check_there(): assert False")
    (result,) = project.run("imports: [gone]", only=("heavy",)).results
    assert (result.status, result.reason) == (Status.SKIPPED, reason)


def test_stage_that_dies_later_leaves_answers(project: Any) -> None:
    """Where the process that imported everything is killed while checks run, each of them has its result."""
    module(project.folder, "heavy", "")
    project.checks(
        "heavy",
        """
        @check(needs='heavy')
        def check_kills_its_parent(): os.kill(os.getppid(), signal.SIGKILL); time.sleep(5)
        """,
    )
    (result,) = project.run("imports: [heavy]", only=("heavy",)).results
    assert result.status is Status.BROKEN
    assert "SIGKILL" in result.reason


def test_other_interpreter_is_the_jobs(project: Any, tmp_path: Path) -> None:
    """The job's own interpreter runs the checks, though preflight is not installed there, and finds no module lent."""
    import subprocess

    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    project.checks(
        "python",
        f"""
        def check_prefix(): assert sys.prefix == {str(environment)!r}, sys.prefix
        @check(per="imports")
        def check_nothing_lent(entry, imported): assert imported[entry.name].outcome == "missing", imported
        """,
    )
    report = project.run(f"python: {environment}/bin/python\nimports: [hypothesis, pytest]", only=("python",))
    assert [result.status for result in report.results] == [Status.PASSED] * 3, report.results


def test_interpreter_that_is_not_there_is_a_mistake_of_the_config(project: Any) -> None:
    """A wrong `python:` is told in one line."""
    from preflight.errors import UserError

    with pytest.raises(UserError, match="cannot be used"):
        project.run("python: /nonexistent/python")
    assert shutil.which("true") is not None
    with pytest.raises(UserError, match="does not answer"):
        project.run(f"python: {shutil.which('true')}")


def test_stage_that_falls_silent_is_given_up(project: Any) -> None:
    """A file that hangs only when it is loaded for good costs its deadline, a few seconds, and nothing else."""
    module(project.folder, "heavy", "")
    project.checks(
        "twice",
        """
        import heavy, pathlib
        marker = pathlib.Path("seen")
        if marker.exists(): time.sleep(600)
        marker.touch()
        def check_something(): ...
        """,
    )
    began = time.monotonic()
    (result,) = project.run("imports: [heavy]\ndeadline: 1s", only=("twice",)).results
    assert time.monotonic() - began < 1 + 5 + 15
    assert result.status is Status.BROKEN
    assert "silent for too long" in result.reason


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random", "yaml", "tempfile", "packaging"])
def test_experiment_with_a_module_that_preflight_needs(project: Any, name: str) -> None:
    """What the experiment has imported under such a name is the experiment's, and preflight goes on with its own."""
    module(project.folder, name, "VALUE = 'of the project'")
    project.checks(
        "mine", f"import {name}\n@check(needs='{name}')\ndef check_mine(): assert {name}.VALUE == 'of the project'"
    )
    project.checks("ours", "def check_ours(scratch, tmp_path): ...")
    report = project.run(f"imports: [{name}]", only=("mine", "ours"))
    assert {each.check: each.status for each in report.results} == {"mine.mine": "PASSED", "ours.ours": "PASSED"}, (
        report
    )


def test_relative_entry_of_pythonpath_hides_nothing(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stray yaml on a relative PYTHONPATH does not reach preflight."""
    stray = project.folder / "stray" / "yaml"
    stray.mkdir(parents=True)
    (stray / "__init__.py").write_text("raise ImportError('stray')")
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("PYTHONPATH", "stray")
    project.checks("mine", "def check_mine(): ...")
    assert [each.status for each in project.run(only=("mine",)).results] == [Status.PASSED]
