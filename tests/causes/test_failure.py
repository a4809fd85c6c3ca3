"""Which of the exceptions of a program is the one that it failed of."""

from collections.abc import Callable

import pytest

from preflight.causes.failure import Failure, culprit
from preflight.causes.rehearsals import why
from preflight.rehearsal.program import Rehearsed

PROGRAMS = {
    "plain": "{}['data']",
    "own_hook": "import sys\nsys.excepthook = lambda *facts: print('mine')\n{}['data']",
    "chained": "try:\n    {}['data']\nexcept KeyError as problem:\n    raise RuntimeError('no data') from problem",
    "left_in_a_handler": "import os\ntry:\n    {}['data']\nexcept KeyError:\n    os._exit(3)",
    "message_of_exit": "import sys\nsys.exit('no data')",
    "thread_then_main": """
import threading
thread = threading.Thread(target=lambda: [][1])
thread.start()
thread.join()
{}['data']
""",
    "handled_before": "try:\n    [][1]\nexcept IndexError:\n    pass\n{}['data']",
    "text_that_fails": """
class Odd(Exception):
    def __str__(self):
        raise ValueError
raise Odd
""",
    "child_of_multiprocessing": """
import multiprocessing, sys
def work():
    {}['data']
process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
sys.exit(process.exitcode)
""",
    "pool": """
import multiprocessing
def work(index):
    return {}['data']
with multiprocessing.get_context("fork").Pool(1) as pool:
    pool.map(work, [1])
""",
    "child_that_may_fail": """
import subprocess, sys
subprocess.run([sys.executable, "-c", "[][1]"])
{}['data']
""",
    "child_that_may_not": """
import subprocess, sys
subprocess.run([sys.executable, "-c", "{}['data']"], check=True)
""",
}
FAILS_OF = {
    "chained": "RuntimeError: no data",
    "message_of_exit": "SystemExit: no data",
    "text_that_fails": "__main__.Odd: <its text cannot be made: ValueError>",
}


@pytest.fixture(scope="module")
def runs(rehearse_all: Callable[..., dict[str, Rehearsed]]) -> dict[str, Rehearsed]:
    return rehearse_all(PROGRAMS, "failures")


def failure_of(done: Rehearsed) -> Failure:
    failure = culprit(done)
    assert failure is not None, done.output
    return failure


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_failed_of(name: str, runs: dict[str, Rehearsed]) -> None:
    assert failure_of(runs[name]).headline == FAILS_OF.get(name, "KeyError: 'data'")


def test_what_it_came_from_is_told(runs: dict[str, Rehearsed]) -> None:
    found = why(runs["chained"])
    assert found is not None
    assert found.cause.endswith("chained.py:4 raises it, after KeyError: 'data'")


def test_the_place_of_an_exit_is_told(runs: dict[str, Rehearsed]) -> None:
    found = why(runs["message_of_exit"])
    assert found is not None
    assert (found.id, found.line) == ("rehearsal.exits", 2)
    assert found.message == "the program fails: no data"


def test_nothing_is_changed_for_the_program(runs: dict[str, Rehearsed]) -> None:
    assert runs["own_hook"].output.endswith("mine\n")
    assert runs["left_in_a_handler"].code == 3
    assert "KeyError: 'data'" in runs["plain"].output
