"""The scheduler Slurm, asked what has become of jobs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable

_PATIENCE = 10.0


def states_of_jobs(jobs: Iterable[str]) -> dict[str, str] | None:
    """Return the state of each of these jobs (`RUNNING`, `TIMEOUT`, …) by its id, `12` or `12_3` of an array.

    Slurm forgets a job some minutes after its end (MinJobAge in slurm.conf(5)). None where it does not answer.
    """
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "--array", "--noheader", "--states=all", "--format=%i %T", f"--jobs={','.join(jobs)}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    # A single job that it has forgotten is an error, one of several is not.
    if done.returncode and "Invalid job id specified" not in done.stderr:
        return None
    return dict(line.split() for line in done.stdout.splitlines() if len(line.split()) == 2)
