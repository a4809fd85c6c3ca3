"""How a run is ended from outside, and what its record says then."""

from __future__ import annotations

import getpass

from preflight.launch import ways
from preflight.records.folder import Run
from preflight.records.listing import settled_record
from preflight.records.record import now
from preflight.records.states import State


def stop(run: Run) -> str:
    """Ask the run to end and wait until it has; return a line that says what came of it.

    Raises UserError where it cannot be reached from here, and its record then says nothing of this.
    """
    record = settled_record(run)
    if record.state.is_end:
        return f"{run.name} has ended already: {record.state}"
    ways.of(run, ways.config_of(run)).stop()
    # Its own last word, if it came to one, holds the exit code, which this leaves as it is.
    Run(run.folder, attempt=run.read().attempt).enter(State.STOPPED, reason=f"stopped by {_user()}", ended=now())
    return f"{run.name} is stopped"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "a user"
