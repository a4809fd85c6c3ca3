"""The report in the Test Anything Protocol, version 14: https://testanything.org/tap-version-14-specification.html."""

from __future__ import annotations

import json
from collections.abc import Iterator

from preflight.model import LOCAL, Finding, Report, Result, Status
from preflight.reports.text import clipped
from preflight.verdict import Verdict, Word, refuses

_LONGEST = 2_000


def render(report: Report, verdict: Verdict) -> str:
    """Return a test point for each result and a last one for the verdict, so that a reader who counts sees no green."""
    lines = ["TAP version 14", f"1..{len(report.results) + 1}"]
    for number, result in enumerate(report.results, 1):
        lines += _point(number, result)
    is_go = verdict.word is Word.GO
    lines.append(f"{'ok' if is_go else 'not ok'} {len(report.results) + 1} - verdict {verdict.word}")
    if verdict.reason:
        lines += _block([("reason", verdict.reason)])
    if report.interrupted:
        lines.append("Bail out! interrupted before the last check had ended")
    return "\n".join(lines) + "\n"


def _point(number: int, result: Result) -> Iterator[str]:
    place = f" at {result.place}" if result.place != LOCAL else ""
    is_well = result.status in (Status.PASSED, Status.SKIPPED) and not refuses(result)
    skip = f" # SKIP {_escaped(result.reason)}" if is_well and result.status is Status.SKIPPED else ""
    yield f"{'ok' if is_well else 'not ok'} {number} - {_escaped(result.check + place)}{skip}"
    told = [("status", str(result.status)), ("seconds", f"{result.seconds:.3f}")]
    if result.reason and not skip:
        told.append(("reason", result.reason))
    yield from _block([*told, *((str(each.severity), _words(each)) for each in result.findings)])


def _words(finding: Finding) -> str:
    where = f"{finding.file}:{finding.line}" if finding.line else finding.file
    parts = [finding.message, f"[{finding.id}]" if finding.id else "", where]
    more = [f"{name}: {getattr(finding, name)}" for name in ("found", "wanted", "cause", "fix", "ignored")]
    return "  ".join([each for each in parts if each] + [each for each in more if not each.endswith(": ")])


def _block(pairs: list[tuple[str, str]]) -> list[str]:
    """Return a YAML block: a text in JSON's quotes is one in YAML's as well, whatever it holds."""
    names: dict[str, int] = {}
    lines = ["  ---"]
    for name, value in pairs:
        names[name] = names.get(name, 0) + 1
        key = name if names[name] == 1 else f"{name} {names[name]}"
        lines.append(f"  {key}: {json.dumps(value[:_LONGEST])}")
    return [*lines, "  ..."]


def _escaped(text: str) -> str:
    return clipped(text).replace("\\", "\\\\").replace("#", "\\#")
