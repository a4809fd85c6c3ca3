"""`${…}` in a YAML file: the file's own keys and the environment, in OmegaConf's syntax."""

from __future__ import annotations

import re
from collections.abc import Mapping

from preflight.config.document import DEEPEST, Location, Node, child_key
from preflight.errors import UserError

# Values that aliases and references may unfold to; a few lines can otherwise stand for billions.
MOST_VALUES = 200_000

_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_STEP = re.compile(r"[^.\[\]]+")


class _TooMuch(UserError):
    """The file unfolds to more than a machine should hold; never passed over."""


class References:
    """Resolves the references of one file."""

    def __init__(self, root: Node, file: str, environment: Mapping[str, str]) -> None:
        self._root = root
        self._file = file
        self._environment = environment
        self._followed: list[str] = []
        self._values = 0

    def resolve(self, node: Node, key: str, *, strict: bool = True, depth: int = 0) -> Node:
        """Return `node` with every reference in it resolved.

        Raises UserError for one that cannot be; without `strict` such text stays as it is.
        """
        at = Location(self._file, node.line, key)
        self._count(node, at, depth)
        if isinstance(node.value, dict):
            children = {
                name: self.resolve(child, child_key(key, name), strict=strict, depth=depth + 1)
                for name, child in node.value.items()
            }
            return Node(children, node.line)
        if isinstance(node.value, list):
            items = [
                self.resolve(child, child_key(key, index, index=True), strict=strict, depth=depth + 1)
                for index, child in enumerate(node.value)
            ]
            return Node(items, node.line)
        if not isinstance(node.value, str) or "${" not in node.value:
            return node
        return self._resolve_text(node, at, strict, depth)

    def _count(self, node: Node, at: Location, depth: int) -> None:
        self._values += 1 + (len(node.value) // 16 if isinstance(node.value, str) else 0)
        if self._values > MOST_VALUES:
            raise _TooMuch(f"aliases and references unfold to more than {MOST_VALUES:,} values", where=str(at))
        if depth > DEEPEST:
            raise UserError(f"references nest more than {DEEPEST} levels deep", where=f"{at.file}:{at.line}")

    def _resolve_text(self, node: Node, at: Location, strict: bool, depth: int) -> Node:
        followed = list(self._followed)
        try:
            value = self._expand(node.value, at, depth)
        except _TooMuch:
            raise
        except UserError:
            if strict:
                raise
            self._followed = followed
            return node
        return Node(value, node.line, written=node.value)

    def _expand(self, text: str, at: Location, depth: int) -> object:
        """Return the text with its references replaced; a text that is one reference takes its value and type."""
        pieces: list[str] = []
        position = 0
        while (start := text.find("${", position)) >= 0:
            if text[:start].endswith("\\"):
                pieces.append(text[position : start - 1] + "${")
                position = start + 2
                continue
            end = _closing_brace(text, start, at)
            target = self._target(text[start + 2 : end], at, depth)
            if start == 0 and end == len(text) - 1:
                return target.value
            pieces += [text[position:start], _as_text(target, text[start : end + 1], at)]
            position = end + 1
        expanded = "".join([*pieces, text[position:]])
        self._count(Node(expanded, at.line), at, depth)
        return expanded

    def _target(self, reference: str, at: Location, depth: int) -> Node:
        """Return the value that `${reference}` stands for."""
        name = reference.strip()
        if "${" in name:
            name = str(self._expand(name, at, depth + 1))
        if name.startswith("oc.env:"):
            return Node(self._variable(name.removeprefix("oc.env:"), at), at.line)
        if ":" in name:
            message = f"${{{reference}}}: {name.partition(':')[0]} is no resolver that is known here, oc.env is"
            raise UserError(message, where=str(at))
        steps = _STEP.findall(name)
        found = self._follow(steps, at, depth) if steps else None
        if found is not None:
            return found
        if name in self._environment:
            return Node(self._environment[name], at.line)
        what = "is no key of this file"
        if _VARIABLE.fullmatch(name):
            what += ", and not set in the environment"
        raise UserError(f"${{{reference}}}: {name} {what}", where=str(at))

    def _variable(self, argument: str, at: Location) -> str | None:
        name, comma, default = (part.strip() for part in argument.partition(","))
        if name in self._environment:
            return self._environment[name]
        if not comma:
            message = f"${{oc.env:{argument}}}: the environment variable {name} is not set"
            raise UserError(message, where=str(at), fix=f"Set it, or give a default: ${{oc.env:{name},default}}")
        if default == "null":
            return None
        quoted = len(default) > 1 and default[0] == default[-1] and default[0] in "'\""
        return default[1:-1] if quoted else default

    def _follow(self, steps: list[str], at: Location, depth: int) -> Node | None:
        """Return the value under the dotted key, or None where the file has no such key."""
        node, key = self._root, ""
        for step in steps:
            if isinstance(node.value, str):
                node = self._enter(node, key, at, depth)
            found = _child(node, step)
            if found is None:
                return None
            key = child_key(key, step, index=isinstance(node.value, list))
            node = found
        return self._enter(node, key, at, depth)

    def _enter(self, node: Node, key: str, at: Location, depth: int) -> Node:
        if key in self._followed:
            circle = " -> ".join([*self._followed[self._followed.index(key) :], key])
            raise UserError(f"the references go in a circle: {circle}", where=str(at))
        self._followed.append(key)
        resolved = self.resolve(node, key, depth=depth + 1)
        self._followed.pop()
        return resolved


def _child(node: Node, step: str) -> Node | None:
    if isinstance(node.value, dict):
        number = int(step) if step.isdecimal() and len(step) < 10 else None
        found = node.value.get(step, node.value.get(number) if number is not None else None)
        return found if isinstance(found, Node) else None
    if isinstance(node.value, list) and step.isdecimal() and len(step) < 10 and int(step) < len(node.value):
        item = node.value[int(step)]
        return item if isinstance(item, Node) else None
    return None


def _closing_brace(text: str, start: int, at: Location) -> int:
    depth = 0
    for match in re.compile(r"\$\{|\}").finditer(text, start):
        depth += 1 if match[0] == "${" else -1
        if depth == 0:
            return match.start()
    raise UserError("`${` is not closed by `}`", where=str(at))


def _as_text(target: Node, reference: str, at: Location) -> str:
    if isinstance(target.value, dict | list | set):
        raise UserError(f"{reference} is a list or mapping and cannot stand inside text", where=str(at))
    try:
        return str(target.value)
    except ValueError:  # Python refuses to write out integers of thousands of digits
        raise UserError(f"{reference} is a number too large to write", where=str(at)) from None
