"""A YAML file of conda's, read fast; where it makes no sense, the mistake has the line of its key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from preflight.config.document import Location, Node, child_key, parse, read_text
from preflight.errors import UserError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

Steps = Sequence[str | int]


class Document:
    """What a YAML file holds, and where each of its values stands."""

    def __init__(self, file: Path, text: str | None = None) -> None:
        """Read the file, or take `text` for what it holds; raises UserError where that is no mapping in YAML."""
        self.file = file
        self.text = read_text(file) if text is None else text
        try:
            value = yaml.load(self.text, Loader=_LOADER)  # noqa: S506 - the safe one, in C where that is there
        except (yaml.YAMLError, ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            parse(self.text, str(file))
            self.refuse((), "the file is empty" if not self.text.strip() else "this is no mapping of keys to values")
        self.value: dict[str, Any] = value

    def refuse(self, steps: Steps, message: str, fix: str = "") -> NoReturn:
        """Raise the UserError for the value that `steps` lead to, with its line."""
        raise UserError(message, where=str(self.place(steps)), fix=fix)

    def place(self, steps: Steps) -> Location:
        """Return file, line and key of the value that `steps` lead to, as far as they lead."""
        node, key = parse(self.text, str(self.file)), ""
        line = 0
        for step in steps:
            below = _below(node, step)
            key = child_key(key, step, index=isinstance(step, int))
            if below is None:
                break
            node, line = below, below.line
        return Location(str(self.file), line, key)


def dump(value: object) -> str:
    """Return a value as YAML, keys in their order, as conda-lock has it."""
    return str(yaml.dump(value, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=1000))


def _below(node: Node, step: str | int) -> Node | None:
    if isinstance(node.value, dict):
        return node.value.get(step)
    if isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
        found: Node = node.value[step]
        return found
    return None
