"""The two sides of a comparison: which run, report or remembered state a word means, and the world that it met."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from preflight.errors import UserError
from preflight.model import Report
from preflight.records import memory
from preflight.records.folder import Records, Run
from preflight.records.listing import settled, settled_record
from preflight.records.record import Record
from preflight.records.states import State
from preflight.records.world import World, world_of
from preflight.verdict import decide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.config import Config

_RED = frozenset({State.REFUSED, State.FAILED, State.LOST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two: what it is called, when it was (ISO 8601), what came of it, and the world that it met."""

    name: str
    at: str
    outcome: str
    world: World
    report: Report | None = None


def named(word: str, records: Records) -> Side:
    """Return the side that a word means: a stored report where there is such a file, else a run.

    Raises UserError where it is neither.
    """
    if os.path.isfile(word):
        report = _report(word)
        if report is None:
            raise UserError(f"{word} is no report", fix="`preflight run --format json --output FILE` writes one.")
        return Side(
            name=word,
            at=report.started,
            outcome=decide(report).word,
            world=world_of(report.facts),
            report=report,
        )
    run = records.run(word)
    return of_run(run, settled_record(run))


def by_default(records: Records, config: Config, after: Side | None = None) -> tuple[Side, Side]:
    """Return the last green state and the failing one that came last, of launched runs and plain ones together.

    With `after`, that is the second side, and the first is what was green before it. Raises UserError where there is no
    pair to compare.
    """
    known = sorted([*_of_runs(records), *_remembered(config)], key=lambda each: each.at)
    if after is None:
        reds = [each for each in known if not each.is_green]
        if not reds:
            fix = "Name two runs to compare: preflight diff A B"
            raise UserError("nothing has failed here yet, so there is nothing to explain", fix=fix)
        after = reds[-1].side()
    greens = [each for each in known if each.is_green and each.at < after.at]
    if not greens:
        raise UserError(
            f"nothing has worked before {after.name}, as far as is known",
            fix="Name two runs to compare: preflight diff A B",
        )
    return greens[-1].side(), after


@dataclass(frozen=True, slots=True)
class _Known:
    """A side before anything of its world is read."""

    at: str
    is_green: bool
    side: Callable[[], Side]


def _of_runs(records: Records) -> Iterator[_Known]:
    read = [Run(records.folder / name).read() for name in records.names()]
    for record in settled(records, read):
        is_green = record.state is State.FINISHED and record.exit_code == 0
        if is_green or record.state in _RED:
            run = Run(records.folder / record.name)
            yield _Known(_began(record), is_green, partial(of_run, run, record))


def _remembered(config: Config) -> Iterator[_Known]:
    for which, name in ((memory.GO, "the last GO"), (memory.LAST, "the last run of checks")):
        met = memory.recall(config, which)
        is_go = which == memory.GO
        if met is not None and is_go == (met.verdict == "GO"):
            side = partial(Side, name=name, at=met.at, outcome=met.verdict, world=met.world)
            yield _Known(met.at, is_go, side)


def _began(record: Record) -> str:
    return record.started or record.created


def of_run(run: Run, record: Record) -> Side:
    """Return the side that a run is."""
    report = _report(str(run.report))
    facts = dict(report.facts) if report else {}
    # The run's own commit: the checks may have seen the folder that it was launched from.
    facts |= {name: value for name, value in (("commit", record.commit), ("branch", record.branch)) if value}
    text = ""
    with suppress(OSError, ValueError):
        text = run.config.read_text(encoding="utf-8")
    world = world_of(facts, text, record.config)
    world["host"] = world["host"] | ({"host": record.host} if record.host else {})
    world["code"] = world["code"] | ({"command": list(record.command)} if record.command else {})
    return Side(name=record.name, at=_began(record), outcome=str(record.state), world=world, report=report)


def _report(path: str) -> Report | None:
    with suppress(OSError, ValueError, AttributeError, TypeError, RecursionError), open(path, encoding="utf-8") as file:
        return Report.from_json(json.load(file))
    return None
