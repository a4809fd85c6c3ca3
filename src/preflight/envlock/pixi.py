"""pixi.lock (versions 5 to 7), read only: pixi itself writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from preflight.envlock.addresses import build_of, file_name
from preflight.envlock.document import Document
from preflight.envlock.model import Package

_KNOWN = (5, 6, 7)


def read_pixi_lock(file: Path, environment: str, platform: str) -> list[Package]:
    """Return the packages of one environment on one platform, those left out that are built from a folder.

    Raises UserError with line and key where the lock cannot be understood, or does not have them.
    """
    document = Document(file)
    value = document.value
    if value.get("version") not in _KNOWN:
        known = f"{_KNOWN[0]} to {_KNOWN[-1]}"
        message = f"version {value.get('version')} of this format is not known, wanted {known}"
        document.refuse(("version",), message, "Update preflight")
    environments = value.get("environments")
    if not isinstance(environments, dict) or environment not in environments:
        document.refuse(("environments",), f"the lock has no environment {environment}", "Lock it:\n    pixi lock")
    platforms = environments[environment].get("packages") or {}
    if platform not in platforms:
        steps = ("environments", environment, "packages")
        there = ", ".join(platforms) or "none"
        document.refuse(steps, f"the lock has no packages for {platform}, only for {there}", "Lock it:\n    pixi lock")
    described = {_address(each): each for each in value.get("packages") or () if isinstance(each, dict)}
    found = []
    for reference in platforms[platform]:
        package = _package(described.get(_address(reference), reference))
        found += [package] if package else []
    return found


def _address(entry: Mapping[str, Any]) -> str:
    return str(entry.get("conda") or entry.get("pypi") or entry.get("url") or "")


def _package(entry: Mapping[str, Any]) -> Package | None:
    url = _address(entry)
    md5, sha256 = (str(entry.get(name) or "") for name in ("md5", "sha256"))
    if "conda" in entry or entry.get("kind") == "conda":
        name, version, build = _parts(url)
        name, version = str(entry.get("name") or name), str(entry.get("version") or version)
        return Package(name=name, version=version, manager="conda", build=build, url=url, md5=md5, sha256=sha256)
    if "version" not in entry or "://" not in url:
        return None
    name = canonicalize_name(str(entry.get("name") or file_name(url).partition("-")[0]))
    return Package(name=name, version=str(entry["version"]), manager="pip", url=url, md5=md5, sha256=sha256)


def _parts(url: str) -> tuple[str, str, str]:
    name, version, build = (["", "", *file_name(url).rsplit("-", 2)])[-3:]
    return name, version, build_of(url) or build
