"""The outline of data: how much there is and how old, so that a change shows without reading it all again."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from preflight.quantities import format_size
from preflight.system import files
from preflight.system.watched import at

# Hashing as much as this costs less than asking whether it is needed.
SMALL = 1_000_000
# Beyond either, a folder is told by what stands in it directly.
MOST_FILES = 20_000
PATIENCE = 1.0


def outline(path: Path, pattern: str = "**/*") -> dict[str, Any]:
    """Return what a file or folder, or what a glob matches, looks like from outside.

    A file has `size` in bytes, `modified` in nanoseconds and, where it is small, `sha256`; a folder or a glob has
    `files`, their `size` and the newest `modified`; a folder of too many files has `entries`, and its own `modified`.
    What is not there is `missing`; what cannot be looked at has the `error`.
    """
    at(path)
    try:
        found = files.find(path)
        if [path] != found or path.is_dir():
            return _of_many(found, pattern)
        facts = os.stat(path)
        known = {"size": facts.st_size, "modified": facts.st_mtime_ns}
        return known | ({"sha256": files.digest(path)} if facts.st_size <= SMALL and path.is_file() else {})
    except FileNotFoundError:
        return {"missing": True}
    except OSError as problem:
        return {"error": problem.strerror or "unknown"}


def in_words(outline: Mapping[str, Any]) -> str:
    """Return an outline in half a line, without its time and its content."""
    if outline.get("missing"):
        return "missing"
    if "error" in outline:
        return str(outline["error"])
    if "entries" in outline:
        return f"{outline['entries']:,} entries"
    size = format_size(outline.get("size", 0))
    return f"{outline['files']:,} files of {size}" if "files" in outline else size


def _of_many(found: list[Path], pattern: str) -> dict[str, Any]:
    if not found:
        return {"missing": True}
    count, size, newest, until = 0, 0, 0, time.monotonic() + PATIENCE
    for name in islice(files.walk(found, pattern), MOST_FILES + 1):
        facts = os.stat(name)
        count, size, newest = count + 1, size + facts.st_size, max(newest, facts.st_mtime_ns)
        if count > MOST_FILES or time.monotonic() > until:
            folders = [each for each in found if each.is_dir()]
            entries = len(found) if len(folders) != 1 else len(os.listdir(folders[0]))
            return {"entries": entries, "modified": max(os.stat(each).st_mtime_ns for each in folders or found)}
    return {"files": count, "size": size, "modified": newest}
