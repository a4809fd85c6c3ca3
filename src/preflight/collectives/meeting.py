"""One meeting: ranks start on each of several nodes, form a group and add up, and this is how far each came."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from preflight.config.nodes import Nodes
from preflight.model import Presence
from preflight.places.engine import Engine, Gone, Step
from preflight.places.local import lent_to
from preflight.system.group import Member, Phase
from preflight.worker.stage import BOOT

_TICK = 0.2
# Where one has failed, the others get so many seconds to say why they fail as well.
_LINGER = 2.0
# A node tells twice in this time that it lives, and what its ranks do.
_SILENCE = 10.0
# A rank that somebody has stopped is told from one that is stopped for a moment.
_STOPPED = 3.0
# Addresses of the first node that are tried besides its name, each for a few seconds.
_MOST = 6
# What a large group needs besides: so many seconds for each rank.
_EACH = 0.05


@dataclass(slots=True, kw_only=True)
class Met:
    """What became of a meeting.

    `members` are the ranks in order, none where it did not come to that; `outputs` are the last words of those that
    have ended. `network` is what each node says of its
    own (`worker.ranks`), in their order, and `tried` the errors of those that did not reach the first; `gone` are the
    nodes that did not come or fell silent, and `over` says that the job itself was ended. `quiet` is after how many
    seconds without a word it was ended, 0 where something else ended it.
    """

    members: list[Member] = field(default_factory=list)
    outputs: dict[int, str] = field(default_factory=dict)
    network: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    tried: dict[str, Mapping[str, str]] = field(default_factory=dict)
    gone: dict[str, Gone] = field(default_factory=dict)
    over: Gone | None = None
    quiet: float = 0.0

    @property
    def is_done(self) -> bool:
        """Whether all have come to the end."""
        return bool(self.members) and all(member.phase is Phase.DONE for member in self.members)


def meet(
    engine: Engine,
    nodes: Sequence[str],
    wanted: Nodes,
    *,
    python: str = "",
    tick: Callable[[], None] = lambda: None,
) -> Met:
    """Have a rank for each GPU of these nodes, or one for each node where some have none, add up together.

    Of what is `wanted`, `start` are the seconds within which a node must have begun, and a rank have loaded torch, and
    `silence` those without a word from any rank after which the meeting is ended. `tick` is called about every 0.2 s.
    """
    argv = [python or sys.executable, BOOT, "ranks", lent_to(python), engine.own_name]
    meeting = _Meeting(engine.start(argv, nodes), nodes, tick)
    try:
        if not meeting.gathers("hello", wanted.start):
            return meeting.met
        meeting.met.network = {name: meeting.met.network[name] for name in nodes}
        first = meeting.met.network[nodes[0]]
        addresses = [each for name in first["interfaces"].values() for each in name if not each.startswith("127.")]
        meeting.order(order="reach", place=nodes[0], hosts=[first["host"], *addresses[:_MOST]], port=first["port"])
        if meeting.gathers("reached", wanted.start) and not meeting.met.tried:
            meeting.go(wanted.start, wanted.silence)
    finally:
        meeting.step.leave()
        meeting.step.read(_TICK)
        meeting.step.stop()
    return meeting.met


class _Meeting:
    def __init__(self, step: Step, nodes: Sequence[str], tick: Callable[[], None]) -> None:
        self.step, self.met, self._tick = step, Met(), tick
        self._nodes = list(nodes)
        self._said: dict[str, set[str]] = {name: set() for name in nodes}
        self._heard: dict[str, float] = {}
        self._moved = self._began = time.monotonic()
        self._stopped: dict[int, float] = {}

    def order(self, **order: Any) -> None:
        """Send one order to all."""
        self.step.write(json.dumps(order).encode() + b"\n")

    def gathers(self, kind: str, seconds: float) -> bool:
        """Hear until every node has said this; where some do not, they are gone."""
        until = time.monotonic() + seconds
        parting = float("inf")
        while missing := [name for name in self._nodes if kind not in self._said[name]]:
            self._hear()
            if self.met.over or set(missing) <= self.met.gone.keys() or time.monotonic() > parting:
                break
            if time.monotonic() > until:
                presence = Presence.ABSENT if kind == "hello" else Presence.SILENT
                gone = Gone(presence, f"nothing heard of it within {seconds:g} s")
                self.met.gone = dict.fromkeys(missing, gone) | self.met.gone
            if self.met.gone:
                parting = min(parting, time.monotonic() + _LINGER)
        return not (self.met.over or self.met.gone)

    def go(self, start: float, patience: float) -> None:
        """Start the ranks, and hear them until all are done, or it is known that this will not be."""
        number = 0
        ranks: dict[str, tuple[int, list[str]]] = {}
        count = min(int(self.met.network[name]["devices"]) for name in self._nodes)
        for name in self._nodes:
            devices = [f"cuda:{each}" for each in range(int(self.met.network[name]["devices"]))] if count else ["cpu"]
            ranks[name] = (number, devices)
            self.met.members += [
                Member(rank=rank, device=device, node=name) for rank, device in enumerate(devices, number)
            ]
            number += len(devices)
        patience += _EACH * number
        limit = start + 10 * patience
        port = self.met.network[self._nodes[0]]["port"]
        self.order(order="go", ranks=ranks, number=number, port=port, seconds=limit)
        self._moved = self._began = time.monotonic()
        until = self._began + limit
        while not self.met.is_done and not self.met.over and (now := time.monotonic()) < until:
            self._hear()
            self._look_for_silence()
            if self.met.gone or any(member.failed for member in self.met.members):
                until = min(until, now + _LINGER)
            if self._stopped and now > min(self._stopped.values()) + _STOPPED:
                break
            loading = any(member.phase in (Phase.NONE, Phase.STARTED) for member in self.met.members)
            allowed = max(start, patience) if loading else patience
            if now > self._moved + allowed:
                self.met.quiet = allowed
                break

    def _look_for_silence(self) -> None:
        for name, heard in self._heard.items():
            if (seconds := time.monotonic() - heard) > _SILENCE:
                why = f"nothing heard of it for {seconds:.0f} s"
                self.met.gone.setdefault(name, Gone(Presence.SILENT, why))

    def _hear(self) -> None:
        self._tick()
        for name, message in self.step.read(_TICK):
            if name in self._said:
                self._heard[name] = time.monotonic()
                self._said[name].add(message["kind"])
                self._take(name, message)
        self.met.over = self.step.over
        for name, gone in self.step.gone.items():
            self.met.gone.setdefault(name, gone)
        if self.step.ended and not (self.met.gone or self.met.over):
            why = "it ended without its last word" + (f": {self.step.words}" if self.step.words else "")
            for name in self._nodes:
                self.met.gone.setdefault(name, Gone(Presence.LOST, why))

    def _take(self, name: str, message: Mapping[str, Any]) -> None:
        facts = {key: value for key, value in message.items() if key not in ("kind", "rank")}
        match message["kind"]:
            case "hello":
                self.met.network[name] = facts
            case "reached" if not message["by"]:
                self.met.tried[name] = message["tried"]
            case "rank":
                self._know(message["rank"], lambda member: member.told(facts, self._after))
            case "ended":
                self.met.outputs[message["rank"]] = message["output"]
                self._know(message["rank"], lambda member: self._ended(member, message))
            case "beat":
                for rank, state in message["states"].items():
                    self._see(int(rank), state)

    def _know(self, rank: int, change: Callable[[Member], Member]) -> None:
        self.met.members[rank] = change(self.met.members[rank])
        self._moved = time.monotonic()

    def _see(self, rank: int, state: str) -> None:
        self.met.members[rank] = replace(self.met.members[rank], state=state)
        if state == "T":
            self._stopped.setdefault(rank, time.monotonic())
        else:
            self._stopped.pop(rank, None)

    def _ended(self, member: Member, message: Mapping[str, Any]) -> Member:
        if member.failed:
            return member
        return replace(member, ended=message["ended"], after=self._after)

    @property
    def _after(self) -> float:
        return time.monotonic() - self._began
