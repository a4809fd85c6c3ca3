"""The states of a run, and how much each weighs."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """How far a run has come; the last five are ends."""

    CREATED = "created"
    CHECKING = "checking"
    STARTING = "starting"
    RUNNING = "running"
    REQUEUED = "requeued"
    LOST = "lost"
    REFUSED = "refused"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def rank(self) -> int:
        """How much it weighs among the states that were told of one attempt.

        Clocks of machines differ, so that the later time does not decide. An end that is known outweighs `lost`, which
        is only concluded, and `stopped` outweighs the exit code that the stopped job leaves.
        """
        return _RANKS[self]

    @property
    def is_end(self) -> bool:
        """Whether nothing more happens."""
        return self.rank >= _RANKS[State.LOST]


_RANKS = {
    State.CREATED: 0,
    State.CHECKING: 1,
    State.STARTING: 2,
    State.RUNNING: 3,
    State.REQUEUED: 4,
    State.LOST: 5,
    State.REFUSED: 6,
    State.FINISHED: 6,
    State.FAILED: 6,
    State.STOPPED: 7,
}
