"""What the gate adds to the checks that it runs: `python -m benchmarks.gate` prints the median of pairs."""

import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.__main__ import PREFLIGHT, Figure, seconds_of, show, write_trivial_checks

PAIRS = 25
CHECKED = ["--config", "config.yaml", "--only", "trivial"]


def measure_gate() -> list[Figure]:
    """Compare `preflight gate … -- true` with `preflight run …` of the same checks."""
    with tempfile.TemporaryDirectory() as name:
        folder = write_trivial_checks(Path(name, "project"), 10)
        run, gate = [*PREFLIGHT, "run", *CHECKED], [*PREFLIGHT, "gate", *CHECKED, "--", "true"]
        seconds_of(run, folder)
        seconds_of(gate, folder)
        added = [-seconds_of(run, folder) + seconds_of(gate, folder) for _ in range(PAIRS)]
    return [Figure("what the gate adds to a run of ten checks", median(added) * 1000, 60, "ms")]


if __name__ == "__main__":
    sys.exit(show(measure_gate()))
