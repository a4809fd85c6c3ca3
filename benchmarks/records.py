"""What tying a run to its code costs, and listing many runs: `python -m benchmarks.records`."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.__main__ import PREFLIGHT, ROUNDS, Figure, seconds_of, show

from preflight.launch.checkout import check_out
from preflight.launch.snapshot import take
from preflight.records.folder import Records
from preflight.records.record import Record, now
from preflight.records.states import State

FILES, RUNS = 20_000, 10_000
GIT = ("git", "-c", "user.name=A", "-c", "user.email=a@example.org")


def write_repository(folder: Path) -> Path:
    """Write a repository of 20,000 files, one of which differs from the commit."""
    folder.mkdir()
    subprocess.run([*GIT, "init", "--quiet"], cwd=folder, check=True)
    for number in range(FILES):
        file = folder / f"{number // 100}" / f"{number}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"x = {number}\n")
    subprocess.run([*GIT, "add", "."], cwd=folder, check=True)
    subprocess.run([*GIT, "commit", "--quiet", "--message=many"], cwd=folder, check=True)
    (folder / "0" / "0.py").write_text("x = 'changed'\n")
    return folder


def by_hand(top: Path, folder: Path) -> float:
    """Return the seconds of what a careful person types."""
    start = time.perf_counter()
    stash = subprocess.run([*GIT, "stash", "create"], cwd=top, check=True, capture_output=True, text=True).stdout
    add = ["worktree", "add", "--quiet", "--detach", str(folder), stash.strip()]
    subprocess.run([*GIT, *add], cwd=top, check=True, capture_output=True)
    return time.perf_counter() - start


def by_preflight(top: Path, folder: Path) -> float:
    """Return the seconds of a snapshot and its checkout."""
    start = time.perf_counter()
    check_out(top, take(top, folder.name).commit, folder)
    return time.perf_counter() - start


def measure_snapshot(scratch: Path) -> Figure:
    """Compare a snapshot and its checkout with the commands of git that come nearest; both take turns."""
    top = write_repository(scratch / "project")
    rounds = []
    for number in range(ROUNDS):
        pair = []
        for way in (by_hand, by_preflight)[:: 1 if number % 2 else -1]:
            folder = scratch / f"{way.__name__} {number}"
            pair.append((way.__name__, way(top, folder)))
            shutil.rmtree(folder)
        seconds = dict(pair)
        rounds.append(seconds["by_preflight"] / seconds["by_hand"])
    return Figure(
        f"snapshot and checkout of {FILES:,} files / git stash create and worktree add", median(rounds), 1.5, "x"
    )


def write_records(root: Path) -> None:
    """Write 10,000 records of runs that ended, by copying one of each kind."""
    records = Records(root / ".preflight" / "runs")
    command = ("python", "train.py", "--config", "foo.yaml", "--lr", "3e-4")
    run = records.create(Record(name="first", command=command, commit="0" * 40))
    for state in (State.CHECKING, State.STARTING, State.RUNNING):
        run.enter(state, started=now())
    for number in range(8):
        run.append("command", argv=["git", "status", str(number)], code=0, seconds=0.1)
    run.enter(State.FINISHED, exit_code=0, ended=now())
    for number in range(RUNS - 1):
        shutil.copytree(run.folder, records.folder / f"run-{number:05}")


def measure_listing(scratch: Path) -> list[Figure]:
    """Time `preflight runs` over 10,000 records: the last ones, and all."""
    root = scratch / "many"
    write_records(root)
    figures = []
    for words, bar in (((), 0.5), (("--last", "0", "--json"), 5.0)):
        command = [*PREFLIGHT, "runs", *words]
        seconds_of(command, root)
        figure = median(seconds_of(command, root) for _ in range(ROUNDS))
        figures.append(Figure(f"preflight {' '.join(('runs', *words))} of {RUNS:,} records", figure, bar, "s"))
    return figures


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as name:
        sys.exit(show([measure_snapshot(Path(name)), *measure_listing(Path(name))]))
