"""The words of a report: Finding, Result, Place and Report, and how they are stored as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cache
from typing import Any

SCHEMA = "preflight.report/1"

Json = dict[str, Any]

# What the one place of a run without others is called.
LOCAL = "local"


class Severity(StrEnum):
    """How much a finding weighs: only an error refuses the launch, a warning does so under `--strict`."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Status(StrEnum):
    """How one check ended at one place."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    BROKEN = "BROKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check has to say.

    `message` is one line in the present tense that names the thing; `found` and `wanted` are the two values it is
    about; `cause` says why; `fix` starts with a verb, and commands in it stand on lines of their own, indented by
    four spaces; `evidence` holds facts, never prose; `file` and `line` point at what to edit; `ignored` is the reason
    of the `ignore:` entry that matched, empty where none did.
    """

    severity: Severity
    message: str
    id: str = ""
    found: str = ""
    wanted: str = ""
    cause: str = ""
    fix: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    line: int = 0
    ignored: str = ""

    def to_json(self) -> Json:
        """Return plain values, those that are empty by default left out."""
        return _told(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """Read what `to_json` wrote; keys of a later version are passed over."""
        return cls(**{**_known(cls, data), "severity": Severity(data["severity"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A check before it has run.

    `title` is the first line of its docstring and `page` the whole; `asked` is true where the config asks for it by
    name; `deadline` is in seconds; `needs` are the modules that it wants imported; `at` is the side of a launch that
    alone can tell (`launch` or `node`), empty where both can.
    """

    id: str
    title: str = ""
    page: str = ""
    file: str = ""
    line: int = 0
    tags: Sequence[str] = ()
    asked: bool = False
    deadline: float = 60.0
    needs: Sequence[str] = ()
    at: str = ""

    @property
    def family(self) -> str:
        """The first word of the id."""
        return self.id.partition(".")[0]

    def to_json(self) -> Json:
        """Return plain values, those that are empty by default left out."""
        return _told(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Planned:
        """Read what `to_json` wrote; keys of a later version are passed over."""
        return cls(**_known(cls, data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One check at one place.

    `check` is the check's id (`data.is-readable[train]`); `reason` says why a check was SKIPPED or BROKEN and is
    never empty there; `asked` is true where the config asked for this check by name; `started` and `seconds` are
    seconds, the first counted from the start of the run; `output` is what the check printed, its middle left out
    where long; `traceback` is Python's, or the C stack where a process died.
    """

    check: str
    status: Status
    title: str = ""
    findings: Sequence[Finding] = ()
    reason: str = ""
    asked: bool = False
    place: str = LOCAL
    started: float = 0.0
    seconds: float = 0.0
    output: str = ""
    traceback: str = ""
    file: str = ""
    line: int = 0

    @property
    def family(self) -> str:
        """The first word of the id: `data` of `data.is-readable[train]`."""
        return self.check.partition(".")[0]

    def to_json(self) -> Json:
        """Return plain values, those that are empty by default left out."""
        plain = _told(self)
        if self.findings:
            plain["findings"] = [finding.to_json() for finding in self.findings]
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """Read what `to_json` wrote; keys of a later version are passed over."""
        findings = tuple(Finding.from_json(each) for each in data.get("findings", ()))
        return cls(**{**_known(cls, data), "status": Status(data["status"]), "findings": findings})


class Presence(StrEnum):
    """What became of a place where checks were to run."""

    ANSWERED = "answered"
    ABSENT = "never started"
    SILENT = "fell silent"
    LOST = "lost"
    CANCELLED = "cancelled"
    LATE = "out of time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One of several places of a run.

    `name` is what results call it in `place`: a node's name as its scheduler or its user writes it; `reason` is one
    line and never empty where `presence` is not ANSWERED; `running` are the checks that it was last heard to be in;
    `seconds` is when its last word came, counted from the start of the run; `facts` holds of the facts gathered there
    those that are not the same at every place.
    """

    name: str
    presence: Presence = Presence.ANSWERED
    reason: str = ""
    running: Sequence[str] = ()
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> Json:
        """Return plain values, those that are empty by default left out."""
        return _told(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Place:
        """Read what `to_json` wrote; keys of a later version are passed over."""
        return cls(**{**_known(cls, data), "presence": Presence(data["presence"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a reader may need, and the only thing that is stored.

    `facts` is what was seen of the host (`host`, `python`, `packages`, `commit`, `gpus`, `config_digest`, …), where
    there are several places what all that answered share; `places` are those places, empty where the run had one;
    `started` is an ISO 8601 time with its zone, `seconds` the length of the run; `strict` is how the run was to be
    judged; `interrupted` is true where it was broken off, so that some checks are missing.
    """

    results: Sequence[Result]
    facts: Mapping[str, Any] = field(default_factory=dict)
    places: Sequence[Place] = ()
    config: str = ""
    started: str = ""
    seconds: float = 0.0
    strict: bool = False
    interrupted: bool = False
    schema: str = SCHEMA

    def to_json(self) -> Json:
        """Return plain values that `json.dumps` takes."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        results = [result.to_json() for result in self.results]
        places = [place.to_json() for place in self.places]
        return {"schema": plain.pop("schema"), **plain, "results": results, "places": places}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """Read what `to_json` wrote.

        Raises ValueError where `data` is no report or one of a schema that this version cannot read.
        """
        if data.get("schema") != SCHEMA:
            raise ValueError(f"schema is {data.get('schema')!r}, this version reads {SCHEMA!r}")
        try:
            results = tuple(Result.from_json(each) for each in data["results"])
            places = tuple(Place.from_json(each) for each in data.get("places", ()))
            return cls(**{**_known(cls, data), "results": results, "places": places})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a report: {error!r}") from error

    def with_results(self, results: Sequence[Result]) -> Report:
        """Return the same report with other results."""
        return replace(self, results=tuple(results))


_REQUIRED = {"severity", "message", "check", "status", "name", "presence"}


def _told(words: Finding | Result | Planned | Place) -> Json:
    kind: type = type(words)
    return {name: value for name in _names(kind) if (value := getattr(words, name)) or name in _REQUIRED}


def _known(cls: type, data: Mapping[str, Any]) -> dict[str, Any]:
    names = _names(cls)
    return {key: value for key, value in data.items() if key in names}


@cache
def _names(cls: type) -> dict[str, None]:
    return dict.fromkeys(each.name for each in fields(cls))
