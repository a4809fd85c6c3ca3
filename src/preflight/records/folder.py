"""The folder of a project's records: taken in one step, appended to line by line, read whatever was left of it."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preflight import writing
from preflight.errors import UserError
from preflight.records import life
from preflight.records.record import Event, Record, now
from preflight.records.states import State

RECORD, LOG, REPORT, CONFIG, ALIVE = "record.json", "log.txt", "report.json", "config.yaml", "alive"
TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.config import Config

DEFAULT = ".preflight/runs"
_UNFINISHED = ".new-"
_FORGOTTEN = 3600.0
_LONGEST_NAME = 200
_UNWANTED = re.compile(r"[\x00-\x1f\x7f/\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Records:
    """The records in `folder`, one folder each, named as the run."""

    folder: Path

    @classmethod
    def of(cls, config: Config) -> Records:
        """Return those of a project: in `launch.records`, by default `.preflight/runs` below its root."""
        chosen = config.launch.records if config.launch else ""
        return cls(config.root / os.path.expanduser(chosen or DEFAULT))

    def create(self, record: Record, *, config: str = "") -> Run:
        """Take the name of a run and write its first state; `config` is the text of its config.

        Of many that want one name at once, one gets it. Raises UserError where the name is taken, with what holds it,
        where it is none, and where the folder cannot be written.
        """
        refuse_name(record.name)
        run = Run(self.folder / record.name)
        unfinished = self.folder / f"{_UNFINISHED}{os.urandom(8).hex()}"
        record = replace(record, created=record.created or now(), launcher=record.launcher or life.Life.of())
        try:
            self._open_folder()
            unfinished.mkdir(mode=0o755)
            writing.replace({unfinished / RECORD: _encoded(record.to_json(), indent=2)})
            if config:
                writing.replace({unfinished / CONFIG: config.encode()}, mode=0o600)
            os.rename(unfinished, run.folder)
            writing.settle(str(self.folder))
        except OSError as problem:
            shutil.rmtree(unfinished, ignore_errors=True)
            if os.path.lexists(run.folder):
                raise self._taken(run) from None
            where = str(problem.filename or self.folder)
            raise UserError(f"the record cannot be written: {problem.strerror}", where=where) from None
        return run

    def run(self, name: str) -> Run:
        """Return the run of that name; raises UserError where there is none, with those that are called alike."""
        run = Run(self.folder / name)
        if name in ("", ".", "..") or "/" in name or "\0" in name or not run.folder.is_dir():
            raise UserError(f"there is no run called {name}", where=str(self.folder), fix=self._alike(name))
        return run

    def names(self) -> list[str]:
        """Return the names of all runs, in no order; none where there is no folder."""
        try:
            with os.scandir(self.folder) as entries:
                return [each.name for each in entries if not each.name.startswith(".") and each.is_dir()]
        except FileNotFoundError:
            return []

    def _open_folder(self) -> None:
        """Make the folder, which git ignores by itself, and sweep what killed launchers have left in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ignore = self.folder / ".gitignore"
        if not ignore.exists():
            writing.replace({ignore: b"*\n"})
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.startswith(_UNFINISHED) and time.time() - entry.stat().st_mtime > _FORGOTTEN:
                    shutil.rmtree(entry.path, ignore_errors=True)

    def _taken(self, run: Run) -> UserError:
        held = run.read()
        fix = f"Choose another --name, or remove the folder {run.folder} if nobody needs that run any more"
        return UserError(
            f"the name {run.name} is taken: a run of {held.created or 'unknown date'}, {held.state}", fix=fix
        )

    def _alike(self, name: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(name, self.names(), n=3)
        return f"Do you mean {', '.join(near)}?" if near else "`preflight runs` lists those that there are."


@dataclass(frozen=True, slots=True)
class Run:
    """The folder of one run; `attempt` counts how often the scheduler has requeued it."""

    folder: Path
    attempt: int = 0

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """What the job prints goes here."""
        return self.folder / LOG

    @property
    def report(self) -> Path:
        """The report of its checks, as `preflight run --format json` writes it."""
        return self.folder / REPORT

    @property
    def config(self) -> Path:
        """The text of its config."""
        return self.folder / CONFIG

    def append(self, kind: str, **facts: Any) -> None:
        """Add one event, which is on the disk when this returns.

        Each machine appends to a file of its own: among processes of one kernel an append is one step, among machines
        that share a network file system it is not (open(2), O_APPEND). Raises OSError where it cannot be written.
        """
        event = Event(at=now(), host=life.host(), kind=kind, attempt=self.attempt, facts=facts)
        file = self.folder / f"events-{life.boot() or life.host()}.jsonl"
        # The first newline ends what another writer may have left half written.
        line = b"\n" + _encoded(event.to_json()) + b"\n"
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - a short write is one of the errors
            os.fsync(descriptor)
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, str(file)) from None
        finally:
            os.close(descriptor)

    def enter(self, state: State, **facts: Any) -> None:
        """Say that the run is in a state now; `facts` are fields of Record that are known with it."""
        self.append("state", state=str(state), **facts)

    def know(self, **facts: Any) -> None:
        """Say what has become known: fields of Record."""
        self.append("known", **facts)

    def beat(self) -> None:
        """Give a sign of life, best every minute: after ten without any, other machines take the run to be lost."""
        with suppress(OSError):
            (self.folder / ALIVE).touch()

    def read(self) -> Record:
        """Return what is known; what cannot be read is told in its `flaws`, and never raises."""
        events, flaws = self.events()
        record = Record(name=self.name)
        try:
            with open(self.folder / RECORD, "rb") as file:
                record = Record.from_json({**json.load(file), "name": self.name})
        except FileNotFoundError:
            flaws.append(f"{RECORD} is not there")
        except OSError as problem:
            flaws.append(f"{RECORD} cannot be read: {problem.strerror}")
        except (ValueError, TypeError, RecursionError) as problem:
            flaws.append(f"{RECORD} cannot be read: {problem}")
        return replace(record, flaws=tuple(flaws)).after(events)

    def events(self) -> tuple[list[Event], list[str]]:
        """Return what has happened, in the order of time, and a line for each piece that cannot be read."""
        events: list[Event] = []
        flaws: list[str] = []
        for name, line in self._lines(flaws):
            try:
                events.append(Event.from_json(json.loads(line)))
            except (ValueError, RecursionError):
                flaws.append(f"{name} holds a line that is cut off or damaged")
        return sorted(events, key=lambda event: event.at), flaws

    def _lines(self, flaws: list[str]) -> Iterator[tuple[str, bytes]]:
        try:
            names = [each for each in os.listdir(self.folder) if each.startswith("events-")]
        except OSError as problem:
            flaws.append(f"the folder cannot be read: {problem.strerror}")
            return
        for name in names:
            try:
                with open(self.folder / name, "rb") as file:
                    yield from ((name, line) for line in file.read().split(b"\n") if line)
            except OSError as problem:
                flaws.append(f"{name} cannot be read: {problem.strerror}")


def refuse_name(name: str) -> None:
    """Raise UserError where a run cannot be called so; spaces, quotes, dollars and any alphabet are fine."""
    fix = "Use a name of at most 200 bytes without / and control characters that begins with neither . nor -"
    if not name or name[0] in ".-" or _UNWANTED.search(name) or len(os.fsencode(name)) > _LONGEST_NAME:
        raise UserError(f"a run cannot be called {name!r}", fix=fix)


def _encoded(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent, default=_plain).encode()


def _plain(value: Any) -> Any:
    return value.to_json() if isinstance(value, life.Life) else str(value)
