"""A YAML file as nodes that know their line; whatever is wrong with the file is a UserError."""

from __future__ import annotations

import errno
import os
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import Reader

from preflight.errors import UserError

DEEPEST = 100

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
# PyYAML resolves a plain `<<` and `=` to tags that it cannot construct where they are values.
_TEXT_TAGS = {_MERGE, _TAG + "value"}
_COLLECTION_TAGS = {None, "!", *(_TAG + name for name in ("map", "seq", "set", "omap", "pairs"))}


@dataclass(frozen=True, slots=True)
class Location:
    """Where something stands: file, line (from 1; 0 is unknown) and key (`preflight.data[0].path`)."""

    file: str = ""
    line: int = 0
    key: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key) if part)

    def below(self, key: Hashable, line: int) -> Location:
        """Return the place of the value that stands under `key` of a mapping."""
        return Location(self.file, line, child_key(self.key, key))


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the file: a scalar, a list of nodes or a mapping to nodes.

    `line` is that of its key, or its own in a list; `written` is the text that it was resolved from, where it was.
    """

    value: Any
    line: int
    written: str = ""


def child_key(parent: str, key: Hashable, *, index: bool = False) -> str:
    """Return the dotted key of a child: `data`, `data[0]`, `data[0].path`."""
    if index:
        return f"{parent}[{key}]"
    return f"{parent}.{key}" if parent else str(key)


def plain(node: Node) -> Any:
    """Return the values without their lines."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def read_text(path: Path) -> str:
    """Return the text of a file; raises UserError where it cannot be had."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(_why_unreadable(error), where=str(path)) from None
    except ValueError:
        raise UserError("this is no file name", where=repr(str(path))) from None
    if b"\0" in data:
        raise UserError("this is a binary file, YAML text is wanted", where=str(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte {data[error.start]:#04x} is not UTF-8"
        raise UserError(message, where=f"{path}:{line}", fix="Save the file as UTF-8.") from None


def parse(text: str, file: str) -> Node:
    """Return the mapping that the file holds; an empty file is an empty mapping.

    Raises UserError for what is no YAML, and for duplicate keys, unknown tags and aliases that contain themselves.
    """
    text = text.removeprefix("\ufeff")
    if odd := Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        raise UserError(f"the character U+{ord(odd[0]):04X} may not stand in YAML", where=f"{file}:{line}")
    try:
        root = _Composer(text, file).document()
    except yaml.YAMLError as error:
        raise _syntax_mistake(error, text, file) from None
    if root is None or root.value is None:
        return Node({}, 1)
    if not isinstance(root.value, dict):
        kind = "a list" if isinstance(root.value, list) else "a single value"
        raise UserError(f"the file holds {kind}, wanted keys with values", where=f"{file}:{root.line}")
    return root


class _Composer:
    """Builds nodes from parser events, since PyYAML's own composer crashes the process on deep nesting."""

    def __init__(self, text: str, file: str) -> None:
        self.loader = _LOADER(text)
        self.file = file
        self.anchors: dict[str | None, Any] = {}
        self.open: set[str | None] = set()

    def document(self) -> Node | None:
        event = self._event()
        if isinstance(event, yaml.StreamEndEvent):
            return None
        first = self._event()
        root = self._node(first, Location(self.file, _line(first)), 0)
        self._event()
        following = self._event()
        if not isinstance(following, yaml.StreamEndEvent):
            where = f"{self.file}:{_line(following)}"
            raise UserError("a second document begins here, one is wanted", where=where, fix="Remove the `---` line.")
        return root

    def _event(self) -> Any:
        event = self.loader.get_event()
        return self.loader.get_event() if isinstance(event, yaml.StreamStartEvent) else event

    def _node(self, event: Any, at: Location, depth: int) -> Node:
        if depth > DEEPEST:
            raise UserError(_too_deep(), where=f"{self.file}:{_line(event)}")
        if isinstance(event, yaml.AliasEvent):
            return Node(self._alias(event.anchor, at), at.line)
        if event.anchor:
            self.open.add(event.anchor)
        value = self._value(event, at, depth)
        if event.anchor:
            self.anchors[event.anchor] = value
            self.open.discard(event.anchor)
        return Node(value, at.line)

    def _alias(self, name: str | None, at: Location) -> Any:
        if name in self.open:
            raise UserError(f"the alias *{name} stands inside the value that it repeats", where=str(at))
        if name not in self.anchors:
            raise UserError(f"the alias *{name} has no anchor &{name} before it", where=str(at))
        return self.anchors[name]

    def _value(self, event: Any, at: Location, depth: int) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, self._tag(event), at)
        if event.tag not in _COLLECTION_TAGS:
            raise _tag_mistake(event.tag, at)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(at, depth)
        mapping = self._mapping(at, depth)
        return set(mapping) if event.tag == _TAG + "set" else mapping

    def _tag(self, event: Any) -> str:
        if event.tag in (None, "!"):
            return str(self.loader.resolve(yaml.ScalarNode, event.value, event.implicit))
        return str(event.tag)

    def _scalar(self, event: Any, tag: str, at: Location) -> Any:
        if tag in _TEXT_TAGS:
            return event.value
        construct = self.loader.yaml_constructors.get(tag)
        if construct is None:
            raise _tag_mistake(tag, at)
        try:
            return construct(self.loader, yaml.ScalarNode(tag, event.value))
        except Exception:  # noqa: BLE001 - PyYAML lets through whatever int(), datetime() and its own lookups raise
            kind = tag.removeprefix(_TAG)
            raise UserError(f"{event.value[:60]!r} cannot be read as {kind}", where=str(at)) from None

    def _list(self, at: Location, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := self._event(), yaml.SequenceEndEvent):
            place = Location(self.file, _line(event), child_key(at.key, len(items), index=True))
            items.append(self._node(event, place, depth + 1))
        return items

    def _mapping(self, at: Location, depth: int) -> dict[Hashable, Node]:
        own: dict[Hashable, Node] = {}
        merged: dict[Hashable, Node] = {}
        while not isinstance(event := self._event(), yaml.MappingEndEvent):
            line = _line(event)
            if isinstance(event, yaml.ScalarEvent) and self._tag(event) == _MERGE:
                self._merge(merged, self._node(self._event(), at.below("<<", line), depth + 1), at)
                continue
            key = self._key(event, at, depth)
            place = at.below(key, line)
            if key in own:
                message = f"the key is there twice, first on line {own[key].line}"
                raise UserError(message, where=str(place), fix="Remove one of the two.")
            own[key] = self._node(self._event(), place, depth + 1)
        return {**merged, **own}

    def _key(self, event: Any, at: Location, depth: int) -> Hashable:
        place = Location(self.file, _line(event), at.key)
        key = self._node(event, place, depth + 1).value
        if isinstance(key, dict | list | set):
            raise UserError("a list or mapping cannot be a key", where=str(place))
        return key  # type: ignore[no-any-return]

    def _merge(self, merged: dict[Hashable, Node], node: Node, at: Location) -> None:
        sources = node.value if isinstance(node.value, list) else [node]
        for source in sources:
            if not isinstance(source.value, dict):
                raise UserError("`<<` takes a mapping or a list of mappings", where=str(at.below("<<", node.line)))
            for key, child in source.value.items():
                merged.setdefault(key, child)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _too_deep() -> str:
    return f"nested more than {DEEPEST} levels deep"


def _tag_mistake(tag: str, at: Location) -> UserError:
    name = "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag
    return UserError(f"the tag {name} is not plain YAML", where=str(at), fix="Write the value without a tag.")


def _syntax_mistake(error: yaml.YAMLError, text: str, file: str) -> UserError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return UserError("this is not YAML", where=f"{file}:1")
    lines = text.splitlines()
    line = min(mark.line, max(len(lines) - 1, 0))
    indentation = lines[line][: mark.column + 1] if lines else ""
    where = f"{file}:{line + 1}"
    if "nesting depth" in str(getattr(error, "problem", "")):  # libyaml has a limit of its own since PyYAML 6.0.4
        return UserError(_too_deep(), where=where)
    if "\t" in indentation and not indentation.strip():
        return UserError("a tab indents this line, YAML wants spaces", where=where, fix="Replace the tab by spaces.")
    problem = getattr(error, "problem", None) or getattr(error, "context", None) or "a mistake"
    unquoted = "${" in "".join(lines[line : line + 1])
    fix = "Inside braces and brackets put ${…} in quotes: '${…}'" if unquoted else ""
    return UserError(f"this is not YAML: {problem}", where=where, fix=fix)


def _why_unreadable(error: OSError) -> str:
    reasons = {
        errno.ENOENT: "the file does not exist",
        errno.EISDIR: "this is a folder, a YAML file is wanted",
        errno.EACCES: "the file cannot be read: permission denied",
    }
    return reasons.get(error.errno or 0, f"the file cannot be read: {os.strerror(error.errno or errno.EIO)}")
