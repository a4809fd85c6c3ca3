"""How far a data entry is looked into: files to be opened, columns and values that hold now and that the code needs."""

from __future__ import annotations

import glob
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

from preflight.system.columns import Columns
from preflight.system.tables import NoLibrary, Table, Unreadable, open_table

Entry = dict[str, Any]

# Files of more than this are sampled, since a gate must not take as long as an epoch.
MOST_OPENED = 32_000_000
SAMPLE = 64
# Tables are read at each `init`, and at each run without a section.
MOST_TABLES, LARGEST_TABLES = 100, 8_000_000

_MOST_FILES = 2_000
# What a library decodes without running anything of the file; an archive of arrays may hold objects.
_DECODED = frozenset({
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".wav", ".flac", ".npy", ".parquet", ".arrow",
    ".feather", ".h5", ".hdf5", ".safetensors",
})  # fmt: skip
_TABLES = frozenset({".csv", ".tsv", ".jsonl"})
_ARROW = frozenset({".parquet", ".arrow", ".feather"})
_LABELS = frozenset({"label", "labels", "target", "class", "class_id", "label_id", "y"})


def looked_into(path: str, pattern: str, columns: Columns) -> Entry:
    """Return the keys that say what must be in the files at a path, as far as it holds now."""
    files = list(itertools.islice(_files(path, pattern), _MOST_FILES))
    kinds = {os.path.splitext(file)[1].lower() for file in files}
    if kinds and kinds <= _DECODED:
        return _opened(files) | (_columns(files, columns) if kinds <= _ARROW else {})
    if files and len(files) <= MOST_TABLES and kinds <= _TABLES:
        return _tables(files, columns)
    return {}


def _files(path: str, pattern: str) -> Iterator[str]:
    if os.path.isdir(path):
        found = glob.iglob(os.path.join(glob.escape(path), pattern or "**/*"), recursive=True)
    else:
        found = glob.iglob(path, recursive=True)
    return (each for each in found if os.path.isfile(each))


def _opened(files: Sequence[str]) -> Entry:
    sizes = [os.path.getsize(file) for file in files]
    if any(file.endswith(".npy") and _holds_objects(file) for file in files[:1]):
        return {}
    if len(files) < _MOST_FILES and sum(sizes) <= MOST_OPENED:
        return {"open": "all"}
    number = min(SAMPLE, len(files) * MOST_OPENED // (sum(sizes) + 1))
    return {"open": number} if number else {}


def _holds_objects(file: str) -> bool:
    with open(file, "rb") as opened:
        return b"'|O'" in opened.read(256)


def _columns(files: Sequence[str], columns: Columns) -> Entry:
    """Return the columns that the code names and all of the files have."""
    if len(files) > MOST_TABLES:
        return {}
    try:
        tables = [open_table(file) for file in files]
    except (OSError, ValueError, Unreadable, NoLibrary):
        return {}
    named = [name for name in _shared(tables) if columns.has(name)]
    return {"columns": named} if named else {}


def _shared(tables: Sequence[Table]) -> list[str]:
    return [name for name in tables[0].columns if all(name in table.columns for table in tables)]


def _tables(files: Sequence[str], columns: Columns) -> Entry:
    """Return what holds in every row of tables: of the columns that the code names, or of all where it names none."""
    try:
        tables = [open_table(file) for file in files]
        shared = _shared(tables)
        is_regular = len(set(shared)) == len(shared) > 1 and not any(map(_is_number, shared))
        if not is_regular:
            return {}
        named = [name for name in shared if columns.has(name)]
        rules = _rules(tables, shared if columns.rest or not named else named, columns.classes)
    except (OSError, ValueError, Unreadable, NoLibrary):
        return {}
    found: Entry = {"columns": named} if named else {}
    if not named and len(rules) == len(shared) and all(each == {"missing": False} for each in rules.values()):
        return {"missing": False}
    return found | ({"values": rules} if rules else {})


def _rules(tables: Sequence[Table], names: Sequence[str], classes: int) -> Entry:
    """Return what holds in every row of the columns that hold nothing but numbers."""
    if sum(os.path.getsize(table.path) for table in tables) > LARGEST_TABLES:
        return {}
    rules = {name: {"missing": False} | _classes(name, classes) for name in names}
    for table in tables:
        for _, (_, *cells) in table.chunks(list(names)):
            for name, column in zip(names, cells, strict=True):
                rules[name] = {key: rule for key, rule in rules[name].items() if _holds(key, rule, column)}
        if table.ragged.count:
            return {}
    return {name: rule for name, rule in rules.items() if rule}


def _classes(name: str, classes: int) -> Entry:
    return {"between": [0, classes - 1]} if name.lower() in _LABELS and classes > 1 else {}


def _holds(key: str, rule: Any, cells: Sequence[object]) -> bool:
    if key == "missing":
        return all(map(_is_number, cells))
    return all(str(cell).strip().isdecimal() and int(str(cell)) <= rule[1] for cell in cells)


def _is_number(cell: object) -> bool:
    try:
        return math.isfinite(float(str(cell)))
    except ValueError:
        return False
