"""What the processes of a rehearsed program have written down, read back in order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]
"""What one process told: `kind`, `at` (seconds of `time.monotonic()`), `pid`, and the facts of its kind."""

_MOST = 64 * 1024 * 1024


def where(place: Mapping[str, Any]) -> dict[str, Any]:
    """Return file and line of a place in the user's code as a finding has them, both empty where there is none."""
    return {"file": place.get("file", ""), "line": place.get("line", 0)}


def read_events(answers: Path) -> list[Event]:
    """Return all events by time, each with the `pid` that wrote it; a line cut off by a kill is passed over."""
    events: list[Event] = []
    for file in sorted(answers.glob("*.jsonl")):
        pid = int(file.name.partition("-")[0])
        with open(file, "rb") as stream:
            for line in stream.read(_MOST).splitlines():
                try:
                    events.append({**json.loads(line), "pid": pid})
                except ValueError:
                    break
    return sorted(events, key=lambda event: float(event["at"]))
