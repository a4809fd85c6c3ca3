"""What a lock file wants installed: requirements.txt, pylock.toml and uv.lock as a list of pins."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_CONDA = (".yml", ".yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One requirement of a lock, and where it stands; one that is not `needed` only binds what is installed anyway."""

    requirement: Requirement
    file: Path
    line: int = 0
    needed: bool = True


class LockError(ValueError):
    """A lock file that cannot be read; `line` is 0 where no line is to blame."""

    def __init__(self, message: str, file: Path, line: int = 0) -> None:
        super().__init__(message)
        self.file = file
        self.line = line


def is_conda_lock(path: str) -> bool:
    """Say whether `path` names a lock or an environment of conda's."""
    return path.endswith(_CONDA)


def read_lock(file: Path) -> list[Pin]:
    """Return the pins that hold for this interpreter and machine.

    Raises OSError where the file cannot be read, and LockError where it makes no sense.
    """
    if file.suffix not in (".toml", ".lock"):
        return list(_requirements(file, needed=True, within=()))
    import tomllib

    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LockError(f"not TOML: {error}", file) from error
    packages = document.get("packages") or document.get("package")
    if not isinstance(packages, list) or not all(isinstance(each, dict) and "name" in each for each in packages):
        raise LockError("neither `packages` (pylock.toml) nor `package` (uv.lock) lists what to install", file)
    return list(_pylock(file, packages) if "packages" in document else _uv_lock(file, packages))


def _requirements(file: Path, *, needed: bool, within: tuple[Path, ...]) -> Iterator[Pin]:
    if file in within:
        raise LockError("the file includes itself", file)
    for number, line in _logical_lines(file):
        option, other = _included(line)
        if other:
            included = file.parent / other
            if not included.is_file():
                raise LockError(f"{option} {other}: there is no such file", file, number)
            yield from _requirements(included, needed=needed and option == "-r", within=(*within, file))
        elif (requirement := _requirement(line, file, number)) and _holds(requirement.marker, file):
            yield Pin(requirement=requirement, file=file, line=number, needed=needed)


def _logical_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield each requirement or option with the number of its first line, comments and continuations undone."""
    text, start = "", 0
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        start = start if text else number
        bare = re.sub(r"(^|\s)#.*$", "", line)
        text += bare.removesuffix("\\")
        if bare.endswith("\\") and number < len(lines):
            continue
        if text.strip():
            yield start, text.strip()
        text = ""


def _included(line: str) -> tuple[str, str]:
    found = re.match(r"(?:-(?P<short>[rc])\s*|--(?P<long>requirement|constraint)[=\s]\s*)(?P<file>.+)$", line)
    return ("-" + (found["short"] or found["long"][0]), found["file"].strip("\"' ")) if found else ("", "")


def _requirement(line: str, file: Path, number: int) -> Requirement | None:
    if line.startswith("-"):
        return None
    text = re.split(r"\s--?\w", os.path.expandvars(line), maxsplit=1)[0].strip()
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        if _is_path_or_url(text):
            return None
        raise LockError(f"`{text}` is no requirement", file, number) from error


def _is_path_or_url(text: str) -> bool:
    return (
        "://" in text or "/" in text.partition(";")[0] or text.startswith(".") or text.endswith((".whl", ".gz", ".zip"))
    )


def _pylock(file: Path, packages: list[dict[str, Any]]) -> Iterator[Pin]:
    for package in packages:
        if "version" in package and _holds(package.get("marker"), file):
            yield Pin(requirement=Requirement(f"{package['name']}=={package['version']}"), file=file)


def _uv_lock(file: Path, packages: list[dict[str, Any]]) -> Iterator[Pin]:
    """Walk from the project itself: the lock holds what every platform and every extra needs."""
    versions: dict[str, list[dict[str, Any]]] = {}
    for package in packages:
        versions.setdefault(canonicalize_name(package["name"]), []).append(package)
    waiting = [package for package in packages if {"editable", "virtual"} & package.get("source", {}).keys()]
    seen: set[int] = set()
    while waiting:
        package = waiting.pop()
        if id(package) in seen:
            continue
        seen.add(id(package))
        if "registry" in package.get("source", {}):
            yield Pin(requirement=Requirement(f"{package['name']}=={package['version']}"), file=file)
        for edge in package.get("dependencies", ()):
            if _holds(edge.get("marker"), file):
                waiting += _chosen(versions.get(canonicalize_name(edge["name"]), []), edge)


def _chosen(packages: list[dict[str, Any]], edge: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [package for package in packages if edge.get("version") in (None, package.get("version"))]


def _holds(marker: object, file: Path) -> bool:
    if not marker:
        return True
    try:
        return Marker(str(marker)).evaluate({"extra": ""})
    except InvalidMarker as error:
        raise LockError(f"`{marker}` is no marker", file) from error
