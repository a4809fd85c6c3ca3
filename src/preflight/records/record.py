"""The record of a run: one value that says all of it, read from what was written when it began and what came after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

from preflight.records.life import Life
from preflight.records.states import State

SCHEMA = "preflight.record/1"


def now() -> str:
    """Return the time as records hold it: ISO 8601 in UTC, so that text sorts as time does."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened: when, at which host, in which attempt, what kind, and its facts.

    Two kinds have a meaning here: `state` (its facts hold `state`, and any other field of Record) and `known` (fields
    of Record that become known without a change of state). Others (`command`, `scheduler`, `environment`, …) are only
    kept and shown.
    """

    at: str
    host: str
    kind: str
    attempt: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"at": self.at, "host": self.host, "kind": self.kind, "attempt": self.attempt, "facts": dict(self.facts)}

    @classmethod
    def from_json(cls, data: Any) -> Event:
        """Read what `to_json` wrote; raises ValueError where it is something else."""
        told = data if isinstance(data, dict) else {}
        at, kind, facts, attempt = told.get("at"), told.get("kind"), told.get("facts", {}), told.get("attempt", 0)
        if isinstance(at, str) and isinstance(kind, str) and isinstance(facts, dict) and isinstance(attempt, int):
            return cls(at=at, host=str(told.get("host", "")), kind=kind, attempt=attempt, facts=facts)
        raise ValueError("not an event")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """All that is known of a run.

    `command` is the job's argv; `config` the file as it was named and `root` the folder of the project; `way` is how it
    was started (`local`, `tmux`, `ssh:HOST`, `slurm`); `strict` says that warnings count. `commit` is what runs,
    `snapshot` the ref that holds it where the tree was not clean, `changes` the diff-stat against the branch; `lock` is
    the digest of the environment's lock file, `environment` the folder of the environment, `checkout` the folder that
    the run executes in. `launcher` is the process that started it and `job` the process that it is; `slurm` is its job
    id, `session` its tmux session. `attempt` counts requeues from 0. Times are ISO 8601 in UTC. `reason` says in one
    line why it was refused, failed or is lost. `flaws` are lines that tell what could not be read.
    """

    name: str
    command: tuple[str, ...] = ()
    config: str = ""
    root: str = ""
    way: str = "local"
    strict: bool = False
    created: str = ""
    launcher: Life | None = None
    commit: str = ""
    branch: str = ""
    snapshot: str = ""
    changes: str = ""
    lock: str = ""
    environment: str = ""
    checkout: str = ""
    host: str = ""
    job: Life | None = None
    slurm: str = ""
    session: str = ""
    verdict: str = ""
    state: State = State.CREATED
    attempt: int = 0
    started: str = ""
    ended: str = ""
    exit_code: int | None = None
    reason: str = ""
    flaws: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """How long the job has run, None where that is not known."""
        try:
            began = datetime.fromisoformat(self.started)
            ended = datetime.fromisoformat(self.ended) if self.ended else None
            if ended is None and self.state.is_end:
                return None
            return max(0.0, ((ended or datetime.now(UTC)) - began).total_seconds())
        except (ValueError, TypeError):  # no time, or one without a zone beside one with
            return None

    def to_json(self) -> dict[str, Any]:
        """Return plain values, those that are empty left out."""
        told = {each.name: value for each in fields(self) if (value := getattr(self, each.name)) not in ("", (), None)}
        return {"schema": SCHEMA, **{name: _plain(value) for name, value in told.items() if value is not False}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """Read what `to_json` wrote; keys of a later version are passed over.

        Raises ValueError where `data` is no record, or one of a schema that this version cannot read.
        """
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            found = data.get("schema") if isinstance(data, Mapping) else data
            raise ValueError(f"its schema is {found!r}, this version reads {SCHEMA!r}")
        return cls(**{"name": "", **_known(data)})

    def after(self, events: Iterable[Event]) -> Record:
        """Return what the record is once these events have happened; one that cannot be understood is a flaw."""
        told: dict[str, Any] = {"attempt": self.attempt}
        flaws, ways = list(self.flaws), []
        for event in sorted(events, key=lambda each: (each.attempt, each.at)):
            try:
                facts = _known(event.facts) if event.kind in MEANINGFUL else {}
            except ValueError as problem:
                flaws.append(f"an event of {event.at} cannot be understood: {problem}")
                continue
            begins_again = _OF_AN_END if event.attempt > told["attempt"] else {}
            told |= {**begins_again, **facts, "attempt": max(event.attempt, told["attempt"])}
            ways += [(event.attempt, facts["state"].rank, event.at, facts)] if "state" in facts else []
        *_, last = max(ways, key=lambda way: way[:3], default=({},))
        of_its_end = {name: value for name, value in last.items() if name == "state" or name in _OF_AN_END}
        return replace(self, **{**told, **of_its_end, "name": self.name, "flaws": tuple(flaws)})


MEANINGFUL = ("state", "known")
_OF_AN_END: Mapping[str, Any] = {"started": "", "ended": "", "exit_code": None, "reason": "", "verdict": ""}

_NAMES = {each.name for each in fields(Record)}
_TEXTS = {each.name for each in fields(Record) if each.type == "str"}
_NUMBERS: Mapping[str, Any] = {"attempt": int, "exit_code": int | None}


def _plain(value: Any) -> Any:
    if isinstance(value, Life):
        return value.to_json()
    return list(value) if isinstance(value, tuple) else value


def _known(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of Record in `data`, each as its type; raises ValueError where one cannot be that."""
    values = {name: value for name, value in data.items() if name in _NAMES}
    try:
        for name in ("launcher", "job"):
            if values.get(name) is not None:
                values[name] = Life.from_json(values[name])
        for name in ("command", "flaws"):
            if name in values:
                values[name] = tuple(str(each) for each in values[name])
        if "state" in values:
            values["state"] = State(values["state"])
    except (TypeError, AttributeError) as problem:
        raise ValueError(f"not a record: {problem}") from None
    for name, value in values.items():
        wanted = str if name in _TEXTS else _NUMBERS.get(name)
        if wanted is not None and not isinstance(value, wanted):
            raise ValueError(f"its {name} is {value!r}")
    return values
