"""The report as SARIF 2.1.0: findings are its results, checks without an answer its notifications."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from preflight import __version__
from preflight.model import Json, Report, Severity, Status
from preflight.phrases import counted
from preflight.reports.problems import Problem, inside, problems
from preflight.reports.text import clipped, visible_lines
from preflight.verdict import Verdict

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_MOST = 5_000  # results of one run that GitHub takes in


def render(report: Report, verdict: Verdict) -> str:
    """Return one run with the words of the standard: https://docs.oasis-open.org/sarif/sarif/v2.1.0/.

    What `ignore:` covers is a suppression with its reason. Beyond 5,000 results the least telling are left out, and a
    notification says how many.
    """
    told = problems(report)
    results = [each for each in told if not _is_unanswered(each)]
    unanswered = [_notification(each, report) for each in told if _is_unanswered(each)]
    if more := len(results) - _MOST:
        unanswered += (
            [{"level": "note", "message": {"text": f"{counted(more, 'result')} more left out"}}] if more > 0 else []
        )
    shown = results[:_MOST]
    rules = {each: index for index, each in enumerate(sorted({clipped(problem.id) for problem in shown}))}
    invocation: Json = {
        "executionSuccessful": not unanswered and not report.interrupted,
        "exitCode": verdict.exit_code,
        "exitCodeDescription": clipped(f"{verdict.word}: {verdict.reason}" if verdict.reason else str(verdict.word)),
    }
    if unanswered:
        invocation["toolExecutionNotifications"] = unanswered
    driver = {"name": "preflight", "version": __version__, "rules": [{"id": rule} for rule in rules]}
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "results": [_result(each, rules[clipped(each.id)], report) for each in shown],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _is_unanswered(problem: Problem) -> bool:
    return problem.kind in (Status.BROKEN, Status.SKIPPED)


def _result(problem: Problem, rule: int, report: Report) -> Json:
    lines = [problem.message, *(f"{name}: {value}" for name, value in problem.details)]
    result: Json = {
        "ruleId": clipped(problem.id),
        "ruleIndex": rule,
        "level": _LEVELS[problem.severity],
        "message": {"text": _text("\n".join(lines))},
        "locations": [_location(problem, report)],
        "properties": {"check": clipped(problem.result.check), "place": clipped(problem.result.place)},
    }
    if problem.ignored:
        result["suppressions"] = [{"kind": "external", "justification": clipped(problem.ignored)}]
    return result


def _notification(problem: Problem, report: Report) -> Json:
    text = _text(f"{problem.result.check} {problem.kind}: {problem.message}")
    return {"level": "error", "message": {"text": text}, "locations": [_location(problem, report)]}


def _location(problem: Problem, report: Report) -> Json:
    """Return where a problem is; that of the config where it has no place in the project."""
    path = problem.path or (inside(report.config) if report.config else "") or "preflight.yaml"
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(path, errors="backslashreplace")}}
    if problem.line:
        place["region"] = {"startLine": problem.line}
    return {"physicalLocation": place}


def _text(text: str) -> str:
    """Return a message in which nothing stands for a link or for an argument, as the standard's messages may have."""
    lines = "\n".join(visible_lines(text)[:50]) or "no words"
    return re.sub(r"\[(?=[^\]\n]*\]\()", r"\\[", re.sub(r"\{(\d+)\}", r"{{\1}}", lines))
