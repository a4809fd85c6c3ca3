"""conda-lock.yml (version 1): read it, and write one platform of it anew."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from preflight.envlock.addresses import build_of, variables, with_variables
from preflight.envlock.content_hash import content_hash
from preflight.envlock.document import Document, dump
from preflight.envlock.model import Package
from preflight.envlock.specification import Specification, read_specification

VERSION = 1
_MANAGERS = ("conda", "pip")
_HEADER = """\
# What is installed, exactly. `preflight env lock` writes this file; do not edit it.
# Install it with `preflight env restore`, or with `conda-lock install --prefix FOLDER {name}`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A conda-lock.yml: its metadata, and its entries as they stand there."""

    file: Path
    metadata: Mapping[str, Any] = field(default_factory=dict)
    entries: Sequence[Mapping[str, Any]] = ()

    @property
    def platforms(self) -> list[str]:
        """The platforms that it holds packages for."""
        return sorted({entry["platform"] for entry in self.entries})

    @property
    def custom(self) -> Mapping[str, str]:
        """What preflight keeps in it beside the packages."""
        return self.metadata.get("custom_metadata") or {}

    @property
    def unlocked(self) -> dict[str, str]:
        """The packages that were installed and could not be locked: name, and version with the reason."""
        lines = str(self.custom.get("unlocked", "")).split("; ")
        return {name: rest for line in lines if line for name, _, rest in [line.partition(" ")]}

    def packages(self, platform: str) -> list[Package]:
        """Return the packages of a platform, each once."""
        found = {}
        for entry in self.entries:
            if entry["platform"] == platform:
                found[entry["manager"], entry["name"]] = _package(entry)
        return list(found.values())


def read_lock(file: Path, text: str | None = None) -> Lock:
    """Return the lock; raises UserError with line and key where it is none that can be understood."""
    document = Document(file, text)
    value = document.value
    if value.get("version") != VERSION:
        _refuse_version(document)
    entries = value.get("package")
    if not isinstance(entries, list):
        document.refuse(("package",), "`package` lists no packages", "Write the lock anew: preflight env lock")
    seen: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for number, entry in enumerate(entries):
        _refuse_entry(document, number, entry)
        key = (entry["manager"], entry["name"], entry["platform"])
        # conda-lock repeats a package for each of its categories.
        if key in seen and (seen[key]["version"], seen[key]["url"]) != (entry["version"], entry["url"]):
            message = f"{entry['name']} is locked twice for {entry['platform']}: "
            message += f"{seen[key]['version']} and {entry['version']}"
            document.refuse(("package", number), message, "Remove one of the two, or write the lock anew")
        seen[key] = entry
    metadata = value.get("metadata")
    return Lock(file=file, metadata=metadata if isinstance(metadata, dict) else {}, entries=entries)


def written(  # noqa: PLR0913 - a lock has that many parts
    packages: Iterable[Package],
    platform: str,
    specification: Specification,
    *,
    file: Path,
    old: Lock | None = None,
    custom: Mapping[str, str] | None = None,
) -> str:
    """Return the text of a lock that has `packages` for `platform`; other platforms' entries stay as they are.

    `custom_metadata` names those of them that have not kept step. The same packages give the same bytes.
    """
    new = [_entry(package, platform, old) for package in packages]
    others = [dict(entry) for entry in old.entries if entry["platform"] != platform] if old else []
    entries = sorted([*new, *others], key=lambda entry: (entry["manager"], entry["name"], entry["platform"]))
    hashes = dict(old.metadata.get("content_hash") or {}) if old else {}
    platforms = sorted({platform, *(entry["platform"] for entry in others)})
    hashes[platform] = content_hash(_at(specification, platform), platform)
    hashes = {each: hashes.get(each, "") for each in platforms}
    kept = {} if old is None else {key: str(value) for key, value in old.custom.items()}
    notes = {**kept, **(custom or {}), "stale": " ".join(_stale(entries, hashes, platform, specification))}
    document = {
        "version": VERSION,
        "metadata": {
            "content_hash": hashes,
            "channels": [
                {"url": with_variables(channel), "used_env_vars": variables(with_variables(channel))}
                for channel in specification.channels
                if channel != "nodefaults"
            ],
            "platforms": platforms,
            "sources": [specification.file.name],
            "custom_metadata": {key: value for key, value in sorted(notes.items()) if value},
        },
        "package": entries,
    }
    return _HEADER.format(name=file.name) + dump(document)


def _stale(
    entries: Sequence[Mapping[str, Any]], hashes: Mapping[str, str], platform: str, specification: Specification
) -> list[str]:
    """Return the platforms that were locked for another environment.yml, or have other versions of what that names."""
    versions = {(entry["platform"], entry["manager"], entry["name"]): entry["version"] for entry in entries}
    stale = []
    for other in (each for each in hashes if each != platform):
        wanted = _at(specification, other)
        asked = [("conda", spec.name) for spec in wanted.conda]
        asked += [("pip", canonicalize_name(re.split(r"[\s\[<>=!~;@]", line)[0])) for line in wanted.pip]
        pairs = [(versions.get((platform, *name)), versions.get((other, *name))) for name in asked]
        differ = any(here != there for here, there in pairs if here and there)
        stale += [other] if differ or hashes[other] != content_hash(wanted, other) else []
    return stale


def _at(specification: Specification, platform: str) -> Specification:
    return read_specification(specification.file, platform, specification.text)


def _entry(package: Package, platform: str, old: Lock | None) -> dict[str, Any]:
    before = next(
        (
            entry
            for entry in (old.entries if old else ())
            if (entry["manager"], entry["name"], entry["platform"]) == (package.manager, package.name, platform)
        ),
        {},
    )
    digests = {"md5": package.md5, "sha256": package.sha256}
    entry: dict[str, Any] = {
        "name": package.name,
        "version": package.version,
        "manager": package.manager,
        "platform": platform,
        "dependencies": dict(package.dependencies),
        "url": package.url,
        "hash": {name: digest for name, digest in digests.items() if digest},
    }
    if package.source:
        entry["source"] = {"type": "url", "url": package.source}
    return entry | {"category": before.get("category", "main"), "optional": before.get("optional", False)}


def _package(entry: Mapping[str, Any]) -> Package:
    digests = entry.get("hash") or {}
    source = entry.get("source") or {}
    return Package(
        name=entry["name"],
        version=entry["version"],
        manager=entry["manager"],
        build=str(entry.get("build") or "") or (build_of(entry["url"]) if entry["manager"] == "conda" else ""),
        url=entry["url"],
        md5=str(digests.get("md5") or ""),
        sha256=str(digests.get("sha256") or ""),
        dependencies=entry.get("dependencies") or {},
        source=str(source.get("url") or ""),
    )


def _refuse_version(document: Document) -> None:
    if "version" not in document.value:
        fix = "Name the lock itself; environment.yml is none" if "dependencies" in document.value else ""
        document.refuse((), "this is no conda-lock.yml: it has no `version`", fix)
    message = f"version {document.value['version']} of this format is not known, wanted {VERSION}"
    document.refuse(("version",), message, "Update preflight, or write the lock anew: preflight env lock")


def _refuse_entry(document: Document, number: int, entry: object) -> None:
    again = "Write the lock anew: preflight env lock"
    if not isinstance(entry, dict):
        document.refuse(("package", number), "this is no package", again)
    for key in ("name", "version", "manager", "platform", "url"):
        value = entry.get(key)
        if value is None or value == "":
            document.refuse(("package", number, key), f"the package {entry.get('name', '')} has no `{key}`", again)
        if not isinstance(value, str):
            message = f"{value!r} is no text"
            document.refuse(("package", number, key), message, f"Put it in quotes: {key}: '{value}'")
    if entry["manager"] not in _MANAGERS:
        message = f"the manager {entry['manager']} is not known, wanted conda or pip"
        document.refuse(("package", number, "manager"), message, again)
