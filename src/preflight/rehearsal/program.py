"""One run of the experiment's program in a process of its own, to its end or for a given time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from preflight.rehearsal.command import Command
from preflight.rehearsal.events import Event, read_events
from preflight.rehearsal.orders import Orders
from preflight.system.kernel import kill_group


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file that the program wrote: its real path, its size in bytes, whether there was none of that name before."""

    path: str
    bytes: int
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What one run did: `code` is the exit code, negative for a signal, None where it did not end by itself.

    `stopped` says in a word why it was ended then: `time` ran out. `output` is what it printed on both streams;
    `seconds` how long it ran; `written` what it left in files; `resumed` is the run of the command that goes on from
    what it saved, None where there was none.
    """

    code: int | None
    seconds: float
    output: str
    events: Sequence[Event]
    stopped: str = ""
    written: Sequence[Written] = ()
    resumed: Rehearsed | None = None

    def of(self, *kinds: str) -> list[Event]:
        """Return the events of these kinds, in order."""
        return [event for event in self.events if event["kind"] in kinds]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rehearsed:
        """Read what `to_json` wrote."""
        resumed = data["resumed"]
        written = [Written(**each) for each in data["written"]]
        return cls(**{**data, "written": written, "resumed": resumed and cls.from_json(resumed)})


def rehearse(command: Command, orders: Orders, *, seconds: float) -> Rehearsed:
    """Run the program under its orders for at most `seconds` and return what it did; nothing of it is left running."""
    orders.answers.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    process = subprocess.Popen(
        command.words,
        cwd=orders.root,
        env=orders.environment(command.environment()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    stopped = ""
    try:
        output = process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        stopped = "time"
        kill_group(process.pid)
        output = process.communicate()[0]
    return Rehearsed(
        code=None if stopped else process.returncode,
        seconds=time.monotonic() - began,
        output=output.decode("utf-8", "replace"),
        events=read_events(orders.answers),
        stopped=stopped,
    )
