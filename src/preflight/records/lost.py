"""What has become of a run that nobody has told the end of: by its process, its signs of life, or its scheduler."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from preflight.quantities import format_duration
from preflight.records.folder import Run
from preflight.records.record import Record
from preflight.records.states import State

# The clocks of a file server and of this machine differ, and a node that swaps may be late.
SILENCE = 600.0
# Between the launcher's last word and the first of the job.
HANDOVER = 60.0

# Those of squeue(1) that are an end; what is in none of these may still go on.
_ENDS = {
    "COMPLETED": State.FINISHED,
    "CANCELLED": State.STOPPED,
    "PREEMPTED": State.STOPPED,
    "REVOKED": State.STOPPED,
    "FAILED": State.FAILED,
    "TIMEOUT": State.FAILED,
    "DEADLINE": State.FAILED,
    "OUT_OF_MEMORY": State.FAILED,
    "NODE_FAIL": State.LOST,
    "BOOT_FAIL": State.LOST,
    "LAUNCH_FAILED": State.LOST,
    "RECONFIG_FAIL": State.LOST,
}


_WAITS = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"})

Found = dict[str, Any]


def judged(run: Run, record: Record, jobs: Mapping[str, str] | None) -> Record:
    """Return the record with the state that the run is really in, and why.

    `jobs` are the states of Slurm's jobs, None where it did not answer or was not asked. What Slurm says of an end is
    written down, for it soon forgets.
    """
    if record.state.is_end:
        return record
    found = _by_slurm(run, record, jobs) if record.slurm else _by_process(run, record)
    return replace(record, **found) if found else record


def _by_process(run: Run, record: Record) -> Found | None:
    silence = _silence(run)
    process = record.job or record.launcher
    alive = process.is_alive if process else None
    if process is not None and alive is False:
        if record.state is State.STARTING and record.job is None and silence < HANDOVER:
            return None
        what = "its process" if record.job else "the launcher"
        return _lost(f"{what} {process.pid} on {process.host} is gone and left no exit code")
    if alive is None and silence > SILENCE:
        where = process.host if process else record.host or "an unknown host"
        return _lost(f"no sign of life from {where} for {format_duration(silence)}")
    return None


def _by_slurm(run: Run, record: Record, jobs: Mapping[str, str] | None) -> Found | None:
    silence = _silence(run)
    if jobs is None:
        mute = record.state is State.RUNNING and silence > SILENCE
        return _lost(f"Slurm does not answer, and its job {record.slurm} gives no sign of life") if mute else None
    told = jobs.get(record.slurm)
    if told is None:
        return _lost(f"Slurm does not know its job {record.slurm} any more") if silence > HANDOVER else None
    reason = f"Slurm: {told} (job {record.slurm})"
    if told in _WAITS:
        if record.state is State.REQUEUED:
            return None
        return {"state": State.STARTING, "reason": reason}
    end = _ENDS.get(told)
    # The job may be writing its own end in this moment.
    if end is None or (end is State.FINISHED and silence < HANDOVER):
        return None
    found: Found = {"state": end, "reason": reason, **({"exit_code": 0} if end is State.FINISHED else {})}
    with suppress(OSError):
        run.enter(**found)
    return found


def _lost(reason: str) -> Found:
    return {"state": State.LOST, "reason": reason}


def _silence(run: Run) -> float:
    """Return the seconds since anything was written into the folder: an event, a line of the log, a sign of life."""
    newest = 0.0
    with suppress(OSError), os.scandir(run.folder) as entries:
        newest = max((entry.stat().st_mtime for entry in entries), default=0.0)
    return max(0.0, time.time() - newest)
