"""The checks in front of a start: run, judged, stored, and told where the job's own output does not go."""

from __future__ import annotations

import sys
from collections.abc import Callable

from preflight import writing
from preflight.config import Config
from preflight.errors import UserError
from preflight.launch.gate import REFUSED
from preflight.model import Presence, Report
from preflight.nodesets import fold
from preflight.places.workers import Workers
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
    place: Workers | None = None,
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


def admit(  # noqa: PLR0913 - all but the first three by name
    run: Run,
    config: Config,
    sides: tuple[str, ...],
    *,
    strict: bool,
    place: Workers | None = None,
    start_again: Callable[[Report, str], bool] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> int:
    """Run the checks of these sides for a run, on its record; return 0 where it may go on, else what is exited with.

    `place` are workers that were started for it. A run that is refused is offered to `start_again` (`Way.start_again`),
    and where that raises UserError its record says why. What comes of it is given to `say` before the record has it:
    who reads the log of a run stops when the run has ended.
    """
    run.enter(State.CHECKING)
    report, verdict = check(config, selection=Selection(at=sides), strict=strict, place=place, record=run)
    writing.replace({run.report: stored(report, verdict).encode()})
    tell(report, verdict)
    run.know(verdict=str(verdict.word))
    say(f"checked {f'on {fold(place.names)}' if place else 'here'}: {verdict.word}")
    code = refusal(report, verdict)
    cancelled = next((each.reason for each in report.places if each.presence is Presence.CANCELLED), "")
    if report.interrupted or cancelled:
        state, reason = State.STOPPED, cancelled or "asked to end while it was checked"
    elif code:
        state, reason = State.REFUSED, verdict.reason
        try:
            if start_again is not None and start_again(report, reason):
                return code
        except UserError as problem:
            reason = f"{reason}; not requeued: {problem.message}"
    else:
        return code
    say(f"{state}: {reason}")
    run.enter(state, exit_code=code, reason=reason, ended=now())
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
