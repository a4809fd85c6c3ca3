"""What a rehearsal costs: `python -m benchmarks.rehearsal` prints what was measured in one run.

The imports of the example are those of its program and of its first optimizer step, which loads a good part of torch:
a run of the program needs them anyway. `true` is the shortest program there is: what is left is the view's.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.__main__ import DIGITS, ROUNDS, Figure, show

from preflight import config
from preflight.rehearsal.command import Command
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import rehearse
from preflight.rehearsal.standard import standard_run
from preflight.rehearsal.view import open_view

STEP = "import train; train.Training(train.load_settings('config.yaml'), 0).optimizer.step()"


def run_true(folder: Path, covered: bool) -> float:
    """Return the seconds of a program that does nothing, in a view or without one."""
    view = open_view(folder) if covered else None
    try:
        return rehearse(Command(words=("true",)), Orders(root=folder, answers=folder), seconds=20, view=view).seconds
    finally:
        if view:
            view.remove()


def run_example(folder: Path) -> float:
    """Return the seconds of the example's rehearsal."""
    return standard_run(config.load(DIGITS / "config.yaml", root=DIGITS), folder / "run").seconds


def run_imports(folder: Path) -> float:
    """Return the seconds of the example's imports, started as the rehearsal starts them."""
    orders = Orders(root=DIGITS, answers=folder)
    done = rehearse(Command(words=(sys.executable, "-c", STEP)), orders, seconds=60)
    assert done.code == 0, done.output
    return done.seconds


def medians_of(*measures: Callable[[Path], float]) -> list[float]:
    """Return the median seconds of each; the rounds take turns, so that a busy minute hits all alike."""
    rounds = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            folders = [Path(name, str(number)) for number in range(len(measures))]
            for folder in folders:
                folder.mkdir()
            rounds.append([measure(folder) for measure, folder in zip(measures, folders, strict=True)])
    return [median(seconds) for seconds in zip(*rounds, strict=True)]


def measure() -> list[Figure]:
    """Measure the start of a view, and the example."""
    subprocess.run([sys.executable, "prepare.py"], cwd=DIGITS, check=True)
    covered, bare = medians_of(lambda folder: run_true(folder, True), lambda folder: run_true(folder, False))
    example, imports = medians_of(run_example, run_imports)
    return [
        Figure("the start of a view", (covered - bare) * 1000, 100, "ms"),
        Figure("the example's rehearsal beyond its imports", example - imports, 5, "s"),
    ]


if __name__ == "__main__":
    sys.exit(show(measure()))
