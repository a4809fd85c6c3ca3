"""The runs of a project, the latest last, however many there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from preflight.records.folder import RECORD, Records, Run
from preflight.records.lost import judged
from preflight.records.record import Record
from preflight.system import slurm

Ask = Callable[[Sequence[str]], Mapping[str, str] | None]


def latest(records: Records, count: int | None = None) -> list[Record]:
    """Return the records of the last `count` runs, by default of all, in the order in which they were created.

    Only those that are returned are read: which they are tells the time of a file that is written once.
    """
    names = in_order(records)
    chosen = names[-count:] if count else names
    read = [Run(records.folder / name).read() for name in chosen]
    return sorted(settled(records, read), key=lambda record: record.created)


def in_order(records: Records) -> list[str]:
    """Return the names of all runs in the order in which they were created; none of them is read."""
    folder = os.fspath(records.folder)
    return sorted(records.names(), key=lambda name: (_created(f"{folder}/{name}/{RECORD}"), name))


def settled(records: Records, read: list[Record], ask: Ask = slurm.states_of_jobs) -> list[Record]:
    """Return the records with the states that their runs are really in; Slurm is asked at most once, by `ask`."""
    open_jobs = sorted({record.slurm for record in read if record.slurm and not record.state.is_end})
    jobs = ask(open_jobs) if open_jobs else None
    return [judged(Run(records.folder / record.name, record.attempt), record, jobs) for record in read]


def settled_record(run: Run) -> Record:
    """Return the record of one run, with the state that it is really in."""
    [record] = settled(Records(run.folder.parent), [run.read()])
    return record


def _created(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0
