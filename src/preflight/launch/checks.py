"""The checks in front of a start: run, judged, stored, and told where the job's own output does not go."""

from __future__ import annotations

import sys

from preflight.config import Config
from preflight.launch.gate import REFUSED
from preflight.model import Report
from preflight.places.local import Local
from preflight.verdict import Verdict, decide
from preflight.worker.request import Selection

INTERRUPTED = 130


def check(
    config: Config, *, selection: Selection | None = None, strict: bool = False, place: Local | None = None
) -> tuple[Report, Verdict]:
    """Run the checks, show how far they are on the standard error, and judge; raises UserError as `run.run` does."""
    from preflight import run
    from preflight.reports.progress import Progress

    report = run.run(config, selection=selection, strict=strict, watcher=Progress(), place=place)
    return report, decide(report)


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
