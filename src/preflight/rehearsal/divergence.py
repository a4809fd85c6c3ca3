"""The first operation at which two traced runs of one program part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from preflight.rehearsal.events import Event


class How(StrEnum):
    """How two runs part: `OUTPUT` has equal inputs, `INPUT` got other values from outside of torch."""

    OUTPUT = "output"
    INPUT = "input"
    UNSET = "unset"
    PATH = "path"


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """An operation, `aten.index_add.default`, the `number`-th of its process, counted from 1, and where it stands.

    `instead` is what the other run did there where that was another operation. `module` is the path of the innermost
    module, `node` the step of the backward pass, both may be empty. `numerics` are the settings of torch in both runs.
    """

    how: How
    operation: str
    number: int
    file: str
    line: int
    module: str
    node: str
    instead: str = ""
    numerics: tuple[Mapping[str, Any], Mapping[str, Any]] = field(default=({}, {}))


# Of the processes that part, one whose operation itself does so tells more than one that was given other values.
_TELLING = (How.OUTPUT, How.UNSET, How.PATH, How.INPUT)


def first(one: Sequence[Event], other: Sequence[Event]) -> Divergence | None:
    """Return where two runs part first, from the events of the feature `trace`; None where they do not."""
    ours, theirs = _traces(one), _traces(other)
    settings = _numerics(one), _numerics(other)
    found = []
    for process in ours:
        numerics = settings[0].get(process, {}), settings[1].get(process, {})
        if process in theirs and (parted := _part(ours[process], theirs[process], numerics)):
            found.append(parted)
    return min(found, key=lambda each: _TELLING.index(each.how), default=None)


@dataclass(slots=True)
class _Trace:
    words: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)


def _traces(events: Sequence[Event]) -> dict[str, _Trace]:
    traces: dict[str, _Trace] = {}
    for event in events:
        if event["kind"] == "operations":
            trace = traces.setdefault(event["process"], _Trace())
            trace.words += event["words"]
            trace.rows += event["rows"]
    return traces


def _numerics(events: Sequence[Event]) -> dict[str, Mapping[str, Any]]:
    """Return the last settings that each process told."""
    return {event["process"]: event for event in events if event["kind"] == "numerics"}


def _part(one: _Trace, other: _Trace, numerics: tuple[Mapping[str, Any], Mapping[str, Any]]) -> Divergence | None:
    for number, (row, again) in enumerate(zip(one.rows, other.rows, strict=False), 1):
        name, place, module, node = (one.words[word] for word in row[:4])
        instead = other.words[again[0]]
        if name == instead and row[5] == again[5]:
            continue
        line, _, file = place.partition(":")
        return Divergence(
            how=_how(row, again) if name == instead else How.PATH,
            operation=name,
            number=number,
            file=file,
            line=int(line or 0),
            module=module,
            node=node,
            instead=instead if name != instead else "",
            numerics=numerics,
        )
    return None


def _how(row: Sequence[Any], again: Sequence[Any]) -> How:
    if row[4] == again[4]:
        return How.OUTPUT
    return How.UNSET if row[6] or again[6] else How.INPUT
