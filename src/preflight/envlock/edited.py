"""Which modules of installed packages are not as they were installed: every one is read and hashed."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from preflight.envlock.inventory import Inventory
from preflight.envlock.model import Package

_CODE = (".py", ".so")


def edited_files(inventory: Inventory) -> dict[tuple[str, str], list[str]]:
    """Return the files that are changed or gone, by manager and name of their package.

    Files that two packages claim, and those of a package that pip has replaced, belong to whoever wrote them last.
    Editable projects are meant to be edited.
    """
    found: dict[tuple[str, str], list[str]] = {}
    listed: list[tuple[Package, str, str, int]] = [*_of_conda(inventory), *_of_pip(inventory)]
    claims = Counter(file for _, file, _, _ in listed)
    for package, file, digest, size in listed:
        if claims[file] == 1 and _differs(file, digest, size):
            found.setdefault((package.manager, package.name), []).append(file)
    return found


def _of_conda(inventory: Inventory) -> Iterator[tuple[Package, str, str, int]]:
    replaced = {record.package.name for record, _ in inventory.replaced}
    prefix = inventory.environment.prefix
    for file in sorted((prefix / "conda-meta").glob("*.json")) if inventory.environment.is_conda else ():
        document = json.loads(file.read_bytes())
        package = next((each for each in inventory.conda if each.name == document.get("name")), None)
        if package and package.name not in replaced:
            yield from (
                (package, *entry) for entry in _paths(prefix, (document.get("paths_data") or {}).get("paths") or ())
            )


def _paths(prefix: Path, paths: Iterable[Mapping[str, object]]) -> Iterator[tuple[str, str, int]]:
    for each in paths:
        name = str(each.get("_path", ""))
        digest = str(each.get("sha256_in_prefix") or each.get("sha256") or "")
        rewritten = bool(each.get("prefix_placeholder")) and not each.get("sha256_in_prefix")
        if name.endswith(_CODE) and digest and not rewritten and each.get("path_type") != "softlink":
            yield os.path.realpath(prefix / name), digest, -1


def _of_pip(inventory: Inventory) -> Iterator[tuple[Package, str, str, int]]:
    for distribution, package in zip(inventory.distributions, inventory.pip, strict=True):
        if package.editable:
            continue
        for name, digest, size in _recorded(distribution.record):
            if digest.startswith("sha256="):
                padded = digest.removeprefix("sha256=") + "=="
                known = base64.urlsafe_b64decode(padded).hex()
                yield package, os.path.realpath(os.path.join(distribution.folder, name)), known, size


def _recorded(record: str) -> Iterator[tuple[str, str, int]]:
    for row in csv.reader(record.splitlines()):
        if len(row) > 2 and row[0].endswith(_CODE):
            yield row[0], row[1], int(row[2]) if row[2].isdecimal() else -1


def _differs(file: str, digest: str, size: int) -> bool:
    try:
        if size >= 0 and os.path.getsize(file) != size:
            return True
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() != digest
    except FileNotFoundError:
        return True
    except OSError:
        return False


def shown(files: Sequence[str], inventory: Inventory) -> list[str]:
    """Return files as seen from the environment's folder."""
    return [os.path.relpath(file, os.path.realpath(inventory.environment.prefix)) for file in files]
