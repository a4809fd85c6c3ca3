"""Where a program takes values of its config for text: by the methods of text, and within the paths that it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from preflight.system.amounts import Amounts
from preflight.system.code import Source
from preflight.system.events import Event
from preflight.system.keys import ConfigFlow, reads_one
from preflight.system.strings import Origin, Part
from preflight.system.uses import Act, read_uses

# What text has, and neither numbers nor dates have.
METHODS = frozenset({
    "casefold", "encode", "endswith", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "rpartition",
    "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "upper", "zfill",
})  # fmt: skip
_CONVERTERS = frozenset({"str", "repr", "format"})


@dataclass(frozen=True, slots=True)
class Taken:
    """One place where values are taken for text: a single key, or the parts of a path."""

    parts: tuple[Part, ...]
    file: Path
    line: int


def taken_by_method(sources: Sequence[Source], file: str) -> Iterator[Taken]:
    """Yield where a method of text is surely called on a value of the config `file`, as it was read."""
    flow = _AsRead(sources)
    if not reads_one(flow, Path(file).name) or any(_asks_for_text(event.node) for event in flow.events):
        return
    for event in flow.events:
        match event.node:
            case ast.Call(func=ast.Attribute(value=base, attr=name)) if name in METHODS and flow.is_certain(event):
                found = flow.origins(base, event)
                if len(found) == 1 and (key := next(iter(found)).key) and _is_bound_once(base, event):
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
        return set() if self.name(node, event) in _CONVERTERS else super().returned(node, event)

    def origins(self, node: ast.AST | None, event: Event) -> set[Origin]:
        return set() if isinstance(node, ast.JoinedStr | ast.BinOp) else super().origins(node, event)


def _asks_for_text(node: ast.AST) -> bool:
    """Say whether a node is `isinstance(…, str)`: the program then knows of values that are none."""
    match node:
        case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
            return any(isinstance(each, ast.Name) and each.id == "str" for each in ast.walk(kinds))
    return False


def _is_bound_once(base: ast.expr, event: Event) -> bool:
    """Say whether nothing else than its first value can be behind a name."""
    if not isinstance(base, ast.Name):
        return True
    scope = event.scopes[0]
    around = scope if isinstance(scope, ast.AST) else event.source.tree
    bound = sum(
        isinstance(each, ast.Name) and each.id == base.id and isinstance(each.ctx, ast.Store)
        for each in ast.walk(around)
    )
    is_argument = isinstance(scope, ast.FunctionDef) and base.id in {each.arg for each in scope.args.args}
    return bound + is_argument == 1
