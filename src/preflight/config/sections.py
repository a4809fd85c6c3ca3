"""The sections of `preflight:` as dataclasses: they are the schema, each key read by the type of its field."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from preflight.config.document import Location, Node
from preflight.config.nodes import Nodes
from preflight.config.scalars import (
    Access,
    Choice,
    Column,
    Command,
    Count,
    Day,
    Drifted,
    Dtype,
    Duration,
    Encoding,
    FindingId,
    Folder,
    Glob,
    Host,
    Module,
    Open,
    Port,
    Python,
    Question,
    Range,
    Requeues,
    Seed,
    Sha256,
    Size,
    Specifiers,
    Step,
    Variable,
)

NOWHERE = Location()

_VERSION = re.compile(r"([^\s<>=!~]+)\s*([<>=!~].*)?")
_DATABASE = re.compile(
    r"(sqlite|postgres|postgresql|mysql|mariadb|oracle|mssql)(\+\w+)?://|.*\.(db|db3|sqlite|sqlite3)$"
)
_NO_KEY: Mapping[str, Any] = {"key": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One module of `imports:`, by its import name; `version` is a specifier such as `>=2.4`, empty for any."""

    name: Module
    version: Specifiers = ""
    optional: bool = False
    deadline: Duration | None = None
    at: Location = NOWHERE

    @staticmethod
    def from_text(text: str) -> dict[str, str]:
        """Return the keys that a bare `torch>=2.4` stands for."""
        match = _VERSION.fullmatch(text.strip())
        return {"name": match[1], "version": match[2]} if match and match[2] else {"name": text.strip()}

    @staticmethod
    def rename(mapping: dict[str, Node]) -> dict[str, Node]:
        """Split `{name: torch>=2.4}` as well."""
        name = mapping.get("name")
        if name is None or "version" in mapping or not isinstance(name.value, str):
            return mapping
        parts = Import.from_text(name.value)
        return mapping | {key: Node(value, name.line, name.written) for key, value in parts.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """`packages:`: the lock files that the environment must agree with, and whether it must agree with itself."""

    lock: tuple[str, ...] = ()
    consistent: bool = True
    at: Location = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """`files:` of a data entry: which files below the path count, and how many there must be."""

    glob: Glob = "**/*"
    min: Count | None = None
    max: Count | None = None

    def __post_init__(self) -> None:
        _refuse_reversed(self.min, self.max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """`rows:` of a data entry: how many rows a table must have."""

    min: Count | None = None
    max: Count | None = None

    def __post_init__(self) -> None:
        _refuse_reversed(self.min, self.max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """`values:` of a column: the range (both ends allowed), the set, whether cells may be missing or repeat."""

    between: Range | None = None
    one_of: Choice | None = None
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
    hub_files: tuple[str, ...] = field(default=(), metadata={"key": "files"})
    open: Open | None = None
    columns: tuple[Column, ...] = ()
    rows: Rows | None = None
    missing: bool | None = None
    values: Mapping[str, Values] = field(default_factory=dict)
    encoding: Encoding = ""
    sha256: Sha256 = ""
    deadline: Duration | None = None
    at: Location = NOWHERE

    def __post_init__(self) -> None:
        kinds = [kind for kind in ("path", "manifest", "hub") if getattr(self, kind)]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none of them"
            raise ValueError(f"found {found}, wanted exactly one of path, manifest and hub")
        allowed = {*kinds, "hub_files" if self.hub else "files", "deadline", "at"}
        if not self.path and (extra := [name for name in _given(self) if name not in allowed]):
            raise ValueError(f"`{extra[0].removeprefix('hub_')}` does not go with `{kinds[0]}`")
        if self.path and self.hub_files:
            raise ValueError("`files` is a list, wanted a mapping such as {glob: '**/*.png', min: 100}")

    @property
    def local(self) -> str:
        """The path where it leads into a file system, else nothing."""
        return "" if "://" in self.path else self.path

    @property
    def database(self) -> str:
        """The path where it is the URL of an SQL database, or a file called like one of SQLite, else nothing."""
        return self.path if _DATABASE.match(self.path) else ""

    @property
    def url(self) -> str:
        """The path where it is the URL of files, else nothing."""
        return "" if self.local or self.database else self.path

    @staticmethod
    def from_text(text: str) -> dict[str, str]:
        """Return the keys that a bare path stands for."""
        return {"path": text}

    @staticmethod
    def rename(mapping: dict[Any, Node]) -> dict[Any, Node]:
        """Tell the file names of a hub entry from the `files` that a path must hold."""
        files = mapping.get("files")
        if files is None or isinstance(files.value, dict):
            return mapping
        return {("hub_files" if key == "files" else key): child for key, child in mapping.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class PathEntry:
    """One entry of `paths:`; `access` holds `read`, `write`, `execute`; `free` is in bytes."""

    path: str
    access: Access = frozenset({"read"})
    free: Size | None = None
    inodes: Count | None = None
    empty: bool | None = None
    deadline: Duration | None = None
    at: Location = NOWHERE

    @staticmethod
    def from_text(text: str) -> dict[str, str]:
        """Return the keys that a bare path stands for."""
        return {"path": text}


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """`system:`: what the job needs of its machine; `ram` and `shm` are in bytes, `hosts` are `name:port`."""

    ram: Size | None = None
    shm: Size | None = None
    nofile: Count | None = None
    processes: Count | None = None
    ports: tuple[Port, ...] = ()
    commands: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()
    credentials: tuple[str, ...] = ()
    hosts: tuple[Host, ...] = ()
    at: Location = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """`gpu:`: how many devices, bytes of free memory on each, and what they, their driver and its CUDA must be.

    `capability`, `driver` and `cuda` are specifiers such as `>=8.0`. `dtypes` are computed in; `idle` wants nobody else
    on the devices; `mig` says whether they are to be cut into MIG devices; `p2p` and `perf` want their connections and
    their speed measured. `device` is what the experiment calls its device; where that is no GPU, nothing is asked.
    """

    device: str = ""
    count: Count | None = None
    memory: Size | None = None
    capability: Specifiers = ""
    driver: Specifiers = ""
    cuda: Specifiers = ""
    dtypes: tuple[Dtype, ...] = ()
    idle: bool | None = None
    mig: bool | None = None
    p2p: bool | None = None
    perf: bool | None = None
    at: Location = NOWHERE

    @property
    def is_asked(self) -> bool:
        """Whether the experiment runs on a GPU."""
        return not self.device or self.device.lower().startswith(("cuda", "gpu"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """`seeds:`: the seed, and the step (`module:function`) or the command that must repeat itself under it.

    `resume` is a command that goes on where `command` was broken off, and must end where it would have ended.
    """

    value: Seed = 0
    step: Step = ""
    command: Command = ""
    resume: Command = ""
    deadline: Duration | None = None
    at: Location = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """`rehearsal:`: the real program, and the seconds that it may take.

    `batches` are how many it sees at the beginning of each pass over its data, before the last one; `resume` is the
    command that goes on from what it saved; `within` is how long the real run may take; `in_place` lets it write into
    the real folders where there is no other way; `learning` names further questions about what it learns.
    """

    command: Command = ""
    time: Duration = 120.0
    batches: Count = 3
    resume: Command = ""
    within: Duration | None = None
    in_place: bool = False
    learning: tuple[Question, ...] = ()
    at: Location = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """`code:`: the run must be tied to a commit; nothing may be uncommitted."""

    commit: bool | None = None
    clean: bool | None = None
    at: Location = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ssh:
    """`launch.ssh:`: the Python of a host that has preflight, by default the same path as here; the folder for runs."""

    python: Python = ""
    folder: str = ".preflight/ssh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """`launch:`: how runs are started.

    `records` is the folder that their records are kept in. `environment` says what happens where it is no longer what
    its lock says. `link` are paths below the root that git ignores and a run needs: its checkout has links to them.
    `slurm` are options of sbatch, `ssh` says where a run lies on a host and which Python has preflight there. `requeue`
    is how often a job of Slurm's may be put back into the queue without those of its nodes that have refused it.
    """

    records: str = ""
    environment: Drifted = "refuse"
    link: tuple[str, ...] = ()
    slurm: Mapping[str, Any] = field(default_factory=dict)
    requeue: Requeues = 0
    ssh: Ssh | None = None
    at: Location = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """One entry of `ignore:`: the id of a finding, why it does not count, and the last day on which it does not."""

    id: FindingId
    reason: str
    until: Day | None = None
    at: Location = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All that foo.yaml says, checked and resolved.

    `source` is the file (empty without one) and `text` what it held when it was read, `root` the folder that relative
    paths start from, `python` the job's interpreter (empty: the one that runs preflight), `deadline` the seconds that a
    check may take, `experiment` the rest of the file; `drafted` is true where the section was read from the project's
    code. A section that is None was not asked for.
    """

    source: str = field(default="", metadata=_NO_KEY)
    text: str = field(default="", metadata=_NO_KEY, repr=False)
    drafted: bool = field(default=False, metadata=_NO_KEY)
    root: Folder = Path()
    python: Python = ""
    deadline: Duration = 60.0
    imports: tuple[Import, ...] = ()
    packages: Packages | None = None
    data: tuple[Data, ...] = ()
    paths: tuple[PathEntry, ...] = ()
    system: System | None = None
    gpu: Gpu | None = None
    seeds: Seeds | None = None
    rehearsal: Rehearsal | None = None
    code: Code | None = None
    launch: Launch | None = None
    nodes: Nodes | None = None
    checks: Mapping[str, Any] = field(default_factory=dict)
    ignore: tuple[Ignore, ...] = ()
    experiment: Mapping[str, Any] = field(default_factory=dict, metadata=_NO_KEY)

    @property
    def commands(self) -> tuple[str, ...]:
        """The command lines of the job, as far as sections name them."""
        sections = (self.rehearsal, self.seeds)
        return tuple(section.command for section in sections if section and section.command)

    @property
    def import_seconds(self) -> dict[str, float]:
        """The modules of `imports:` in their order, each with the seconds that its import may take."""
        return {entry.name: entry.deadline or self.deadline for entry in self.imports}

    @property
    def digest(self) -> str:
        """The SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def _given(entry: Any) -> list[str]:
    """Return the names of the fields that are not at their default."""
    return [each.name for each in fields(entry) if getattr(entry, each.name) not in (None, "", (), {})]


def _refuse_reversed(low: int | None, high: int | None) -> None:
    if low is not None and high is not None and low > high:
        raise ValueError(f"min {low} is above max {high}")
