"""Where the entries of a YAML list stand in the text, so that one can be changed and not a sign of the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

_OPENING = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_CLOSING = (yaml.SequenceEndEvent, yaml.MappingEndEvent)


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """One value and the part of the text that it takes, from `start` to `end`.

    `value` is the text of a scalar, None of anything else. `is_shared` tells one that an anchor or an alias makes stand
    in several places. `children` are the entries of a list, or keys and values of a mapping in turn.
    """

    start: int
    end: int
    kind: str
    value: str | None = None
    is_flow: bool = False
    is_shared: bool = False
    children: list[Node] = field(default_factory=list)

    def get(self, key: str) -> Node | None:
        """Return the value below a key of a mapping."""
        return next((value for name, value in self.pairs() if name.value == key), None)

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """Yield keys and values of a mapping."""
        if self.kind == "mapping":
            yield from zip(self.children[::2], self.children[1::2], strict=True)


@dataclass(frozen=True, slots=True, order=True)
class Splice:
    """Put `text` in the place of what stands from `start` to `end`."""

    start: int
    end: int
    text: str = ""


def root_of(text: str) -> Node:
    """Return the first document of a YAML text; raises yaml.YAMLError where it is none."""
    events = yaml.parse(text, Loader=yaml.SafeLoader)
    anchors: dict[str, Node] = {}
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            return _node(next(events), events, anchors)
    return Node(start=0, end=0, kind="scalar")


def _node(event: Any, events: Iterator[Any], anchors: dict[str, Node]) -> Node:
    start, end, anchor = event.start_mark.index, event.end_mark.index, getattr(event, "anchor", None)
    if isinstance(event, yaml.AliasEvent):
        there = anchors[event.anchor or ""]
        there.is_shared = True
        return replace(there, start=start, end=end)
    node = Node(start=start, end=end, kind="scalar", is_shared=bool(anchor), value=getattr(event, "value", None))
    if anchor:
        anchors[anchor] = node
    if isinstance(event, _OPENING):
        node.kind = "list" if isinstance(event, yaml.SequenceStartEvent) else "mapping"
        node.is_flow = bool(event.flow_style)
        while type(below := next(events)) not in _CLOSING:
            node.children.append(_node(below, events, anchors))
        # Of a block the parser tells where the next thing begins, comments and empty lines included.
        node.end = below.end_mark.index if node.is_flow else max([node.end, *(each.end for each in node.children)])
    return node


def spliced(text: str, splices: Sequence[Splice]) -> str:
    """Return the text with all changes made; none of them may reach into another."""
    for splice in sorted(splices, reverse=True):
        text = text[: splice.start] + splice.text + text[splice.end :]
    return text


def removals(text: str, parent: Node, gone: Sequence[Node]) -> list[Splice]:
    """Return how entries of a list are removed, each with its line or with its comma; what cannot be removed stays."""
    if not parent.is_flow:
        found = [Splice(_line_start(text, node.start), _line_end(text, node.end)) for node in gone]
        return [each for each in found if re.match(r"\s*-\s", text[each.start : each.end])]
    every = parent.children
    splices, first = [], 0
    while first < len(every):
        last = first
        while last < len(every) and every[last] in gone:
            last += 1
        if last > first:
            splices.append(_without(text, every, first, last))
        first = last + 1
    return splices


def _without(text: str, every: Sequence[Node], first: int, last: int) -> Splice:
    """Return how a run of entries leaves a list in brackets, `last` excluded; the comment of the one before stays."""
    start = every[first].start
    if last < len(every):
        return Splice(start, every[last].start)
    if first and "#" not in text[every[first - 1].end : start]:
        start = every[first - 1].end
    return Splice(start, every[-1].end)


def addition(text: str, parent: Node, gone: Sequence[Node], entries: Sequence[str]) -> Splice:
    """Return how entries enter a list: behind the last of its scalars that stay, else in front."""
    stay = [each for each in parent.children if each not in gone]
    after = next((each for each in reversed(stay) if each.kind == "scalar"), None)
    if parent.is_flow:
        written = [in_brackets(entry) for entry in entries]
        if after:
            return Splice(after.end, after.end, "".join(f", {entry}" for entry in written))
        start = stay[0].start if stay else text.index("[", parent.start) + 1
        return Splice(start, start, ", ".join(written) + (", " if stay else ""))
    like = after or parent.children[0]
    prefix = text[_line_start(text, like.start) : like.start]
    end = _line_end(text, like.end) if after else _line_start(text, like.start)
    line_break = "\r\n" if "\r\n" in text else "\n"
    lines = [f"{prefix}{entry}".replace("\n", f"{line_break}{' ' * len(prefix)}") for entry in entries]
    if after and not text[:end].endswith("\n"):
        return Splice(end, end, "".join(f"{line_break}{line}" for line in lines))
    return Splice(end, end, "".join(f"{line}{line_break}" for line in lines))


def change(text: str, node: Node, value: str, *, is_flow: bool) -> Splice | None:
    """Return how a scalar gets another value, its quotes kept; None where it is written in a way of its own."""
    raw = text[node.start : node.end]
    if raw == node.value:
        return Splice(node.start, node.end, in_brackets(value) if is_flow else value)
    if raw[1:-1] == node.value and raw[0] == raw[-1]:
        return Splice(node.start, node.end, f"{raw[0]}{value}{raw[0]}")
    return None


def in_brackets(entry: str) -> str:
    """Return an entry as it may stand in a list in brackets."""
    if not re.search(r"[,\[\]{}]|: |^[&*!|>'\"%@`]", entry) or entry.startswith("{"):
        return entry
    return "'" + entry.replace("'", "''") + "'"


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _line_end(text: str, index: int) -> int:
    """Return where the line ends that `index` is in, its line break included."""
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def line_of(text: str, node: Node) -> str:
    """Return the line that a node begins in."""
    return text[_line_start(text, node.start) : _line_end(text, node.start)].rstrip("\r\n")


def without_key(text: str, root: Node, key: str) -> list[Splice]:
    """Return how a key leaves the mapping at the top with its lines."""
    found = [(name, value) for name, value in root.pairs() if name.value == key and not root.is_flow]
    return [Splice(_line_start(text, name.start), _line_end(text, value.end)) for name, value in found]
