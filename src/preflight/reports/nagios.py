"""The report as one line for Nagios, Icinga and what else runs their plugins.

https://www.monitoring-plugins.org/doc/guidelines.html
"""

from __future__ import annotations

from preflight.model import Report
from preflight.reports.text import visible
from preflight.verdict import Verdict, Word

_LONGEST = 1_000  # characters; NRPE passes on 1,024 bytes


def render(report: Report, verdict: Verdict) -> str:
    """Return `WORD - text | figures`, with OK for GO, CRITICAL for NO-GO, UNKNOWN for NO VERDICT.

    Warnings are counted and change no word, as they change no verdict without `--strict`. The exit code is the one of
    every format, and Nagios wants 2 where it is 1: docs/formats.md has the wrapper of one line.
    """
    counts = verdict.counts
    word = {Word.GO: "OK", Word.NO_GO: "CRITICAL"}.get(verdict.word, "UNKNOWN")
    names = ("passed", "failed", "broken", "skipped", "warnings")
    figures = " ".join([f"time={report.seconds:.3f}s;;;0", *(f"{name}={counts[name]};;;0" for name in names)])
    told = ", ".join(f"{counts[name]} {name}" for name in names if counts[name]) or "no checks"
    said = f"{verdict.word}, {told}" + (f": {verdict.reason}" if verdict.reason else "")
    # A bar would begin the figures.
    text = f"PREFLIGHT {word} - {visible(said).replace('|', '/')}"
    return f"{text[: _LONGEST - len(figures) - 3]} | {figures}\n"
