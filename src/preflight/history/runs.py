"""The runs of a project, a page of them at a time, and what is stored of each."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from preflight.errors import UserError
from preflight.model import Report
from preflight.phrases import counted
from preflight.quantities import format_size
from preflight.records.differences import Difference, compare, suspects_of
from preflight.records.folder import Records, Run
from preflight.records.listing import in_order, settled
from preflight.records.record import Record
from preflight.records.results import Partial, read_results
from preflight.records.sides import Side, of_run
from preflight.records.states import State
from preflight.system import slurm
from preflight.verdict import Verdict, decide

PER_PAGE = 50
LARGEST = 64 * 2**20  # bytes of a report; a thousand nodes take some five megabytes
_LOOKED_BACK = 500  # runs before one, among which that is looked for which last worked
_PATIENCE = 20.0  # seconds for which an answer of Slurm is good: pages are asked for again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of the runs, the latest first: `number` of `pages`, counted from 1, of `total` that were looked for."""

    records: Sequence[Record]
    number: int
    pages: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One run: its record, and its report with the verdict, or why there is none (`flaw`), or what came so far."""

    run: Run
    record: Record
    report: Report | None = None
    verdict: Verdict | None = None
    flaw: str = ""
    partial: Partial | None = None

    @property
    def goes_on(self) -> bool:
        """Whether more may happen."""
        return not self.record.state.is_end


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What differs between two runs; `flaw` tells why that is not known."""

    before: Side
    after: Side
    differences: Sequence[Difference] = ()
    flaw: str = ""


class History:
    """The runs in a folder of records; each answer is what is there now."""

    def __init__(self, records: Records, clock: Callable[[], float] = time.monotonic) -> None:
        self.records = records
        self._clock = clock
        self._asked: tuple[float, frozenset[str], Mapping[str, str] | None] = (-_PATIENCE, frozenset(), None)

    def names(self) -> list[str]:
        """Return the names of all runs, the latest first; raises UserError where the folder cannot be read."""
        try:
            return in_order(self.records)[::-1]
        except OSError as problem:
            raise UserError(f"the records cannot be read: {problem.strerror}", where=str(self.records.folder)) from None

    def page(self, number: int = 1, find: str = "", size: int = PER_PAGE) -> Page:
        """Return a page of those whose names hold `find`; only these are read. A number too high is the last page."""
        wanted = find.casefold()
        names = [name for name in self.names() if wanted in name.casefold()]
        pages = max(1, -(-len(names) // size))
        number = min(max(1, number), pages)
        chosen = names[(number - 1) * size : number * size]
        return Page(records=self._read(chosen), number=number, pages=pages, total=len(names))

    def stored(self, name: str) -> Stored:
        """Return one run; raises UserError where there is none of that name."""
        run = self.records.run(name)
        [record] = self._read([name])
        partial = read_results(run)
        if partial is not None:
            return Stored(run=run, record=record, partial=partial)
        report, flaw = report_of(run)
        try:
            verdict = decide(report) if report else None
        except (TypeError, AttributeError, ValueError) as problem:
            report, verdict, flaw = None, None, _damaged(problem)
        return Stored(run=run, record=record, report=report, verdict=verdict, flaw=flaw)

    def worked_before(self, name: str, names: Sequence[str] = ()) -> str:
        """Return the run that last worked before this one, of the last few hundred; empty where none did.

        `names` are those of all runs, where they are known already.
        """
        names = names or self.names()
        earlier = names[names.index(name) + 1 :] if name in names else []
        for each in islice(earlier, _LOOKED_BACK):
            record = Run(self.records.folder / each).read()
            if record.state is State.FINISHED and record.exit_code == 0:
                return each
        return ""

    def changes(self, before: str, after: str) -> Changes:
        """Return what differs between two runs; raises UserError where there is none of a name."""
        sides = []
        for name in (before, after):
            run = self.records.run(name)
            [record] = self._read([name])
            try:
                sides.append(of_run(run, record))
            except (TypeError, AttributeError, ValueError) as problem:
                side = Side(name=name, at=record.created, outcome=str(record.state), world={})
                return Changes(before=side, after=side, flaw=f"the report of {name} is damaged: {problem}")
        one, other = sides
        try:
            found = compare(one.world, other.world, suspects_of(other.report) if other.report else "")
        except (TypeError, AttributeError, ValueError) as problem:
            return Changes(before=one, after=other, flaw=f"the facts of the two cannot be compared: {problem}")
        return Changes(before=one, after=other, differences=found)

    def reports(self, count: int) -> Iterator[tuple[str, Run]]:
        """Yield those of the last `count` runs that have a report, the earliest first."""
        for name in self.names()[:count][::-1]:
            run = Run(self.records.folder / name)
            if run.report.is_file():
                yield name, run

    def _read(self, names: Sequence[str]) -> list[Record]:
        return settled(self.records, [Run(self.records.folder / name).read() for name in names], self._states_of)

    def _states_of(self, jobs: Sequence[str]) -> Mapping[str, str] | None:
        """Ask Slurm, and not again within some seconds for jobs that it has told of."""
        at, known, states = self._asked
        if self._clock() - at >= _PATIENCE or not known.issuperset(jobs):
            states = slurm.states_of_jobs(jobs)
            self._asked = (self._clock(), frozenset(jobs), states)
        return states


def report_of(run: Run) -> tuple[Report | None, str]:
    """Return the report of a run, or None and, where there is one that cannot be read, why."""
    try:
        size = os.stat(run.report).st_size
        if size > LARGEST:
            return None, f"report.json has {format_size(size)}; at most {format_size(LARGEST)} are read"
        with open(run.report, encoding="utf-8") as file:
            return Report.from_json(json.load(file)), ""
    except FileNotFoundError:
        return None, ""
    except OSError as problem:
        return None, f"report.json cannot be read: {problem.strerror}"
    except (ValueError, AttributeError, TypeError, RecursionError) as problem:
        return None, _damaged(problem)


def told(partial: Partial) -> str:
    """Return how far checks are, in one line: `3 of 40 checks have ended`, or that they begin."""
    planned = max(len(partial.planned), len(partial.results))
    if not planned:
        return "the checks begin"
    return f"{len(partial.results)} of {counted(planned, 'check')} {'has' if planned == 1 else 'have'} ended"


def _damaged(problem: Exception) -> str:
    return f"report.json is damaged: {problem}"
