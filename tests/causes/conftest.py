"""Many small programs rehearsed at once: one process imports torch, and each program runs in a fork of it."""

import json
import socket
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from preflight.rehearsal.command import Command
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import Rehearsed, rehearse

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "", "DISPLAY": ""}
# The end of an interpreter that holds torch takes seconds after a fork, and is nobody's business here.
DRIVER = """
import atexit, json, os, runpy, sys
import matplotlib.pyplot, multiprocessing.process, sklearn.datasets
import torch._dynamo, torch.nn.parallel, torch.multiprocessing, torch.utils.data

def run(name):
    file = os.open(f"{name}.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = [f"programs/{name}.py"]
    try:
        runpy.run_path(f"programs/{name}.py", run_name="__main__")
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else bool(leaving.code)
    except BaseException as problem:
        sys.last_value = problem
        sys.excepthook(type(problem), problem, problem.__traceback__)
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

ends = {}
for name in sorted(each[:-3] for each in os.listdir("programs")):
    if not (pid := os.fork()):
        run(name)
    ends[name] = (pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
json.dump(ends, open("ends.json", "w"))
"""


def command_for(*words: str) -> Command:
    """Return the command that runs this Python with some words."""
    return Command(words=(sys.executable, *words), variables=ENVIRONMENT)


@pytest.fixture(scope="session")
def rehearse_all(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Rehearsed]]:
    """Return `rehearse_all(programs, *features, **settings)`: what each program, by its name, did."""

    def run(programs: Mapping[str, str], *features: str, **settings: Any) -> dict[str, Rehearsed]:
        root = tmp_path_factory.mktemp("rehearsed")
        (root / "programs").mkdir()
        (root / "driver.py").write_text(DRIVER)
        for name, text in programs.items():
            (root / "programs" / f"{name}.py").write_text(textwrap.dedent(text))
        orders = Orders(root=root, answers=root / "answers", features=features, settings=settings)
        whole = rehearse(command_for("driver.py"), orders, seconds=200)
        assert whole.code == 0, whole.output
        ends = json.loads((root / "ends.json").read_text())
        return {name: _part(whole, pid, code, root / f"{name}.txt") for name, (pid, code) in ends.items()}

    return run


def _part(whole: Rehearsed, pid: int, code: int, output: Path) -> Rehearsed:
    pids = {pid}
    for event in whole.of("process"):
        if event["parent"] in pids:
            pids.add(event["pid"])
    events = [event for event in whole.events if event["pid"] in pids]
    return Rehearsed(code=code, seconds=0, output=output.read_text(), events=events)


@pytest.fixture(scope="session")
def rehearse_one(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Rehearsed]:
    """Return `rehearse_one(program, *features, command=…)`: what a program did in a process of its own."""

    def run(program: str, *features: str, command: tuple[str, ...] = ("train.py",), **settings: Any) -> Rehearsed:
        root = tmp_path_factory.mktemp("rehearsed")
        (root / "train.py").write_text(textwrap.dedent(program))
        orders = Orders(root=root, answers=root / "answers", features=features, settings=settings)
        return rehearse(command_for(*command), orders, seconds=100)

    return run


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Return a function that returns a port which nothing listens on."""

    def find() -> int:
        with socket.socket() as asked:
            asked.bind(("127.0.0.1", 0))
            return int(asked.getsockname()[1])

    return find
