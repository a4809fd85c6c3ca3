"""What is started wherever a run is to run: the checks that belong there, then the job, all of it on record."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from preflight.errors import UserError
from preflight.launch import ways
from preflight.launch.supervision import Ending, Log, supervise
from preflight.records.folder import Records, Run
from preflight.records.life import Life, host
from preflight.records.record import now
from preflight.records.states import State

# What says where and as what a job runs; nothing in it is a secret.
_TOLD = (
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "CONDA_PREFIX", "VIRTUAL_ENV", "TMPDIR", "LANG", "LC_ALL"),
    *("SLURM_JOB_ID", "SLURM_JOB_PARTITION", "SLURM_JOB_NODELIST", "SLURM_JOB_NUM_NODES", "SLURM_CPUS_ON_NODE"),
    *("SLURM_JOB_GPUS", "SLURM_RESTART_COUNT", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"),
)


def carry_out(folder: Path) -> int:
    """Be the run whose record is in `folder`, and return the exit code of its job, or 125 where it is refused."""
    run = Run(folder)
    if run.read().way == "slurm":  # another way may have been taken inside of somebody's job
        run = _of_task(Run(folder, attempt=int(os.environ.get("SLURM_RESTART_COUNT", "0"))))
    record = run.read()
    log = Log(run.log)
    try:
        run.know(host=host(), job=Life.of(), **({"slurm": _slurm_job()} if record.way == "slurm" else {}))
        _tell_world(run, log)
        way = ways.of(run, ways.config_of(run))
        if way.there and (code := _admit(run, way, log)):
            return code
        run.enter(State.RUNNING, started=now())
        log.say(f"starts {list(record.command)}")
        ending = supervise(run, way.command(), Path(record.checkout), log, shown=way.is_shown)
    except UserError as problem:
        log.say(str(problem))
        with suppress(OSError):
            run.enter(State.FAILED, exit_code=getattr(problem, "exit_code", 125), reason=problem.message, ended=now())
        raise
    except OSError as problem:
        raise UserError(f"the run is not started: {problem.strerror}", where=str(problem.filename or "")) from None
    _end(run, ending, way.ended(ending), log)
    return ending.code


def _of_task(run: Run) -> Run:
    """Return the run itself; for a task of a Slurm array one of its own, called NAME-TASK."""
    task = os.environ.get("SLURM_ARRAY_TASK_ID", "")
    if not task:
        return run
    record, name = run.read(), f"{run.name}-{task}"
    with suppress(UserError):  # this is another attempt
        text = run.config.read_text(encoding="utf-8") if run.config.exists() else ""
        Records(run.folder.parent).create(replace(record, name=name, state=State.CREATED, flaws=()), config=text)
    return Run(run.folder.with_name(name), attempt=run.attempt)


def _slurm_job() -> str:
    """Return the id that squeue shows: `12`, or `12_3` of an array."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{word}_ID", "") for word in ("JOB", "TASK"))
    return f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID", "")


def _tell_world(run: Run, log: Log) -> None:
    told = {name: os.environ[name] for name in _TOLD if name in os.environ}
    run.append("environment", variables=told, python=sys.version.split()[0], process=os.getpid())
    log.say(f"{run.name} on {host()}, process {os.getpid()}, attempt {run.attempt}")
    for name, value in told.items():
        log.say(f"{name}={value}")


def _admit(run: Run, way: ways.Way, log: Log) -> int:
    from preflight.launch import checks

    place = way.workers()
    try:
        strict = way.record.strict
        code = checks.admit(
            run, way.config, way.there, strict=strict, place=place, start_again=way.start_again, say=log.say
        )
    finally:
        if place is not None:
            place.close()
    if (record := run.read()).state is State.REQUEUED:
        log.say(f"{record.state}: {record.reason}")
    return code


def _end(run: Run, ending: Ending, told: Mapping[str, Any], log: Log) -> None:
    reason = ""
    state = State.FINISHED if ending.code == 0 else State.FAILED
    if ending.code > 128:
        reason = f"killed by {_name(ending.code - 128)}"
    if ending.asked or ending.code == 128 + signal.SIGINT:  # which a terminal sends to the job itself
        state, reason = State.STOPPED, f"asked to end by {_name(ending.asked or signal.SIGINT)}"
    facts = {"state": state, "exit_code": ending.code, "reason": reason, "ended": now(), **told}
    log.say(f"{facts['state']}, exit code {ending.code}" + (f": {facts['reason']}" if facts["reason"] else ""))
    try:
        run.enter(**facts)
    except OSError as problem:  # the job has run all the same
        sys.stderr.write(f"preflight: the end of {run.name} cannot be recorded: {problem.strerror}\n")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
