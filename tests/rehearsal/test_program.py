"""The code inside a program: it is there, it hears of imports, and the program does not see it."""

import sys
from pathlib import Path

import pytest

from preflight.rehearsal.command import Command, read_command
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import Rehearsed, rehearse


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def run(project: Path, text: str, *features: str) -> Rehearsed:
    (project / "train.py").write_text(text)
    orders = Orders(root=project, answers=project.parent / "answers", features=features)
    return rehearse(Command(words=(sys.executable, "train.py")), orders, seconds=20)


def test_each_process_says_that_it_lives(project: Path) -> None:
    program = """
import os, subprocess, sys
if pid := os.fork():
    os.waitpid(pid, 0)
    subprocess.run([sys.executable, "-c", "pass"], check=True)
"""
    done = run(project, program)
    assert done.code == 0, done.output
    assert [event["how"] for event in done.events if event["kind"] == "process"] == ["started", "forked", "started"]


def test_the_program_sees_no_module_of_ours(project: Path) -> None:
    done = run(project, "import sys; print([name for name in sys.modules if 'preflight' in name], sys.path[0])")
    assert done.output.split("]")[0] == "["
    assert done.output.strip().endswith(str(project))


def test_its_own_sitecustomize_runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "sitecustomize.py").write_text("import sys\nsys.mark = 'seen'\n")
    monkeypatch.setenv("PYTHONPATH", str(project))
    done = run(project, "import sys, sitecustomize; print(sys.mark, sitecustomize.__file__)")
    assert done.output == f"seen {project / 'sitecustomize.py'}\n"


def test_what_is_unable_does_not_reach_the_program(project: Path) -> None:
    done = run(project, "print('fine')", "nothing_of_that_name")
    assert done.output == "fine\n"
    assert [event["feature"] for event in done.events if event["kind"] == "unable"] == ["nothing_of_that_name"]


def test_command_lines() -> None:
    assert read_command("python train.py --name 'a b'").words == (sys.executable, "train.py", "--name", "a b")
    assert read_command("A=1 B='x y' python3 t.py").variables == {"A": "1", "B": "x y"}
    assert read_command("torchrun --nproc-per-node 2 t.py").words[0] == "torchrun"
    assert read_command("python a.py && python b.py").words == ("sh", "-c", "python a.py && python b.py")
