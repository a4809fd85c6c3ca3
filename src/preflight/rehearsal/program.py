"""One run of the experiment's program in a process of its own, to its end or for a given time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from preflight.rehearsal.command import Command
from preflight.rehearsal.events import Event, read_events
from preflight.rehearsal.orders import Orders
from preflight.system.kernel import kill_group


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What one run did: `code` is the exit code, negative for a signal, None where its time ran out first.

    `output` is what it printed on both streams; `seconds` how long it ran.
    """

    code: int | None
    seconds: float
    output: str
    events: Sequence[Event]


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
    try:
        output = process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        kill_group(process.pid)
        output = process.communicate()[0]
        return Rehearsed(code=None, seconds=seconds, output=output.decode(), events=read_events(orders.answers))
    ran = time.monotonic() - began
    return Rehearsed(
        code=process.returncode,
        seconds=ran,
        output=output.decode("utf-8", "replace"),
        events=read_events(orders.answers),
    )
