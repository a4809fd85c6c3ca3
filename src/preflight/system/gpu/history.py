"""How fast the devices of this host were before: a file of lines in the user's cache, one for each measurement."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

# So many measurements of one device count, and so many bytes of the file are looked at.
MOST = 20
_TAIL = 1 << 20


def file() -> Path:
    """Return where the measurements are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache, "preflight", "gpu-speed.jsonl")


def earlier(device: str, torch: str) -> list[dict[str, float]]:
    """Return the last figures of a device (its UUID, or its name) on this host under this torch, the oldest first."""
    try:
        with file().open("rb") as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - _TAIL))
            lines = opened.read().splitlines()
    except OSError:
        return []
    wanted = {"host": socket.gethostname(), "device": device, "torch": torch}
    found = [entry["figures"] for entry in map(_entry, lines) if wanted.items() <= entry.items()]
    return found[-MOST:]


def keep(device: str, torch: str, figures: Mapping[str, float]) -> None:
    """Add figures to the file, in one write; where it cannot be written nothing is kept."""
    entry = {"host": socket.gethostname(), "device": device, "torch": torch, "time": int(time.time())}
    # The line begins with an end of line: one that was torn before it stays alone.
    line = b"\n" + json.dumps({**entry, "figures": dict(figures)}).encode() + b"\n"
    with suppress(OSError):
        file().parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def _entry(line: bytes) -> dict[str, Any]:
    """Return what one line says, nothing where it is torn or somebody else's."""
    try:
        entry = json.loads(line)
        figures = {str(name): float(value) for name, value in entry["figures"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {**entry, "figures": figures}
