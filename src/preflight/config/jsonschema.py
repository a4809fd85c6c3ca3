"""The JSON Schema of foo.yaml, made from the sections, so that editors complete and check it."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from preflight.config.scalars import Scalar
from preflight.config.sections import Config

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# A reference may stand wherever a value does: `${data.root}`, `${oc.env:HOME}/x`.
_REFERENCE: Schema = {"type": "string", "pattern": r"\$\{"}
_NOTHING: Schema = {"type": "null"}


def config_schema() -> Schema:
    """Return the schema (draft 2020-12): strict below `preflight:`, and open for the rest, which is the experiment's.

    It refuses no file that preflight takes. It takes some that preflight refuses: what a size or a glob may look like
    is told in words (`description`) and not as a pattern.
    """
    known: dict[str, Schema] = {}
    top = _of_class(Config, known)
    return {
        "$schema": _DIALECT,
        "title": "A config with a preflight: section",
        "type": "object",
        "properties": {"preflight": {"anyOf": [top, _NOTHING]}},
        "$defs": dict(sorted(known.items())),
    }


def _of_class(cls: type, known: dict[str, Schema]) -> Schema:
    """Return a reference to the schema of a section, which then is among those that are `known`."""
    if cls.__name__ not in known:
        known[cls.__name__] = {}
        hints = get_type_hints(cls, include_extras=True)
        keys = {field.name: _or_nothing(_of(hints[field.name], known)) for field in fields(cls) if _is_key(field)}
        section: Schema = {"type": "object", "properties": keys, "additionalProperties": False}
        takes_text = {"anyOf": [section, {"type": "string"}]} if hasattr(cls, "from_text") else section
        known[cls.__name__] = {"description": inspect.cleandoc(cls.__doc__ or ""), **takes_text}
    return {"$ref": f"#/$defs/{cls.__name__}"}


def _is_key(field: Any) -> bool:
    return not field.metadata and field.name != "at"


def _of(hint: Any, known: dict[str, Schema]) -> Schema:
    origin, arguments = get_origin(hint), get_args(hint)
    found: Schema
    if origin in (Union, types.UnionType):
        found = _of(arguments[0], known)
    elif origin is Annotated:
        found = _of_scalar(arguments[1])
    elif origin is tuple:
        # A single entry counts as a list of one.
        one = _of(arguments[0], known)
        found = {"anyOf": [one, {"type": "array", "items": one}, _REFERENCE]}
    elif origin is Mapping:
        found = {"anyOf": [{"type": "object", "additionalProperties": _of(arguments[1], known)}, _REFERENCE]}
    elif is_dataclass(hint) and isinstance(hint, type):
        found = {"anyOf": [_of_class(hint, known), _REFERENCE]}
    else:
        found = _PLAIN.get(hint, {})
    return found


def _of_scalar(scalar: Scalar) -> Schema:
    if scalar.words:
        return {"description": scalar.wanted, "anyOf": [{"enum": list(scalar.words)}, _REFERENCE]}
    return {"description": scalar.wanted, "type": ["string", *scalar.types]}


def _or_nothing(schema: Schema) -> Schema:
    """Let a key stand there without a value, which is as if it was not there."""
    return {"anyOf": [schema, _NOTHING]} if schema else schema


_PLAIN: Mapping[Any, Schema] = {
    bool: {"description": "true or false", "anyOf": [{"type": "boolean"}, _REFERENCE]},
    str: {"description": "text", "type": "string"},
}
