"""What the gate costs: `python -m benchmarks` prints ratios that were measured in one run, each beside its bar."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROUNDS = 5
DIGITS = Path(__file__).parents[1] / "examples" / "digits"
PREFLIGHT = [sys.executable, "-m", "preflight"]
SAME_IMPORTS = [sys.executable, "-c", "import numpy, torch, yaml, train"]
RUN = [*PREFLIGHT, "run", "--config", "config.yaml"]


class Figure(NamedTuple):
    """One line of the table: less is better, and more than `bar` is too much."""

    name: str
    measured: float
    bar: float
    unit: str


def seconds_of(command: Sequence[str], folder: Path) -> float:
    """Return how long a command takes that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def medians_of(*programs: tuple[Sequence[str], Path]) -> list[float]:
    """Return the median seconds of each program; the rounds take turns, so that a busy minute hits all alike."""
    for program in programs:
        seconds_of(*program)
    rounds = [[seconds_of(*program) for program in programs] for _ in range(ROUNDS)]
    return [median(seconds) for seconds in zip(*rounds, strict=True)]


def measure_example() -> list[Figure]:
    """Compare a run on examples/digits, without its rehearsal, with the bare imports of its program."""
    subprocess.run([sys.executable, "prepare.py"], cwd=DIGITS, check=True)
    text = (DIGITS / "config.yaml").read_text()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as short:
        short.writelines(line for line in text.splitlines(keepends=True) if "rehearsal:" not in line)
        short.flush()
        run, bare = medians_of(([*RUN[:-1], short.name], DIGITS), (SAME_IMPORTS, DIGITS))
    return [Figure("a run on examples/digits / its imports alone", run / bare, 1.35, "x")]


def measure_help() -> list[Figure]:
    """Compare the start of the command with the start of the interpreter."""
    folder = Path.cwd()
    shown, bare = medians_of(([*PREFLIGHT, "--help"], folder), ([sys.executable, "-c", "pass"], folder))
    return [Figure("preflight --help / python -c pass", shown / bare, 3, "x")]


def write_trivial_checks(folder: Path, count: int) -> Path:
    """Write a project of `count` checks that do nothing."""
    checks = "\n\n".join(f"def check_{number:04}_holds():\n    assert True" for number in range(count))
    (folder / "preflight_checks").mkdir(parents=True)
    (folder / "preflight_checks" / "check_trivial.py").write_text(checks)
    (folder / "config.yaml").write_text("preflight: {}\n")
    return folder


def measure_isolation() -> list[Figure]:
    """Compare runs of 1, 500 and 2,000 trivial checks."""
    with tempfile.TemporaryDirectory() as name:
        folders = [write_trivial_checks(Path(name, str(count)), count) for count in (1, 500, 2000)]
        one, some, many = medians_of(*(([*RUN, "--only", "trivial"], folder) for folder in folders))
    return [
        Figure("isolation of one check, over 500", (some - one) / 499 * 1000, 8, "ms"),
        Figure("a check among 2,000 / a check among 500", (many - one) / 1999 / ((some - one) / 499), 1.25, "x"),
    ]


def show(figures: Sequence[Figure]) -> int:
    """Print the table; 1 where a bar is missed."""
    width = max(len(figure.name) for figure in figures) + 2
    print(f"{'':{width}}{'measured':>12}{'at most':>12}")
    for figure in figures:
        missed = "  MISSED" if figure.measured > figure.bar else ""
        print(f"{figure.name:{width}}{figure.measured:>9.2f} {figure.unit:2}{figure.bar:>9g} {figure.unit:2}{missed}")
    return int(any(figure.measured > figure.bar for figure in figures))


if __name__ == "__main__":
    sys.exit(show([*measure_help(), *measure_isolation(), *measure_example()]))
