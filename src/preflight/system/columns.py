"""Which columns of its tables a program names, and how many classes it tells apart."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from preflight.system import reading
from preflight.system.amounts import Amounts
from preflight.system.events import Event
from preflight.system.flow import Flow

# What makes numbers of other cells, or leaves other columns out.
_COPES = reading.FILLS_GAPS | {
    "to_numeric", "get_dummies", "select_dtypes", "factorize", "apply", "map", "replace", "transform", "filter",
    "ColumnTransformer", "OneHotEncoder", "OrdinalEncoder", "LabelEncoder", "TargetEncoder", "converters",
}  # fmt: skip
_LISTED = frozenset({"usecols", "columns", "subset"})
CLASSES = frozenset({"num_classes", "n_classes", "num_labels", "nclasses", "classes"})


@dataclass(frozen=True, slots=True)
class Columns:
    """The texts with which a program looks something up, some of them names of columns; `classes` is 0 if not known.

    `patterns` are regular expressions, of names that are put together: `row[f"x{i}"]`. `rest` is true where what is
    left of a table once some columns are dropped is taken as numbers.
    """

    names: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()
    classes: int = 0
    rest: bool = False

    def has(self, name: str) -> bool:
        """Tell whether the program looks a name up."""
        return name in self.names or any(re.fullmatch(pattern, name) for pattern in self.patterns)


def read_columns(flow: Flow, amounts: Amounts) -> Columns:
    """Return what the program looks up, whatever it is looked up in."""
    found = [each for event in flow.events for each in _looked_up(event)]
    names = {each.value for each in found if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    patterns = {pattern for each in found if (pattern := _pattern(each))}
    classes = max(_classes(flow, amounts), default=0)
    return Columns(frozenset(names), tuple(sorted(patterns)), classes, rest=_takes_rest(flow))


def _takes_rest(flow: Flow) -> bool:
    """Tell whether the program drops columns and makes numbers of all others, as they are."""
    names = {name for event in flow.events for name in reading.names_of(event.node)}
    drops = any(
        flow.called(event).endswith(".drop") and any(each.arg == "columns" for each in event.node.keywords)
        for event in flow.events
        if isinstance(event.node, ast.Call)
    )
    return drops and "to_numpy" in names and not _COPES & names


def _looked_up(event: Event) -> Iterator[ast.expr]:
    match event.node:
        case ast.Subscript(slice=ast.List(elts=names) | ast.Tuple(elts=names)):
            yield from names
        case ast.Subscript(slice=name):
            yield name
        case ast.Call(func=ast.Attribute(attr="get" | "pop"), args=[name, *_]):
            yield name
        case ast.keyword(arg=argument, value=ast.List(elts=names)) if argument in _LISTED:
            yield from names
        case ast.Assign(value=ast.List(elts=names)) | ast.For(iter=ast.List(elts=names)):
            yield from names


def _pattern(node: ast.expr) -> str:
    """Return a regular expression for a formatted text, nothing where too little of it is written out."""
    pieces: list[str | None] = []
    match node:
        case ast.JoinedStr(values=values):
            pieces = [str(each.value) if isinstance(each, ast.Constant) else None for each in values]
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod()):
            pieces = [None if piece.startswith("%") else piece for piece in re.split(r"(%[\d.]*[a-z])", text)]
    is_told = any(re.search("[A-Za-z]", piece) for piece in pieces if piece)
    return "".join(r"\w+" if piece is None else re.escape(piece) for piece in pieces) if is_told else ""


def _classes(flow: Flow, amounts: Amounts) -> Iterator[int]:
    for event in flow.events:
        if isinstance(event.node, ast.Call):
            for keyword in event.node.keywords:
                if keyword.arg in CLASSES and (number := amounts.number(keyword.value, event)):
                    yield number
