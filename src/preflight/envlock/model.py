"""A package as a lock or an environment has it, and one difference between the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One locked or installed package.

    `manager` is `conda` or `pip`. `dependencies` holds a version specifier for each name. `source` says where one came
    from that no index offers: a git URL with its commit, or the folder of an installation from a folder.
    """

    name: str
    version: str
    manager: str
    build: str = ""
    url: str = ""
    md5: str = ""
    sha256: str = ""
    dependencies: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    editable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference between a lock (`before`) and an environment (`after`); None where the package is not there.

    `kind` is `version`, `missing`, `extra`, `build`, `source` or `edited`.
    """

    name: str
    manager: str
    before: Package | None
    after: Package | None
    kind: str
