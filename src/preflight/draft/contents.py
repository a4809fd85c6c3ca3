"""How far a data entry is looked into: files to be opened, columns and values that hold now and that the code needs."""

from __future__ import annotations

import csv
import glob
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

from preflight.system.columns import Columns

Entry = dict[str, Any]

# Files of more than this are sampled, since a gate must not take as long as an epoch.
MOST_OPENED = 32_000_000
SAMPLE = 64
# A table is read at each `init`, and at each run without a section.
LARGEST_TABLE = 8_000_000

_MOST_FILES = 2_000
# What a library decodes without running anything of the file; an archive of arrays may hold objects.
_DECODED = frozenset({
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".wav", ".flac", ".npy", ".parquet", ".arrow",
    ".feather", ".h5", ".hdf5", ".safetensors",
})  # fmt: skip
_TABLES = {".csv": ",", ".tsv": "\t"}
_LABELS = frozenset({"label", "labels", "target", "class", "class_id", "label_id", "y"})
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "?", "inf", "-inf"})


def looked_into(path: str, pattern: str, columns: Columns) -> Entry:
    """Return the keys that say what must be in the files at a path, as far as it holds now."""
    files = list(itertools.islice(_files(path, pattern), _MOST_FILES))
    kinds = {os.path.splitext(file)[1].lower() for file in files}
    if kinds and kinds <= _DECODED:
        return _opened(files)
    if len(files) == 1 and kinds <= _TABLES.keys():
        return _table(files[0], columns)
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


def _table(file: str, columns: Columns) -> Entry:
    """Return what holds in every row of a table, of the columns that the code names, or of all where it names none."""
    try:
        with open(file, newline="", encoding="utf-8") as opened:
            if os.path.getsize(file) > LARGEST_TABLE:
                return {}
            header, *rows = csv.reader(opened, delimiter=_TABLES[os.path.splitext(file)[1].lower()])
    except (OSError, ValueError, csv.Error):
        return {}
    is_regular = len(header) > 1 and len(set(header)) == len(header) and not any(map(_is_number, header))
    if not rows or not is_regular or any(len(row) != len(header) for row in rows):
        return {}
    named = [name for name in header if columns.has(name)]
    cells = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    found: Entry = {"columns": named} if named else {}
    if values := {name: rules for name in named or header if (rules := _rules(name, cells[name], columns.classes))}:
        if not named and all(rules == {"missing": False} for rules in values.values()) and len(values) == len(header):
            return found | {"missing": False}
        found["values"] = values
    return found


def _rules(name: str, cells: Sequence[str], classes: int) -> Entry:
    if not all(map(_is_number, cells)):
        return {}
    is_label = name.lower() in _LABELS and all(cell.strip().isdecimal() for cell in cells)
    if is_label and classes > 1 and all(int(cell) < classes for cell in cells):
        return {"between": [0, classes - 1], "missing": False}
    return {"missing": False}


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.strip().lower() not in _MISSING
