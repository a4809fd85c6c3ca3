"""Dataclasses as the schema of a YAML section: their type hints say what each key takes."""

from __future__ import annotations

import difflib
import functools
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from preflight.config.document import Location, Node, child_key, plain
from preflight.config.scalars import Scalar, read_bool, read_text
from preflight.errors import UserError
from preflight.quantities import LARGEST

_SCALARS = {bool: Scalar("true or false", read_bool), str: Scalar("text", read_text)}
_FEW = 8


def read_entry(cls: type, node: Node, at: Location) -> Any:
    """Return an instance of the dataclass `cls`; raises UserError for whatever does not fit.

    A field with metadata is no key of its own. Two hooks bend the plain rule: `cls.from_text` turns a bare text into a
    mapping, `cls.rename` moves what is read to another field, whose metadata then holds the `key` as it is written.
    """
    mapping = _mapping(cls, node, at)
    known = {field.name for field in fields(cls) if not field.metadata and field.name != "at"}
    for key, child in mapping.items():
        if key not in known:
            raise UserError(_unknown(str(key), known), where=str(at.below(key, child.line)))
    if rename := getattr(cls, "rename", None):
        mapping = rename(mapping)
    hints = _hints(cls)
    values: dict[str, Any] = {}
    for field in fields(cls):
        if field.name in mapping and mapping[field.name].value is not None:
            child = mapping[field.name]
            key = field.metadata.get("key", field.name)
            place = at if isinstance(node.value, str) else at.below(key, child.line)
            values[field.name] = read(hints[field.name], child, place)
    if missing := [field.name for field in fields(cls) if field.name not in values and _required(field)]:
        raise UserError(f"`{missing[0]}` is missing", where=str(at))
    return _build(cls, values | ({"at": at} if "at" in hints else {}), at)


def read(hint: Any, node: Node, at: Location) -> Any:
    """Return the value of `node` as the type hint wants it; raises UserError where it is something else."""
    origin, arguments = get_origin(hint), get_args(hint)
    value: Any
    if hint is Any:
        value = plain(node)
    elif origin in (Union, types.UnionType):
        value = read(arguments[0], node, at)
    elif origin is Annotated or hint in _SCALARS:
        value = _convert(arguments[1] if arguments else _SCALARS[hint], node, at)
    elif origin is tuple:
        value = tuple(read(arguments[0], item, place) for item, place in _items(node, at))
    elif origin is Mapping:
        value = {str(key): read(arguments[1], *each) for key, each in _children(node, at)}
    else:
        value = read_entry(hint, node, at)
    return value


def shown(node: Node) -> str:
    """Return what a message may show of a value: never what a reference resolved to, since that may be a secret."""
    if node.written:
        return node.written
    match node.value:
        case None | bool():
            text = str(plain(node)).lower().replace("none", "nothing")
        case str():
            text = repr(node.value if len(node.value) < 60 else node.value[:57] + "...")
        case dict() | list():
            text = "a mapping" if isinstance(node.value, dict) else "a list"
        case int() if abs(node.value) > LARGEST:
            text = "a huge number"
        case int() | float():
            text = f"the number {node.value}"
        case _:
            text = f"a {type(node.value).__name__}"
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, or nothing."""
    close = difflib.get_close_matches(word[:80], sorted(known), n=1)
    return close[0] if close else ""


def _mapping(cls: Any, node: Node, at: Location) -> dict[Any, Node]:
    from_text = getattr(cls, "from_text", None)
    if isinstance(node.value, str) and from_text:
        return {key: Node(value, node.line, node.written) for key, value in from_text(node.value).items()}
    if not isinstance(node.value, dict):
        wanted = "a mapping" if not from_text else "text or a mapping"
        raise UserError(f"found {shown(node)}, wanted {wanted}", where=str(at))
    return node.value


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _build(cls: type, values: Mapping[str, Any], at: Location) -> Any:
    try:
        return cls(**values)
    except ValueError as error:
        raise UserError(str(error), where=str(at)) from None


def _unknown(key: str, known: set[str]) -> str:
    if close := nearest(key, known):
        return f"the key is not known; did you mean `{close}`?"
    listed = f"; known here: {', '.join(sorted(known))}" if len(known) <= _FEW else ""
    return f"the key is not known{listed}"


def _items(node: Node, at: Location) -> list[tuple[Node, Location]]:
    """Return the entries of a list with their places; a single value counts as a list of one."""
    if not isinstance(node.value, list):
        return [(node, at)]
    places = (child_key(at.key, index, index=True) for index in range(len(node.value)))
    return [(item, Location(at.file, item.line, key)) for item, key in zip(node.value, places, strict=True)]


def _children(node: Node, at: Location) -> list[tuple[Any, tuple[Node, Location]]]:
    if not isinstance(node.value, dict):
        raise UserError(f"found {shown(node)}, wanted a mapping", where=str(at))
    return [(key, (child, at.below(key, child.line))) for key, child in node.value.items()]


def _convert(scalar: Scalar, node: Node, at: Location) -> Any:
    try:
        value = [plain(item) for item in node.value] if isinstance(node.value, list) else node.value
        return scalar.read(value)
    except ValueError:
        raise UserError(f"found {shown(node)}, wanted {scalar.wanted}", where=str(at)) from None
