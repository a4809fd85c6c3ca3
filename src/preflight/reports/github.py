"""The report as GitHub's runner reads a log: families that fold, annotations at their lines, the page of a terminal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from preflight.model import LOCAL, Report, Result, Severity
from preflight.phrases import counted
from preflight.reports import terminal
from preflight.reports.problems import Problem, problems
from preflight.reports.text import clipped, elapsed, visible, visible_lines
from preflight.verdict import Verdict, Word

MOST = 10  # annotations of one level that GitHub shows for a step
_MOST_LINES = 500  # of one family
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning"}


def render(report: Report, verdict: Verdict) -> str:
    """Return the text for the log: https://docs.github.com/actions/reference/workflow-commands-for-github-actions.

    The last line that is shown begins with the verdict's word.
    """
    lines = [
        *_families(report),
        *_annotations(report, verdict),
        *fenced(terminal.render(report, verdict).splitlines()),
    ]
    return "".join(f"{line}\n" for line in lines)


def _families(report: Report) -> Iterator[str]:
    by_family = sorted(report.results, key=lambda each: each.family)
    for family, group in groupby(by_family, key=lambda each: each.family):
        results = list(group)
        statuses = ", ".join(
            f"{count} {status.lower()}"
            for status in ("FAILED", "BROKEN", "PASSED", "SKIPPED")
            if (count := sum(each.status == status for each in results))
        )
        seconds = elapsed(sum(each.seconds for each in results))
        yield _command("group", f"{family}  {statuses}  {seconds}")
        yield from fenced(_rows(results))
        yield "::endgroup::"


def _rows(results: Sequence[Result]) -> list[str]:
    rows = [_row(each) for each in results[:_MOST_LINES]]
    more = len(results) - len(rows)
    return [*rows, f"and {counted(more, 'check')} more"] if more else rows


def _row(result: Result) -> str:
    place = "" if result.place == LOCAL else f" at {result.place}"
    said = result.reason or next((each.message for each in result.findings if each.severity is Severity.ERROR), "")
    row = f"{result.status:<7} {visible(result.check)}{visible(place)}  {elapsed(result.seconds)}  {clipped(said)}"
    return row.rstrip()


def _annotations(report: Report, verdict: Verdict) -> Iterator[str]:
    told = [each for each in problems(report) if not each.ignored]
    for severity, level in _LEVELS.items():
        of_level = [each for each in told if each.severity is severity]
        if severity is Severity.ERROR and not of_level and verdict.word is not Word.GO:
            yield _command("error", verdict.reason, title=f"preflight: {verdict.word}")
        shown = of_level if len(of_level) <= MOST else of_level[: MOST - 1]
        yield from (_annotation(level, each) for each in shown)
        if more := len(of_level) - len(shown):
            yield _command(
                level, f"and {counted(more, level)} more: the log and the summary tell them", title="preflight"
            )


def _annotation(level: str, problem: Problem) -> str:
    place = "" if problem.result.place == LOCAL else f" at {problem.result.place}"
    title = " ".join(dict.fromkeys((f"{problem.result.check}{place}", problem.kind or problem.id)))
    at = {"file": problem.path} if problem.path else {}
    if problem.path and problem.line:
        at |= {"line": str(problem.line), "endLine": str(problem.line)}
    lines = [problem.message, *(f"{name}: {value}" for name, value in problem.details)]
    return _command(level, "\n".join(lines), **at, title=title)


def _command(name: str, message: str, **properties: str) -> str:
    """Return a command to the runner, which reads one line and undoes what is escaped here."""
    told = ",".join(f"{key}={_escaped(clipped(value), ':,')}" for key, value in properties.items())
    text = "\n".join(visible_lines(message)[:50])
    return f"::{name}{' ' if told else ''}{told}::{_escaped(text)}"


def _escaped(text: str, more: str = "") -> str:
    for character in ("%", "\r", "\n", *more):
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def fenced(lines: Iterable[str]) -> list[str]:
    """Return lines in which the runner looks for no command, whoever wrote them.

    What ends the fence is a digest of the lines, so that none of them can hold it.
    """
    lines = list(lines)
    token = hashlib.sha256("\n".join(lines).encode("utf-8", "backslashreplace")).hexdigest()
    return [f"::stop-commands::{token}", *lines, f"::{token}::"]
