"""The report itself as JSON, with its verdict beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

from preflight.model import Place, Report, Result
from preflight.verdict import Verdict


def render(report: Report, verdict: Verdict) -> str:
    """Return what `Report.from_json` reads, plus `verdict`: in ASCII, so that every locale can print and store it.

    A run on many nodes has its results and places one on a line, which `grep NODE` finds.
    """
    if not report.places:
        stored = plain({**report.to_json(), "verdict": verdict.to_json()})
        return json.dumps(stored, indent=2, allow_nan=False) + "\n"
    whole = {**replace(report, results=(), places=()).to_json(), "verdict": verdict.to_json()}
    del whole["results"], whole["places"]
    head = json.dumps(plain(whole), indent=2, allow_nan=False).removesuffix("\n}")
    lists: dict[str, Sequence[Place | Result]] = {"places": report.places, "results": report.results}
    return head + "".join(f',\n  "{name}": [\n{_lines(each)}\n  ]' for name, each in lists.items()) + "\n}\n"


def _lines(words: Sequence[Place | Result]) -> str:
    return ",\n".join("    " + _line(each.to_json()) for each in words)


def _line(told: dict[str, Any]) -> str:
    try:
        return json.dumps(told, allow_nan=False, default=plain)
    except (ValueError, TypeError):  # a number or a key that JSON has no word for
        return json.dumps(plain(told), allow_nan=False)


def plain(value: Any) -> Any:
    """Return `value` with all that JSON has no word for (NaN, paths, sets, …) as text."""
    match value:
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case str() | None | bool() | int():
            return value
        case float():
            return value if isfinite(value) else str(value)
        case Sequence() if not isinstance(value, bytes | bytearray):
            return [plain(each) for each in value]
        case _:
            return str(value)
