"""Which of the files that an index offers a distribution was installed from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.tags import Tag, parse_tag
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from preflight.system.packages import Distribution

_ARCHIVES = (".tar.gz", ".zip")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that an index offers; `metadata` is the SHA-256 of its metadata, where the index tells it."""

    name: str
    url: str
    sha256: str
    metadata: str = ""


def chosen(files: Iterable[File], distribution: Distribution) -> File | None:
    """Return the wheel that has the tags of the installed one; else the source of what was built here; else nothing.

    A file whose metadata is not what is installed is another project's of the same name, or another build.
    """
    of_version = [file for file in files if file.sha256 and _is_of(file.name, distribution)]
    wanted, build = _tags(distribution)
    for file in of_version:
        if file.name.endswith(".whl") and _wheel(file.name) == (wanted, build) and _has_metadata(file, distribution):
            return file
    # A wheel that is offered, and was not taken, means that what is here came from elsewhere.
    wheels = [file for file in of_version if file.name.endswith(".whl")]
    sources = [file for file in of_version if file.name.endswith(_ARCHIVES)]
    return sources[0] if sources and not wheels else None


def _is_of(name: str, distribution: Distribution) -> bool:
    try:
        if name.endswith(".whl"):
            project, version, *_ = parse_wheel_filename(name)
        elif name.endswith(_ARCHIVES):
            project, version = parse_sdist_filename(name)
        else:
            return False
        return project == distribution.key and version == Version(distribution.version)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return False


def _wheel(name: str) -> tuple[frozenset[Tag], str]:
    """Return the tags of a wheel, and its build as text."""
    _, _, build, tags = parse_wheel_filename(name)
    return tags, "".join(map(str, build))


def _tags(distribution: Distribution) -> tuple[frozenset[Tag], str]:
    """Return the tags and the build that the installed wheel's own file names."""
    try:
        lines = (distribution.info / "WHEEL").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset(), ""
    fields = [line.partition(": ") for line in lines]
    tags = [tag for name, _, value in fields if name == "Tag" for tag in parse_tag(value.strip())]
    build = next((value.strip() for name, _, value in fields if name == "Build"), "")
    return frozenset(tags), build


def _has_metadata(file: File, distribution: Distribution) -> bool:
    if not file.metadata:
        return True
    try:
        return hashlib.sha256((distribution.info / "METADATA").read_bytes()).hexdigest() == file.metadata
    except OSError:
        return False
