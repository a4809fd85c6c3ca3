"""foo.yaml as a `Config`: the sections of `preflight:`, each mistake told with file, line and key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Location:
    """Where something stands: file, line (from 1; 0 is unknown) and key (`preflight.data[0].path`)."""

    file: str = ""
    line: int = 0
    key: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}" if self.file else self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One module of `imports:`, by its import name; `version` is a specifier such as `>=2.4`, empty for any."""

    name: str
    version: str = ""
    optional: bool = False
    deadline: float | None = None
    at: Location = Location()


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """`packages:`: the lock files that the environment must agree with, and whether it must agree with itself."""

    lock: tuple[str, ...] = ()
    consistent: bool = True
    at: Location = Location()


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """`files:` of a data entry: which files below the path count, and how many there must be."""

    glob: str = "**/*"
    min: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """`rows:` of a data entry: how many rows a table must have."""

    min: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """`values:` of a column: the range (both ends allowed), the set, whether cells may be missing or repeat."""

    between: tuple[float, float] | None = None
    one_of: tuple[Any, ...] | None = None
    missing: bool | None = None
    unique: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """One entry of `data:`: exactly one of `path` (file, folder, glob or URL), `manifest` and `hub` is set.

    Paths are as written, `root` not yet joined; `hub_files` are the names that a hub entry lists under `files:`.
    """

    path: str = ""
    manifest: str = ""
    hub: str = ""
    files: Files | None = None
    hub_files: tuple[str, ...] = ()
    open: int | Literal["all"] | None = None
    columns: tuple[str, ...] = ()
    rows: Rows | None = None
    missing: bool | None = None
    values: Mapping[str, Values] = field(default_factory=dict)
    encoding: str = ""
    sha256: str = ""
    deadline: float | None = None
    at: Location = Location()


@dataclass(frozen=True, slots=True, kw_only=True)
class PathEntry:
    """One entry of `paths:`; `access` holds `read`, `write`, `execute`; `free` is in bytes."""

    path: str
    access: frozenset[str] = frozenset({"read"})
    free: int | None = None
    inodes: int | None = None
    empty: bool | None = None
    deadline: float | None = None
    at: Location = Location()


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """`system:`: what the job needs of its machine; `ram` and `shm` are in bytes, `hosts` are `name:port`."""

    ram: int | None = None
    shm: int | None = None
    nofile: int | None = None
    processes: int | None = None
    ports: tuple[int, ...] = ()
    commands: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    at: Location = Location()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """`gpu:`: how many devices, bytes of memory on each, compute capability (a specifier such as `>=8.0`), dtypes."""

    count: int | None = None
    memory: int | None = None
    capability: str = ""
    dtypes: tuple[str, ...] = ()
    idle: bool | None = None
    at: Location = Location()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """`seeds:`: the seed, and the step (`module:function`) or the command that must repeat itself under it."""

    value: int = 0
    step: str = ""
    command: str = ""
    deadline: float | None = None
    at: Location = Location()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """`rehearsal:`: the real program, and the seconds that it may take."""

    command: str = ""
    time: float = 120.0
    at: Location = Location()


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """`code:`: the run must be tied to a commit; nothing may be uncommitted."""

    commit: bool | None = None
    clean: bool | None = None
    at: Location = Location()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """One entry of `ignore:`: the id of a finding, why it does not count, and the last day on which it does not."""

    id: str
    reason: str
    until: date | None = None
    at: Location = Location()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All that foo.yaml says, checked and resolved.

    `source` is the file (empty without one), `root` the folder that relative paths start from, `python` the job's
    interpreter, `deadline` the seconds that a check may take, `experiment` the rest of the file.
    A section that is None was not asked for.
    """

    source: str = ""
    root: Path = field(default_factory=Path.cwd)
    python: str = ""
    deadline: float = 60.0
    imports: tuple[Import, ...] = ()
    packages: Packages | None = None
    data: tuple[Data, ...] = ()
    paths: tuple[PathEntry, ...] = ()
    system: System | None = None
    gpu: Gpu | None = None
    seeds: Seeds | None = None
    rehearsal: Rehearsal | None = None
    code: Code | None = None
    checks: Mapping[str, Any] = field(default_factory=dict)
    ignore: tuple[Ignore, ...] = ()
    experiment: Mapping[str, Any] = field(default_factory=dict)
