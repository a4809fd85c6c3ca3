"""The report as Markdown, as job summaries and merge requests show it: the verdict, what is wrong, then all checks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from preflight.model import LOCAL, Presence, Report, Result, Severity
from preflight.nodesets import fold
from preflight.phrases import counted
from preflight.reports.problems import Problem, problems
from preflight.reports.text import clipped, elapsed, visible_lines
from preflight.verdict import Verdict

LIMIT = 2**20  # bytes that GitHub takes as the summary of one step
_SHOWN = 3  # of problems that are alike
_MOST_ROWS = 1_000
_TAIL = 40  # lines of output or traceback
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$@])")
_HEADS = {Severity.ERROR: "FAILED", Severity.WARNING: "WARNING", Severity.INFO: "info"}


def render(report: Report, verdict: Verdict, limit: int = LIMIT) -> str:
    """Return the page, at most `limit` bytes in UTF-8: what does not fit is left out, and the page says so."""
    told = problems(report)
    grave = [each for each in told if each.severity is not Severity.INFO and not each.ignored]
    light = [each for each in told if each.severity is Severity.INFO or each.ignored]
    sections = [
        _verdict(report, verdict),
        *(_section(group) for group in _alike(grave)),
        _places(report),
        _remarks(light),
        _table(report.results),
    ]
    note = "\nThe rest is left out here: `--format json` has all.\n"
    page, room = "", limit - len(note)
    for section in sections:
        text = "".join(f"{line}\n" for line in section)
        room -= len(text.encode("utf-8", "backslashreplace"))
        if room < 0:
            return page + note
        page += text
    return page


def _verdict(report: Report, verdict: Verdict) -> Iterator[str]:
    yield f"## preflight: {verdict.word}"
    yield ""
    if verdict.reason:
        yield _plain(verdict.reason)
        yield ""
    counts = [f"{count} {_noun(name, count)}" for name, count in verdict.counts.items() if count] or ["no checks"]
    facts = report.facts
    python = f"Python {facts['python']}" if facts.get("python") else ""
    parts = [", ".join(counts), elapsed(report.seconds), report.config, str(facts.get("host", "")), python]
    yield " · ".join(_plain(each) for each in parts if each)


def _noun(name: str, count: int) -> str:
    return "warning" if name == "warnings" and count == 1 else name


def _alike(told: Sequence[Problem]) -> list[list[Problem]]:
    groups: dict[tuple[str, str, str], list[Problem]] = {}
    for each in told:
        groups.setdefault((each.kind, each.id, each.severity), []).append(each)
    return list(groups.values())


def _section(group: Sequence[Problem]) -> Iterator[str]:
    """Yield problems of one id: the first few, and how many and where the others are."""
    first = group[0]
    yield ""
    yield f"### {first.kind or _HEADS[first.severity]} {_code(first.id)}"
    said: set[tuple[str, str]] = set()
    for problem in group[:_SHOWN]:
        yield from _problem(problem, said)
    if others := group[_SHOWN:]:
        places = [each.result.place for each in others if each.result.place != LOCAL]
        at = f", at {_code(clipped(fold(places)))}" if places else ""
        yield ""
        yield f"and {len(others):,} more alike{at}"


def _problem(problem: Problem, said: set[tuple[str, str]]) -> Iterator[str]:
    result = problem.result
    place = "" if result.place == LOCAL else f" at {_code(result.place)}"
    line = f":{problem.line}" if problem.line else ""
    where = f" in {_code(f'{problem.path}{line}')}" if problem.path else ""
    yield ""
    yield f"**{_plain(problem.message)}** ({_code(result.check)}{place}{where})"
    details = [each for each in problem.details if each not in said]
    said.update(details)
    if details:
        yield ""
    for each in details:
        yield from _detail(*each)
    if problem.kind:
        yield from _folded("traceback", result.traceback)
    if problem.severity is Severity.ERROR and ("output", result.output) not in said:
        said.add(("output", result.output))
        yield from _folded("output", result.output)


def _detail(name: str, value: str) -> Iterator[str]:
    """Yield one item of a list; commands, which are indented, as blocks of their own that can be copied."""
    lines = visible_lines(value)
    first, rest = (lines[0], lines[1:]) if lines else ("", [])
    yield f"- {name}: {_plain(first.strip())}"
    commands: list[str] = []
    for line in [*rest, ""]:
        if line.startswith("    "):
            commands.append(line[4:])
            continue
        if commands:
            yield from (f"  {each}" for each in _block(commands))
            commands = []
        if line:
            yield ""
            yield f"  {_plain(line.strip())}"


def _folded(name: str, text: str) -> Iterator[str]:
    lines = visible_lines(text)
    if lines:
        of = f", the last {_TAIL} of {len(lines):,} lines" if len(lines) > _TAIL else ""
        yield ""
        yield f"<details><summary>{name}{of}</summary>"
        yield ""
        yield from _block(lines[-_TAIL:])
        yield ""
        yield "</details>"


def _places(report: Report) -> Iterator[str]:
    absent = [each for each in report.places if each.presence is not Presence.ANSWERED]
    if absent:
        yield ""
        yield f"### {counted(len(absent), 'place')} without an answer"
        yield ""
        for reason in dict.fromkeys(each.reason for each in absent):
            names = fold(each.name for each in absent if each.reason == reason)
            yield f"- {_code(clipped(names))}: {_plain(reason)}"


def _remarks(told: Sequence[Problem]) -> Iterator[str]:
    if told:
        yield from ("", f"<details><summary>{counted(len(told), 'remark')}</summary>", "")
        for group in _alike(told):
            for each in group[:_SHOWN]:
                because = f" (ignored: {_plain(each.ignored)})" if each.ignored else ""
                yield f"- {_code(each.id)} {_plain(each.message)}{because}"
            if len(group) > _SHOWN:
                yield f"- and {len(group) - _SHOWN:,} more alike"
        yield from ("", "</details>")


def _table(results: Sequence[Result]) -> Iterator[str]:
    if not results:
        return
    yield from ("", f"<details><summary>{counted(len(results), 'check')}</summary>", "")
    yield from ("| status | check | place | time | |", "| --- | --- | --- | ---: | --- |")
    for each in results[:_MOST_ROWS]:
        cells = [each.status, _code(each.check), _plain(each.place), elapsed(each.seconds), _plain(each.reason)]
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"
    if more := len(results) - _MOST_ROWS:
        yield from ["", f"and {counted(more, 'check')} more"] if more > 0 else []
    yield from ("", "</details>")


def _plain(text: str) -> str:
    """Return one line in which nothing has a meaning for Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", clipped(text)).replace("://", "\\://")


def _code(text: str) -> str:
    """Return a line as code, fenced by more backticks than stand in it."""
    inner = clipped(text)
    fence = "`" * (_longest(inner) + 1)
    pad = " " if inner.startswith("`") or inner.endswith("`") or not inner.strip() else ""
    return f"{fence}{pad}{inner}{pad}{fence}"


def _cell(text: str) -> str:
    """Return what a table's cell holds: a bar would begin the next cell, even in code."""
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def _block(lines: Iterable[str]) -> Iterator[str]:
    shown = [clipped(each) for each in lines]
    fence = "`" * max(3, _longest("\n".join(shown)) + 1)
    yield from (f"{fence}text", *shown, fence)


def _longest(text: str) -> int:
    return max((len(each) for each in re.findall("`+", text)), default=0)
