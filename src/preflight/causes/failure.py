"""The failure of a rehearsed program: which of the exceptions that its processes raised is the one to explain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from preflight.rehearsal.events import Event
from preflight.rehearsal.program import Rehearsed

# What is said of it: the last word of the finding's id, its message, cause and fix; `weight` is the severity.
Said = dict[str, str]

# What a process raises because another one failed.
_CONSEQUENCES = re.compile(
    r"ProcessRaisedException|ProcessExitedException|ChildFailedError|SignalException|BrokenProcessPool|DistBackendError|"
    r"BrokenPipeError|EOFError(?!: EOF when reading)|ConnectionResetError|CalledProcessError|SystemExit: exit code|"
    r"DataLoader worker \(pid\(s\)|Connection closed by peer|Connection reset by peer|Broken pipe|ncclRemoteError"
)
_WORKER = re.compile(r"Caught (\w+) in DataLoader worker process")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One exception, as a `raised` event tells it, and the run that it ended."""

    raised: Mapping[str, Any]
    done: Rehearsed
    text: str = field(init=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.raised["text"].strip())

    @property
    def headline(self) -> str:
        """The type and the first line of the text, as Python prints them."""
        first = self.text.partition("\n")[0]
        return f"{self.raised['type']}: {first}" if first else str(self.raised["type"])

    @property
    def told(self) -> str:
        """All that the exceptions say, this one's first."""
        return "\n".join(f"{each['type']}: {each['text']}" for each in (self.raised, *self.raised["chain"]))

    @property
    def place(self) -> Mapping[str, Any]:
        """The user's own place; that of what it came from where it has none."""
        return next((each["place"] for each in (self.raised, *self.raised["chain"]) if each["place"]), {})

    @property
    def batch(self) -> Mapping[str, Any]:
        """The batch in hand, as a `batch` event tells it; empty where there was none."""
        return self.raised.get("batch") or {}

    @cached_property
    def loader(self) -> Mapping[str, Any]:
        """The loader that the batch in hand came from, as a `loader` event tells it."""
        same = (each for each in self.done.of("loader") if each["pid"] == self.raised["pid"])
        return next((each for each in same if each["loader"] == self.batch.get("loader")), {})

    @property
    def module(self) -> Mapping[str, str]:
        """The innermost torch module at work, as `name`, `kind` and how it is `shown`."""
        return self.raised.get("module") or {}

    @property
    def layer(self) -> str:
        """What the innermost torch module is called; empty where none was at work."""
        if not self.module:
            return ""
        return f"{self.module['kind']} `{self.module['name']}`" if self.module["name"] else self.module["kind"]

    @property
    def tensors(self) -> list[Mapping[str, Any]]:
        """The tensors that the innermost functions held."""
        return self.raised.get("tensors") or []

    @property
    def files(self) -> Mapping[str, str]:
        """The files that the innermost function of the user's had names for."""
        return self.raised.get("files") or {}

    def is_in(self, *parts: str) -> bool:
        """Tell whether a function of a file with one of these parts in its path was at work."""
        return any(part in frame[0] for frame in self.raised["frames"] for part in parts)


def culprit(done: Rehearsed) -> Failure | None:
    """Return the failure that ended a run: what the program itself died of, or the first that this came from."""
    raised = [each for each in done.of("raised") if each["how"] != "worker"]
    pids = {each["pid"] for each in done.of("process")}
    roots = {each["pid"] for each in done.of("process") if each["parent"] not in pids}
    own = [each for each in raised if each["pid"] in roots and each["how"] != "thread"]
    if own and not _is_consequence(own[-1]):
        return Failure(raised=_at_its_source(own[-1], done), done=done)
    true = [each for each in raised if not _is_consequence(each)]
    candidates = [*(each for each in true if each["how"] != "thread"), *true, *own[-1:]]
    return Failure(raised=_at_its_source(candidates[0], done), done=done) if candidates else None


def _is_consequence(raised: Event) -> bool:
    return bool(_CONSEQUENCES.search(f"{raised['type']}: {raised['text'][:2000]}"))


def _at_its_source(raised: Event, done: Rehearsed) -> Mapping[str, Any]:
    """Return what a worker raised where the program got it from there, as a text."""
    if not (caught := _WORKER.search(raised["text"])):
        return raised
    workers = [each for each in done.of("raised") if each["how"] == "worker"]
    same = (each for each in workers if each["type"].endswith(caught[1]) and each["text"] in raised["text"])
    return next(same, raised)
