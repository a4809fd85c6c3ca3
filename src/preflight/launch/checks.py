"""The checks in front of a start: run, judged, stored, and told where the job's own output does not go."""

from __future__ import annotations

import sys

from preflight import writing
from preflight.config import Config
from preflight.launch.gate import REFUSED
from preflight.model import Report
from preflight.places.local import Local
from preflight.records.folder import Run
from preflight.records.record import now
from preflight.records.states import State
from preflight.verdict import Verdict, decide
from preflight.worker.request import Selection

INTERRUPTED = 130


def check(
    config: Config,
    *,
    selection: Selection | None = None,
    strict: bool = False,
    place: Local | None = None,
    record: Run | None = None,
) -> tuple[Report, Verdict]:
    """Run the checks, show how far they are on the standard error, and judge; raises UserError as `run.run` does.

    The report of a NO-GO tells what has changed since the last GO of the same side. Where there is a `record`, each
    result is written there as it comes.
    """
    from preflight import run
    from preflight.hearing import Watchers
    from preflight.records.memory import remember
    from preflight.records.results import Results
    from preflight.reports.progress import Progress

    chosen = selection or Selection()
    watcher = Watchers(Progress(), Results(record)) if record else Progress()
    report = run.run(config, selection=chosen, strict=strict, watcher=watcher, place=place)
    is_whole = not (chosen.only or chosen.tags or chosen.keyword)
    report = remember(report, config, whole=is_whole, side=next((side for side in chosen.at if side), ""))
    return report, decide(report)


def admit(run: Run, config: Config, sides: tuple[str, ...], *, strict: bool) -> int:
    """Run the checks of these sides for a run, on its record; return 0 where it may go on, else what is exited with."""
    run.enter(State.CHECKING)
    report, verdict = check(config, selection=Selection(at=sides), strict=strict, record=run)
    writing.replace({run.report: stored(report, verdict).encode()})
    tell(report, verdict)
    run.know(verdict=str(verdict.word))
    code = refusal(report, verdict)
    if report.interrupted:
        run.enter(State.STOPPED, exit_code=code, reason="asked to end while it was checked", ended=now())
    elif code:
        run.enter(State.REFUSED, exit_code=code, reason=verdict.reason, ended=now())
    return code


def refusal(report: Report, verdict: Verdict) -> int:
    """Return 0 where the job may start, else what is exited with instead."""
    return verdict.exit_code and (INTERRUPTED if report.interrupted else REFUSED)


def tell(report: Report, verdict: Verdict) -> None:
    """Show the report on the standard error; a plain GO is one line."""
    from preflight.reports import terminal
    from preflight.reports.text import has_colors, printable

    paint = terminal.colored if has_colors(sys.stderr) else terminal.uncolored
    text = terminal.render(report, verdict, paint)
    if not verdict.exit_code and not verdict.counts["warnings"]:
        text = text.splitlines(keepends=True)[-1]
    try:
        sys.stderr.write(printable(text, sys.stderr))
        sys.stderr.flush()
    except OSError:
        return  # nobody hears; the job does not start, or it does


def stored(report: Report, verdict: Verdict) -> str:
    """Return the report as it is kept."""
    from preflight.reports import render

    return render("json", report, verdict)
