"""What conda, mamba or pixi installed, by the records that they keep in conda-meta."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflight.envlock.addresses import build_of, without_credentials
from preflight.envlock.model import Package
from preflight.errors import UserError

# What only metadata folders have, and what of such a path belongs to the folder's name.
_MARKS = ((b'.dist-info/METADATA"', ".dist-info"), (b'.egg-info/PKG-INFO"', ".egg-info"), (b'.egg-info"', ".egg-info"))
_LISTS = (b'"files": [', b'"paths": [')


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record: its file, the package, the specifications that somebody asked for it by, and its metadata folders."""

    file: Path
    package: Package
    subdir: str
    requested: tuple[str, ...] = ()
    infos: frozenset[str] = frozenset()

    def digest_of(self, path: str) -> str:
        """Return the SHA-256 that one of its files had when it was installed, empty where that is not told."""
        paths = json.loads(self.file.read_bytes()).get("paths_data", {}).get("paths") or ()
        found: dict[str, Any] = next((each for each in paths if each.get("_path") == path), {})
        return str(found.get("sha256_in_prefix") or found.get("sha256") or "")


def read_records(prefix: Path) -> list[Record]:
    """Return the records of a prefix, by name; raises UserError where one cannot be read."""
    folder = prefix / "conda-meta"
    names = sorted(name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith("."))
    records = [_record(folder / name) for name in names]
    return sorted(records, key=lambda record: record.package.name)


def platform_of(records: Iterable[Record]) -> str:
    """Return the platform of the packages that are for one only, empty where none is."""
    return next((record.subdir for record in records if record.subdir not in ("", "noarch")), "")


def requested_specs(prefix: Path, records: Iterable[Record]) -> dict[str, str]:
    """Return what somebody asked for, by name; a later request replaces an earlier one.

    conda keeps it in the records and in its history, rattler and pixi in the records only. What a lock or a file was
    installed by is no request.
    """
    asked: dict[str, str] = {}
    there = {record.package.name for record in records}
    for spec in [*_history(prefix), *(spec for record in records for spec in record.requested)]:
        name = re.split(r"[\s=<>!~\[|]", spec.rpartition("::")[2].strip(), maxsplit=1)[0].lower()
        if name in there and "/" not in spec and not spec.endswith((".conda", ".tar.bz2")):
            asked[name] = re.sub(r"\[version=(['\"])(.*?)\1\]", r"\2", spec.strip())
    return asked


def dependencies_of(lines: Iterable[str]) -> dict[str, str]:
    """Return the version that each dependency must have, the build dropped, as conda-lock has it."""
    versions: dict[str, list[str]] = {}
    for line in lines:
        words = re.sub(r"\[.*\]$", "", line).split()
        if words:
            name = words[0].rpartition("::")[2]
            version = words[1] if len(words) > 1 else ""
            versions.setdefault(name, [])
            if version and version not in versions[name]:
                versions[name].append(version)
    return {name: ",".join(found) for name, found in sorted(versions.items())}


def _record(file: Path) -> Record:
    try:
        data = file.read_bytes()
        document = _parsed(data)
        name, version = str(document["name"]), str(document["version"])
    except OSError as problem:
        raise UserError(f"the record cannot be read: {problem.strerror}", where=str(file)) from None
    except (ValueError, KeyError, TypeError):
        fix = "Install the package anew, or remove the record"
        raise UserError("the record of an installed package is broken", where=str(file), fix=fix) from None
    url = str(document.get("url") or "")
    package = Package(
        name=name,
        version=version,
        manager="conda",
        build=str(document.get("build") or build_of(url)),
        url=without_credentials(url),
        md5=str(document.get("md5") or ""),
        sha256=str(document.get("sha256") or ""),
        dependencies=dependencies_of(document.get("depends") or ()),
    )
    return Record(
        file=file,
        package=package,
        subdir=str(document.get("subdir") or ""),
        requested=tuple(_requested(document)),
        infos=frozenset(_infos(data)),
    )


def _requested(document: Mapping[str, Any]) -> Iterator[str]:
    one, several = document.get("requested_spec"), document.get("requested_specs")
    if isinstance(several, list):
        yield from map(str, several)
    if one and str(one) != "None":
        yield str(one)


def _parsed(data: bytes) -> Any:
    """Return what a record holds without its long lists of files, which take nearly all of the time."""
    short = data
    for mark in _LISTS:
        before, found, rest = short.partition(mark)
        _, end, after = rest.partition(b"]")
        short = before + mark + end + after if found and end else short
    try:
        return json.loads(short)
    except ValueError:  # a file's name has a bracket
        return json.loads(data)


def _infos(data: bytes) -> Iterator[str]:
    """Yield the names of the metadata folders among the files."""
    for mark, suffix in _MARKS:
        for before in data.split(mark)[:-1]:
            yield before[max(before.rfind(b"/"), before.rfind(b'"')) + 1 :].decode(errors="replace") + suffix


def _history(prefix: Path) -> Iterator[str]:
    try:
        text = (prefix / "conda-meta" / "history").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for listed in re.findall(r"^# (?:update|install) specs: *(\[.*\])$", text, re.MULTILINE):
        try:
            yield from map(str, ast.literal_eval(listed))
        except (ValueError, SyntaxError):
            continue
