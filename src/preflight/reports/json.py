"""The report itself as JSON, with its verdict beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from preflight.model import Report
from preflight.verdict import Verdict


def render(report: Report, verdict: Verdict) -> str:
    """Return what `Report.from_json` reads, plus `verdict`: in ASCII, so that every locale can print and store it."""
    stored = plain({**report.to_json(), "verdict": verdict.to_json()})
    return json.dumps(stored, indent=2, allow_nan=False) + "\n"


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
