"""What starts programs on many nodes and hears them: the words that every such engine speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from preflight.worker.wire import Message

TYPE_CHECKING = False
if TYPE_CHECKING:  # a worker is to be started before what these bring is loaded
    from preflight.model import Presence


class Gone(NamedTuple):
    """What became of a place that did not say its last word; `reason` is one line, never empty."""

    presence: Presence
    reason: str


class Step(Protocol):
    """One program that runs on several nodes at once, and speaks on its standard output in frames (`worker.wire`).

    `gone` is what the engine itself tells of single nodes: ABSENT where the program could not be started, LOST where it
    died; `over` what it tells of all: that the job was cancelled, or its time is up; `words` is the last thing that it
    said. They grow while the step is read.
    """

    @property
    def nodes(self) -> Sequence[str]:
        """The nodes that it was started on."""

    @property
    def gone(self) -> Mapping[str, Gone]:
        """What the engine tells of nodes."""

    @property
    def over(self) -> Gone | None:
        """What the engine tells of all of them."""

    @property
    def words(self) -> str:
        """What the engine said last."""

    def write(self, data: bytes) -> None:
        """Send bytes to the standard input of every process of the step."""

    def read(self, timeout: float) -> Sequence[tuple[str, Message]]:
        """Return what was said since, each message with the name in its frame, after at most `timeout` seconds."""

    @property
    def ended(self) -> bool:
        """True once the engine has ended the step and all that was said has been read."""

    def leave(self) -> None:
        """Close the standard inputs, by which our programs end and kill what they started; returns at once."""

    def stop(self) -> None:
        """Let go of the step at once, whether it has ended or not; can be called twice."""


class Engine(Protocol):
    """What starts steps on nodes: Slurm, ssh.

    `kind` is what its places are called (`slurm`); `nodes` are the names of all of them; `own_name` is the word in an
    argv that stands for the name of the node that it comes to (`$SLURMD_NODENAME`, which the program itself replaces
    by the variable: `preflight.worker.process.own_name`).
    """

    @property
    def kind(self) -> str:
        """What its places are called."""

    @property
    def nodes(self) -> Sequence[str]:
        """The names of its nodes."""

    @property
    def own_name(self) -> str:
        """The word that stands for a node's own name."""

    def start(self, argv: Sequence[str], nodes: Sequence[str]) -> Step:
        """Start `argv` on these nodes, one process on each; raises UserError where the engine is not there at all."""
