"""The report as a person reads it in a terminal: what is fine in a line, what is not with its cause and remedy."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from preflight.model import LOCAL, Finding, Report, Result, Severity, Status
from preflight.nodesets import fold
from preflight.phrases import counted, in_a_row
from preflight.reports.places import all_of, folded, summary
from preflight.reports.text import clipped, elapsed, moment, visible, visible_lines
from preflight.verdict import Verdict, Word, failing_places, is_bad, unignored

SHOWN = 3  # of things that are alike; the others are counted
TAIL = 15  # lines of output, traceback or stack
MOST_TO_NAME = 5  # checks in the command that runs the failed ones again

_OF_ALL_NODES = ("node.", "nodes.")  # families that no check file holds: they come with having many nodes
_INNERMOST_FIRST = "(most recent call first)"

CODES = {"good": "1;32", "bad": "1;31", "broken": "1;35", "warning": "33", "skipped": "36", "strong": "1", "dim": "2"}
STYLES = {Status.FAILED: "bad", Status.BROKEN: "broken", Status.SKIPPED: "skipped", Status.PASSED: "good"}
VERDICT_STYLES = {Word.GO: "good", Word.NO_GO: "bad", Word.NO_VERDICT: "broken"}

Paint = Callable[[str, str], str]
Said = set[tuple[str, str]]
Each = TypeVar("Each")


def uncolored(text: str, _style: str) -> str:
    """Return `text` as it is."""
    return text


def colored(text: str, style: str) -> str:
    """Return `text` between the escape codes of one of the styles in `CODES`."""
    return f"\x1b[{CODES[style]}m{text}\x1b[0m"


def render(report: Report, verdict: Verdict, paint: Paint = uncolored) -> str:
    """Return the page; its last line begins with the verdict's word, and the worst stands next to it."""
    results, counts = folded(report.results) if report.places else (report.results, {})
    bad = [each for each in results if is_bad(each)]
    fine = [each for each in results if not is_bad(each)]
    sections = [
        _header(report, paint),
        _passed([each for each in fine if each.status is Status.PASSED], counts, paint),
        _remarks(results, paint),
        _skipped([each for each in fine if each.status is Status.SKIPPED], paint),
        *_warnings(results, paint),
        *_bad(bad, paint),
        _again(report, bad, paint),
        _since(report, paint),
        _closing(report, verdict, paint),
    ]
    return "\n\n".join("\n".join(lines) for section in sections if (lines := list(section))) + "\n"


def _header(report: Report, paint: Paint) -> Iterator[str]:
    facts = report.facts
    python = f"Python {facts['python']}" if facts.get("python") else ""
    parts = [report.config or "no config", str(facts.get("host", "")), python]
    yield paint("preflight", "strong") + "  " + "  ".join(visible(part) for part in parts if part)
    yield from (visible(line) for line in summary(report))
    if facts.get("drafted"):
        yield "no `preflight:` section: what is needed was read from the code; `preflight init` writes it down"


def _passed(results: Sequence[Result], counts: dict[str, int], paint: Paint) -> Iterator[str]:
    groups = {visible(group[0].family): group for group in _alike(results, lambda each: each.family)}
    width = max(map(len, groups), default=0)
    for family, group in groups.items():
        seconds = sum(each.seconds for each in group)
        checks = counted(len({each.check for each in group}) if counts else len(group), "check")
        nodes = f" at {counted(all_of(group, counts), 'node')}" if counts else ""
        yield f"{paint('PASSED', 'good')} {family:<{width}}  {checks}{nodes}  {elapsed(seconds)}"


def _remarks(results: Sequence[Result], paint: Paint) -> Iterator[str]:
    """Yield the infos and what is ignored: one dim line each."""
    infos = [(each, finding) for each in results for finding in unignored(each, Severity.INFO)]
    ignored = [(each, finding) for each in results for finding in each.findings if finding.ignored]
    for kind, pairs in (("info", infos), ("ignored", ignored)):
        for group in _alike(pairs, _kind_of_finding):
            for result, finding in group[:SHOWN]:
                because = f" (ignored: {visible(finding.ignored)})" if finding.ignored else ""
                name = visible(finding.id or result.check)
                yield paint(f"{kind:<8}{name}{_at(result)}  {clipped(finding.message)}{because}", "dim")
            yield from _more(len(group), "alike", "", paint, [result for result, _ in group[SHOWN:]])


def _skipped(results: Sequence[Result], paint: Paint) -> Iterator[str]:
    for group in _alike(results, lambda each: (each.reason, each.asked)):
        names = in_a_row([f"{visible(each.check)}{_at(each)}" for each in group], SHOWN)
        asked = " (the config asks for it)" if group[0].asked else ""
        yield f"{paint('SKIPPED', 'skipped')} {names}  {clipped(group[0].reason)}{asked}"


def _warnings(results: Sequence[Result], paint: Paint) -> Iterator[Iterable[str]]:
    pairs = [(each, finding) for each in results for finding in unignored(each, Severity.WARNING)]
    for group in _alike(pairs, _kind_of_finding):
        names = list(dict.fromkeys(f"{visible(result.check)}{_at(result)}" for result, _ in group))
        head = f"{paint('WARNING', 'warning')} {paint(in_a_row(names, SHOWN), 'strong')}"
        yield [head, *_findings([finding for _, finding in group], set(), paint)]


def _kind_of_finding(pair: tuple[Result, Finding]) -> str:
    result, finding = pair
    return finding.id or result.check.partition("[")[0]


def _bad(results: Sequence[Result], paint: Paint) -> Iterator[Iterable[str]]:
    """Yield a block for each result that is FAILED or BROKEN, of those that are alike only the first few."""
    broken_last = sorted(results, key=lambda each: each.status is Status.BROKEN)
    for group in _alike(broken_last, _kind_of_result):
        said: Said = set()
        yield from (_block(each, said, paint) for each in group[:SHOWN])
        yield _more(len(group), f"{group[0].status} alike", "", paint, group[SHOWN:])


def _kind_of_result(result: Result) -> Hashable:
    if result.status is Status.BROKEN:
        return result.reason
    return result.check.partition("[")[0], frozenset(finding.id for finding in result.findings)


def _block(result: Result, said: Said, paint: Paint) -> Iterator[str]:
    status = Status.BROKEN if result.status is Status.BROKEN else Status.FAILED
    head = f"{paint(status, STYLES[status])} {paint(visible(result.check), 'strong')}{_at(result)}"
    yield f"{head}  {elapsed(result.seconds)}"
    if result.status is Status.BROKEN:
        yield f"  {clipped(result.reason)}"
    for group in _alike(unignored(result, Severity.ERROR), lambda each: each.id):
        yield from _findings(group, said, paint)
    if result.status is Status.BROKEN:
        yield from _tail("traceback", result.traceback, paint)
    yield from _tail("output", result.output, paint)


def _findings(findings: Sequence[Finding], said: Said, paint: Paint) -> Iterator[str]:
    """Yield findings that have one id; what several of them share is said with the first, and then is in `said`."""
    for finding in findings[:SHOWN]:
        where = f"{finding.file}:{finding.line}" if finding.line else finding.file
        marks = [visible(each) for each in (f"[{finding.id}]" if finding.id else "", where) if each]
        yield "  ".join([f"  {clipped(finding.message)}", *(paint(each, "dim") for each in marks)])
        for name in ("found", "wanted", "cause", "fix"):
            value = getattr(finding, name)
            if value and (name, value) not in said:
                yield from _field(name, value, paint)
                said.add((name, value))
        for name, fact in finding.evidence.items():
            if isinstance(fact, str) and "\n" in fact and (name, fact) not in said:
                yield from _tail(visible(name), fact, paint, indent="    ")
                said.add((name, fact))
    yield from _more(len(findings), "alike", "  ", paint)


def _field(name: str, value: str, paint: Paint) -> Iterator[str]:
    first, *others = visible_lines(value) or [""]
    yield f"    {paint(f'{name:<7}', 'dim')} {first}"
    yield from (f"            {line}".rstrip() for line in others)


def _tail(name: str, text: str, paint: Paint, indent: str = "  ") -> Iterator[str]:
    """Yield the end of a text that may be long; of a stack from faulthandler the beginning, which is innermost."""
    lines = visible_lines(text)
    part, which = (lines[:TAIL], "first") if _INNERMOST_FIRST in text else (lines[-TAIL:], "last")
    if lines:
        of = f", the {which} {TAIL} of {len(lines)} lines" if len(lines) > TAIL else ""
        yield f"{indent}{paint(f'{name}{of}:', 'dim')}"
        yield from (f"{indent}  | {line}".rstrip() for line in part)


def _at(result: Result) -> str:
    return "" if result.place == LOCAL else f" at {clipped(result.place)}"


def _more(count: int, what: str, indent: str, paint: Paint, left: Sequence[Result] = ()) -> Iterator[str]:
    if count > SHOWN:
        places = list(dict.fromkeys(each.place for each in left if each.place != LOCAL))
        where = f" at {clipped(','.join(places))}" if places else ""
        yield paint(f"{indent}and {count - SHOWN} more {what}{where} (--format json has all)", "dim")


def _again(report: Report, bad: Sequence[Result], paint: Paint) -> Iterator[str]:
    """Yield the command for the checks that are not fine; where they are many, for their functions or families."""
    names = [name for name in dict.fromkeys(each.check for each in bad) if not name.startswith(_OF_ALL_NODES)]
    for shorter in ("[", "."):
        if len(names) > MOST_TO_NAME:
            names = list(dict.fromkeys(name.partition(shorter)[0] for name in names))
    config = ["--config", report.config] if report.config else []
    on = str(report.facts.get("on") or "")
    config += ["--on", on] if on else []
    if names:
        yield paint("run these again:", "dim")
        yield f"    {visible(shlex.join(['preflight', 'run', *config, '--only', *names]))}"

    nodes = failing_places(report)
    if nodes and len(nodes) < len(report.places) and on.startswith("slurm"):
        yield paint("leave these nodes out, with sbatch or srun:", "dim")
        yield f"    --exclude={visible(fold(nodes))}"


def _since(report: Report, paint: Paint) -> Iterator[str]:
    """Yield what has changed since the last GO, where one is known: of all that, the most telling."""
    match report.facts.get("since"):
        case {"at": str(at), "differences": [*differences]}:
            told = [line for each in differences if (line := _difference(each))]
            what = " · ".join(told[:SHOWN]) or "nothing has changed of what is known"
            more = f" · and {len(told) - SHOWN:,} more, see `preflight diff`" if len(told) > SHOWN else ""
            yield paint(f"since the last GO ({moment(at)}): ", "strong") + what + more


def _difference(value: object) -> str:
    match value:
        case {"name": str(name), "before": str(before), "after": str(after)}:
            return clipped(f"{name} {before} → {after}")
    return ""


def _closing(report: Report, verdict: Verdict, paint: Paint) -> Iterator[str]:
    if verdict.reason:
        yield visible(verdict.reason)
    counts = [f"{count} {noun}" for noun, count in _nouns(verdict) if count] or ["no checks"]
    word = paint(verdict.word, VERDICT_STYLES[verdict.word])
    yield f"{word}  {', '.join(counts)} in {elapsed(report.seconds)}"


def _nouns(verdict: Verdict) -> Iterator[tuple[str, int]]:
    counts = verdict.counts
    yield from ((noun, counts[noun]) for noun in ("failed", "broken", "passed", "skipped"))
    yield "warning" if counts["warnings"] == 1 else "warnings", counts["warnings"]
    yield "ignored", counts["ignored"]


def _alike(things: Iterable[Each], kind: Callable[[Each], Hashable]) -> list[list[Each]]:
    """Return the things in groups of one kind, in the order in which each kind first appears."""
    groups: dict[Hashable, list[Each]] = {}
    for thing in things:
        groups.setdefault(kind(thing), []).append(thing)
    return list(groups.values())
