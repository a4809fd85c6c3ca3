"""One run of the experiment's program in processes of its own, to its end or for a given time."""

from __future__ import annotations

import json
import os
import random
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from preflight.rehearsal.command import Command
from preflight.rehearsal.events import Event, read_events
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.view import View, ViewRefused, Written, written_in
from preflight.system.kernel import kill_group, nameless_file
from preflight.system.limits import oom_kills, tasks
from preflight.system.tail import Tail

_KEEPER = str(Path(__file__).with_name("keeper") / "__main__.py")
_KEPT = 512 * 1024
# Beyond its time the program's stacks are asked for and its processes killed; a keeper that is silent after so many
# seconds more is killed itself.
_PATIENCE = 15.0
# Seconds within which a view is made; it takes some milliseconds.
_START = 20.0
# Programs of many workers stay far below this, for each processor.
_MOST_PROCESSES, _PER_PROCESSOR = 256, 32


class Way(StrEnum):
    """How what a program wrote was kept from its user's folders."""

    VIEW = "view"
    PATHS = "paths"
    IN_PLACE = "in place"


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A process that was still there when the program had ended: its id in the events, its command line."""

    pid: int
    argv: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What one run did.

    `code` is the exit code, negative for a signal, None where it did not end by itself. Why it was ended then says
    `stopped`: its `time` was up, `full` was the folder for what it writes, it had too many `processes`; or it is
    `missing`, there is no such program. `idle` is for how many seconds no processor had worked for it when its time
    was up, and `stacks` where each of its threads was then. `output` is what it printed on both streams, the middle
    left out where long, and `printed` how many bytes that was. `left` are processes that stayed when it had ended.
    `way` says where its writes went, and `refused` why not to a view. `written` is what it left in files there,
    `sealed` which mounts were read-only for it, with the reason. `starved` is how many processes of this machine the
    kernel killed meanwhile for want of memory. `resumed` is the run of the command that goes on from what it saved,
    None where there was none.
    """

    code: int | None
    seconds: float
    output: str
    events: Sequence[Event]
    printed: int = 0
    stopped: str = ""
    idle: float = 0.0
    stacks: str = ""
    left: Sequence[Left] = ()
    starved: int = 0
    way: Way = Way.IN_PLACE
    refused: str = ""
    written: Sequence[Written] = ()
    sealed: Sequence[tuple[str, str]] = ()
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
        plain = {
            "written": [Written(**each) for each in data["written"]],
            "way": Way(data["way"]),
            "left": [Left(**each) for each in data["left"]],
            "sealed": [(point, why) for point, why in data["sealed"]],
            "resumed": resumed and cls.from_json(resumed),
        }
        return cls(**{**data, **plain})


def rehearse(command: Command, orders: Orders, *, seconds: float, view: View | None = None) -> Rehearsed:
    """Run the program under its orders for at most `seconds` and return what it did; nothing of it is left running.

    What it writes goes to `view`, or where the program says without one. Raises ViewRefused where the kernel does not
    allow a view.
    """
    orders.answers.mkdir(parents=True, exist_ok=True)
    environment = orders.environment(command.environment())
    plain: dict[str, Any] = {
        "words": command.words,
        "folder": str(orders.root),
        "seconds": seconds,
        "processes": _most_processes(),
        # A namespace counts from 1: ids that say so would be the same in each run, and seeds made of them too.
        "first_pid": random.randrange(1000, 30000),  # noqa: S311 - no secret
        "view": view and view.specification([orders.answers]),
        "floor": view.floor() if view else 0,
    }
    hanging = plain["view"]["hanging"] if plain["view"] else []
    refused = ""
    # Where /proc cannot be mounted anew, as in many containers, the program lives without a namespace of ids.
    for alone in (True, False) if view else (False,):
        began, starved = time.monotonic(), oom_kills()
        output, told = _keep({**plain, "alone": alone}, environment, seconds + _PATIENCE)
        refused = told.get("unable", "")
        if not refused:
            done = _rehearsed(orders, told, output, time.monotonic() - began)
            if view and "layers" not in told:
                raise ViewRefused(f"the view is not there after {_START:.0f} s: a file system does not answer")
            sealed = [*done.sealed, *((point, "it does not answer") for point in hanging)]
            return replace(done, sealed=sealed, way=Way.VIEW if view else Way.IN_PLACE, starved=oom_kills() - starved)
    raise ViewRefused(refused)


def _most_processes() -> int:
    most, limit = max(_MOST_PROCESSES, _PER_PROCESSOR * (os.cpu_count() or 1)), tasks()
    return min(most, limit.left // 2) if limit else most


def _keep(specification: Mapping[str, Any], environment: Mapping[str, str], seconds: float) -> tuple[Tail, Any]:
    """Run the keeper; return what the program printed, and all that the keeper said."""
    source = nameless_file()
    os.write(source, json.dumps(specification).encode())
    os.lseek(source, 0, os.SEEK_SET)
    report, reporting = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", _KEEPER, str(source), str(reporting)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(source, reporting),
        )
    finally:
        os.close(source)
        os.close(reporting)
    try:
        return _listen(process, report, seconds, is_covered=bool(specification["view"]))
    finally:
        kill_group(process.pid)
        with suppress(subprocess.TimeoutExpired):  # one that the kernel does not let go of is left behind
            process.wait(5)
        os.close(report)


def _listen(
    process: subprocess.Popen[bytes], report: int, seconds: float, *, is_covered: bool
) -> tuple[Tail, dict[str, Any]]:
    """Read what comes until the keeper has ended, or is silent for longer than it may be."""
    assert process.stdout is not None
    output, said = Tail(_KEPT), b""
    until = time.monotonic() + seconds
    with process.stdout as stream, selectors.DefaultSelector() as selector:
        for each in (stream, report):
            os.set_blocking(each if isinstance(each, int) else each.fileno(), False)
            selector.register(each, selectors.EVENT_READ)
        started = time.monotonic() + (_START if is_covered else seconds)
        while report in selector.get_map() and time.monotonic() < (until if said else min(until, started)):
            for key, _ in selector.select(0.5):
                data = os.read(key.fd, 1 << 18)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fd == report:
                    said += data
                else:
                    output.add(data)
        while stream in selector.get_map() and selector.select(0) and (data := os.read(stream.fileno(), 1 << 18)):
            output.add(data)
    facts: dict[str, Any] = {}
    for line in said.splitlines():
        facts |= json.loads(line)
    return output, facts


def _rehearsed(orders: Orders, told: Mapping[str, Any], output: Tail, seconds: float) -> Rehearsed:
    layers = [(layer, point) for layer, point in told.get("layers", ())]
    missing = told.get("missing", "")
    # By the time at which their processes began.
    files = sorted(orders.answers.glob("*.stack"), key=lambda file: int(file.stem.partition("-")[2]))
    stacks = "\n".join(text for file in files if (text := file.read_text(errors="replace")))
    return Rehearsed(
        code=told.get("code"),
        seconds=seconds,
        output=f"{missing}: {told['why']}" if missing else output.text(),
        events=read_events(orders.answers),
        printed=output.size,
        stopped="missing" if missing else told.get("stopped", "time"),
        idle=told.get("idle", 0.0),
        stacks=stacks,
        left=[Left(**each) for each in told.get("left", ())],
        written=list(written_in(layers)),
        sealed=[(point, why) for point, why in told.get("sealed", ())],
    )
