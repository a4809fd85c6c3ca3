"""A worker on each of many nodes: started, asked and heard through an engine, and never waited for without end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from preflight.model import Presence
from preflight.places.engine import Engine, Gone, Step
from preflight.places.local import internal, lent_to, longest_deadline
from preflight.worker.stage import BOOT
from preflight.worker.wire import Message

TYPE_CHECKING = False
if TYPE_CHECKING:  # the workers are to be started before what these bring is loaded
    from preflight.config import Config
    from preflight.config.nodes import Nodes as Wanted

# Where so many seconds, or so many times what half of the nodes needed, have not brought a node's first word, those
# that have spoken go on without it: an engine may end the whole step for the sake of the one.
_GRACE = 3.0
_TIMES = 3.0
# A node that has fallen silent and lives answers a greeting within so many seconds.
_GREETING = 5.0
_TICK = 0.2
_PARTING = 0.5


@dataclass(slots=True, eq=False)
class _Group:
    """Nodes that one step serves.

    `left` have not ended, and of them `unheard` have not said hello; `hello` are the seconds that the others needed for
    it, in their order; `is_last` says that nobody here is given another chance.
    """

    step: Step
    began: float
    left: set[str]
    unheard: set[str]
    is_last: bool = False
    is_asked: bool = False
    hello: dict[str, float] = field(default_factory=dict)


class Nodes:
    """Workers on all nodes of an engine.

    All start together and are asked once each has said hello. Where some do not, the others are started again without
    them, and those that are slow are waited for by themselves. A node that says nothing for too long is greeted: if it
    answers, its worker hangs, else it is lost; if it goes on later, it is heard again.
    """

    def __init__(self, engine: Engine, python: str = "") -> None:
        """Start the workers in the interpreter `python`, by default this one, by the same path on every node."""
        self.engine: Engine = engine
        self.python = python
        self.names = tuple(engine.nodes)
        self.gone: dict[str, Gone] = {}
        self._boot = (python or sys.executable, BOOT)
        self._own = (lent_to(python), engine.own_name)
        self._request = b""
        self._ended: set[str] = set()
        self._heard: dict[str, float] = {}
        self._planned: set[str] = set()
        self._greeted: dict[str, float] = {}
        self._greetings: list[Step] = []
        self._past: list[Step] = []
        self._groups: list[_Group] = []
        self._group_of: dict[str, _Group] = {}
        self._began = time.monotonic()
        self._start(self.names)

    def _start(self, nodes: Iterable[str], *, is_last: bool = False) -> None:
        wanted = set(nodes)
        names = [name for name in self.names if name in wanted]
        step = self.engine.start([*self._boot, "worker", *self._own], names)
        group = _Group(step, time.monotonic(), wanted, set(wanted), is_last)
        self._groups.append(group)
        self._group_of |= dict.fromkeys(names, group)

    def ask(self, request: Mapping[str, Any]) -> None:
        """Have this request sent to all that say hello."""
        self._request = json.dumps({**request, "lent": self._own[0]}).encode() + b"\n"

    def messages(self, config: Config) -> Iterator[tuple[str, Message] | None]:
        """Yield (node, message) as they come, and None at least every 0.2 s, until no node is waited for."""
        wanted = config.nodes or _wanted()
        patience = longest_deadline(config)
        looked = 0.0
        while self._groups:
            timeout = _TICK / (len(self._groups) + len(self._greetings))
            for group in list(self._groups):
                for name, message in group.step.read(timeout):
                    if self._takes(name, message):
                        yield name, message
                self._ask_or_leave(group)
            for step in self._greetings:
                for name, _ in step.read(timeout):
                    self._lives(name)
            # All below costs as much as there are nodes, however little was heard.
            if time.monotonic() > looked + _TICK:
                looked = time.monotonic()
                yield None
                for group in list(self._groups):
                    self._look_at(group, wanted)
                self._look_for_silence(wanted, patience)
                self._look_at_clock(wanted)

    def _ask_or_leave(self, group: _Group) -> None:
        if not group.left:
            self._leave(group)
        elif not group.is_asked and not group.unheard:
            group.is_asked = True
            group.step.write(self._request)

    def _lose(self, name: str, presence: Presence, reason: str) -> None:
        if name not in self._ended:
            self.gone.setdefault(name, Gone(presence, reason))
            self._close(name)

    def _close(self, name: str) -> None:
        self._group_of[name].left.discard(name)
        self._group_of[name].unheard.discard(name)

    def _takes(self, name: str, message: Message) -> bool:
        """Note what a message says of its node; tell whether it is for the run to hear."""
        group = self._group_of.get(name)
        if group is None or name in self._ended:
            return False
        self._heard[name] = time.monotonic()
        if self._greeted.pop(name, None) is not None and self.gone.pop(name, None) is not None:
            group.left.add(name)
        match message["kind"]:
            case "hello":
                group.hello.setdefault(name, time.monotonic() - group.began)
                group.unheard.discard(name)
                return False
            case "end":
                if trouble := message.get("reason") or internal(message["exit_code"]):
                    self._lose(name, Presence.ANSWERED, trouble)
                self._ended.add(name)
                self._close(name)
                return False
            case "planned":
                self._planned.add(name)
        return True

    def _look_at(self, group: _Group, wanted: Wanted) -> None:
        """Learn what the engine tells of a group; part with those of it that take too long to begin."""
        step, waited = group.step, time.monotonic() - group.began
        for name, gone in step.gone.items():
            if name in group.left:
                self._lose(name, gone.presence if name in group.hello else Presence.ABSENT, gone.reason)
        if step.over is not None:
            for name in list(group.left):
                self._lose(name, *step.over)
        elif step.ended:
            self._end(group)
        elif waited > wanted.start:
            for name in list(group.unheard):
                self._lose(name, Presence.ABSENT, f"nothing heard of it within {wanted.start:g} s" + _words(step))
        elif group.unheard and group.hello and not group.is_last and waited > max(_GRACE, _TIMES * _half(group)):
            self._leave(group)
            self._start([name for name in group.hello if name in group.left])
            self._start(group.unheard, is_last=True)

    def _end(self, group: _Group) -> None:
        """Start those again whom the engine took down with another, once; the others are gone."""
        if group in self._groups:
            self._leave(group)
        was_taken_down = any(gone.presence is Presence.ABSENT for gone in group.step.gone.values())
        if group.left and was_taken_down and not group.is_last:
            self._start(group.left, is_last=True)
            return
        for name in list(group.left):
            if name in group.hello:
                self._lose(name, Presence.LOST, "its worker ended without its last word" + _words(group.step))
            else:
                self._lose(name, Presence.ABSENT, "its worker did not start" + _words(group.step))

    def _leave(self, group: _Group) -> None:
        self._groups.remove(group)
        self._past.append(group.step)
        group.step.leave()

    def _look_for_silence(self, wanted: Wanted, patience: float) -> None:
        """Greet those that have been silent for too long, and give up those that were greeted long enough ago."""
        now = time.monotonic()
        silent = [
            name
            for group in self._groups
            if group.is_asked
            for name in group.left
            if now > self._heard[name] + wanted.silence + (0 if name in self._planned else patience)
        ]
        if new := [name for name in silent if name not in self._greeted]:
            self._greeted |= dict.fromkeys(new, now)
            self._greetings.append(self.engine.start([*self._boot, "hello", *self._own], new))
        for name in silent:
            if now > self._greeted[name] + _GREETING:
                why = f"nothing heard of it for {now - self._heard[name]:.0f} s, nor does it answer a greeting"
                self._lose(name, Presence.LOST, why)

    def _lives(self, name: str) -> None:
        """Learn that a silent node answers a greeting: what has stopped there is the worker."""
        if name in self._greeted:
            seconds = time.monotonic() - self._heard[name]
            self._lose(
                name, Presence.SILENT, f"its worker has said nothing for {seconds:.0f} s, though the node answers"
            )

    def _look_at_clock(self, wanted: Wanted) -> None:
        if wanted.deadline is not None and time.monotonic() > self._began + wanted.deadline:
            for group in self._groups:
                for name in list(group.left):
                    why = f"it had not ended within the {wanted.deadline:g} s of nodes.deadline"
                    self._lose(name, Presence.LATE, why)

    def close(self) -> None:
        """Close every wire, by which workers end what they started, and hear for a moment how the engine takes it."""
        steps = [*(group.step for group in self._groups), *self._greetings, *self._past]
        for step in steps:
            step.leave()
        until = time.monotonic() + _PARTING
        while time.monotonic() < until and (open_ones := [step for step in steps if not step.ended]):
            for step in open_ones:
                step.read(_PARTING / 20 / len(open_ones))
        for group in self._groups:
            if group.step.over is not None:
                for name in list(group.left):
                    self._lose(name, *group.step.over)
        for step in steps:
            step.stop()
        self._groups, self._greetings, self._past = [], [], []


def _wanted() -> Wanted:
    """Return how nodes are waited for where the config does not say."""
    from preflight.config.nodes import Nodes as Wanted

    return Wanted()


def _half(group: _Group) -> float:
    """Return the seconds within which half of those that have said hello did so."""
    return list(group.hello.values())[len(group.hello) // 2]


def _words(step: Step) -> str:
    return f": {step.words}" if step.words else ""
