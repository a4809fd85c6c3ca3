"""The JSON Schema of a report, made from the words of a report."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from typing import Any, get_args, get_origin, get_type_hints

from preflight.model import SCHEMA, Report
from preflight.verdict import EXIT_CODES, INTERRUPTED, Word

Schema = dict[str, Any]

_PLAIN: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
}


def report_schema() -> Schema:
    """Return the schema (draft 2020-12) of `--format json`; keys that a later version adds are let through."""
    schema = _of_class(Report)
    schema["properties"]["schema"] = {"const": SCHEMA}
    schema["properties"]["verdict"] = {
        "type": "object",
        "properties": {
            "word": {"enum": [str(each) for each in Word]},
            "exit_code": {"enum": [*EXIT_CODES.values(), INTERRUPTED]},
            "reason": {"type": "string"},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
        "required": ["word", "exit_code", "reason", "counts"],
    }
    schema["required"] = ["schema", "results", "verdict"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A report of preflight", **schema}


def _of_class(cls: type) -> Schema:
    hints = get_type_hints(cls)
    return {
        "type": "object",
        "description": inspect.cleandoc(cls.__doc__ or ""),
        "properties": {field.name: _of(hints[field.name]) for field in fields(cls)},
        "required": [each.name for each in fields(cls) if each.default is MISSING and each.default_factory is MISSING],
    }


def _of(hint: Any) -> Schema:
    origin = get_origin(hint)
    if origin is Sequence:
        return {"type": "array", "items": _of(get_args(hint)[0])}
    if origin is Mapping:
        return {"type": "object"}
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"enum": [str(each) for each in hint]}
    return _of_class(hint) if is_dataclass(hint) and isinstance(hint, type) else _PLAIN[hint]
