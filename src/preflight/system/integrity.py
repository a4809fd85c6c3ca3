"""Whether the files of an installed distribution are still those that its RECORD lists."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from preflight.system.packages import Distribution

_CODE = (".py", ".so")


@dataclass(frozen=True, slots=True, kw_only=True)
class Altered:
    """A module of a distribution that is not as it was installed: `how` is `missing` or `changed`."""

    file: str
    how: str


def altered_files(distribution: Distribution) -> list[Altered]:
    """Return the modules at the top of a distribution's packages that differ from its record.

    None where the record cannot tell: after an installation from a folder, by conda (which writes its prefix into
    files), or where an image keeps compiled Python files only.
    """
    if distribution.source_tree or distribution.installer == "conda":
        return []
    found, same = [], False
    for file, digest, size in _recorded_modules(distribution):
        how = _difference(file, digest, size)
        same |= not how
        if how:
            found.append(Altered(file=file, how=how))
    return found if same or any(each.how == "changed" for each in found) else []


def is_hollow(distribution: Distribution) -> bool:
    """Say whether none of the modules that a distribution's record lists is there."""
    files = [file for file, _, _ in _recorded_modules(distribution)]
    return bool(files) and not any(map(os.path.exists, files))


def _recorded_modules(distribution: Distribution) -> Iterator[tuple[str, str, str]]:
    for name, digest, size, *_ in (line for line in csv.reader(distribution.record.splitlines()) if len(line) > 2):
        if name.endswith(_CODE) and name.count("/") < 2 and not name.startswith(os.pardir):
            yield os.path.join(distribution.folder, name), digest, size


def _difference(file: str, digest: str, size: str) -> str:
    try:
        if size.isdecimal() and os.path.getsize(file) != int(size):
            return "changed"
        if not file.endswith(".py") or not digest.startswith("sha256="):
            return ""
        with open(file, "rb") as stream:
            found = base64.urlsafe_b64encode(hashlib.sha256(stream.read()).digest()).decode().rstrip("=")
    except FileNotFoundError:
        return "missing"
    except OSError:
        return ""
    return "" if found == digest.removeprefix("sha256=") else "changed"
