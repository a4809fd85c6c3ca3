"""Where a program takes values of its config for text: by the methods of text, and within the paths that it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from preflight.system.amounts import Amounts
from preflight.system.code import Source
from preflight.system.events import Event
from preflight.system.keys import WHOLE, ConfigFlow, Key, reads_one
from preflight.system.strings import Origin, Part
from preflight.system.uses import Act, read_uses

# What text has, and neither numbers nor dates have.
METHODS = frozenset({
    "casefold", "encode", "endswith", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "rpartition",
    "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "upper", "zfill",
})  # fmt: skip
_CONVERTERS = frozenset({"str", "repr", "format"})
_MIXERS = frozenset({"dict", "Namespace", "SimpleNamespace", "EasyDict", "edict", "Munch", "Box", "DotMap"})


@dataclass(frozen=True, slots=True)
class Taken:
    """One place where values are taken for text: a single key, or the parts of a path."""

    parts: tuple[Part, ...]
    file: Path
    line: int


def taken_by_method(sources: Sequence[Source], file: str) -> Iterator[Taken]:
    """Yield where a method of text is surely called on a value of the config `file`, as it was read."""
    if not any(
        isinstance(each, ast.Attribute) and each.attr in METHODS for source in sources for each in ast.walk(source.tree)
    ):
        return
    flow = _AsRead(sources)
    knows = any(_asks_for_text(event.node) or _changes_config(flow, event) for event in flow.events)
    if knows or not reads_one(flow, Path(file).name):
        return
    changed = {key for event in flow.events for key in _changed(flow, event)}
    for event in flow.events:
        match event.node:
            case ast.Call(func=ast.Attribute(value=base, attr=name)) if name in METHODS and flow.is_certain(event):
                found = flow.origins(base, event)
                key = next(iter(found)).key if len(found) == 1 else ()
                if key and not any(key[: len(each)] == each for each in changed):
                    yield Taken((key,), event.source.path, event.node.lineno)


def taken_in_paths(sources: Sequence[Source], file: str) -> Iterator[Taken]:
    """Yield the paths that the program surely reads and puts together from values of the config `file`."""
    flow = ConfigFlow(sources)
    if reads_one(flow, Path(file).name):
        for use in read_uses(flow, Amounts(flow, lambda _: None)):
            parts = use.origin.parts
            is_known = use.origin.whole and all(isinstance(part, str | tuple) for part in parts)
            if use.act is Act.READ and use.certain and not use.when and is_known and len(parts) > 1:
                yield Taken(parts, use.file, use.line)


class _AsRead(ConfigFlow):
    """Follows values that nothing has made text of."""

    def returned(self, node: ast.Call, event: Event) -> set[Origin]:
        """Let nothing come out of what makes text, or out of `dict(config, **more)`."""
        is_mixed = self.name(node, event) in _MIXERS and len(node.args) + len(node.keywords) > 1
        is_text = self.name(node, event) in _CONVERTERS
        return set() if is_text or is_mixed else super().returned(node, event)

    def origins(self, node: ast.AST | None, event: Event) -> set[Origin]:
        """Let nothing come out of `f"{value}"`, `{**config, **more}` and `config | more`."""
        return set() if isinstance(node, ast.JoinedStr | ast.BinOp | ast.Dict) else super().origins(node, event)


def _asks_for_text(node: ast.AST) -> bool:
    """Say whether a node is `isinstance(…, str)`: the program then knows of values that are none."""
    match node:
        case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
            return any(isinstance(each, ast.Name) and each.id == "str" for each in ast.walk(kinds))
    return False


def _changes_config(flow: ConfigFlow, event: Event) -> bool:
    """Say whether a node may put another value into the config: `config[key] = value`, `config.update(more)`."""
    match event.node:
        case ast.Subscript(value=base, ctx=ast.Store()) | ast.Attribute(value=base, ctx=ast.Store()):
            return bool(flow.origins(base, event))
        case ast.Call(func=ast.Attribute(value=base, attr="update" | "setdefault")):
            return bool(flow.origins(base, event))
        case ast.Call(func=ast.Name(id="setattr"), args=[base, *_]):
            return bool(flow.origins(base, event))
    return False


def _changed(flow: ConfigFlow, event: Event) -> Iterator[Key]:
    """Yield the parts of the config that a name stands for which is also given something unknown."""
    match event.node:
        case ast.Assign(targets=targets, value=value) if not flow.origins(value, event):
            names = [each.id for each in targets if isinstance(each, ast.Name)]
        case ast.AugAssign(target=ast.Name(id=name)):
            names = [name]
        case _:
            return
    for name in names:
        # The whole config, whose key is empty, is around every key.
        yield from (each.key for each in flow.look_up(name, event.scopes) if each.key or each == WHOLE)
