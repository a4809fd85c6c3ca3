"""The report as GitLab's code quality JSON, which merge requests show at the lines that they are about."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

from preflight.model import Report, Severity
from preflight.reports.problems import Problem, inside, problems
from preflight.reports.text import clipped
from preflight.verdict import Verdict

_SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "minor"}


def render(report: Report, _verdict: Verdict) -> str:
    """Return one issue for each error and warning: https://docs.gitlab.com/ci/testing/code_quality/.

    What is ignored weighs `info`; what only tells is no issue. GitLab wants a file for each: that of the config where a
    problem has none. The fingerprint stays while a problem does, wherever its line and its numbers go.
    """
    seen: Counter[str] = Counter()
    issues = []
    for problem in problems(report):
        if problem.severity is not Severity.INFO:
            path = problem.path or (inside(report.config) if report.config else "") or "preflight.yaml"
            key = "\0".join([problem.result.check, problem.result.place, problem.kind, problem.id, path])  # noqa: FLY002
            seen[key] += 1
            issues.append(_issue(problem, path, f"{key}\0{seen[key]}"))
    return json.dumps(issues, indent=2) + "\n"


def _issue(problem: Problem, path: str, key: str) -> dict[str, object]:
    told = {"cause": "", "fix": "", **dict(problem.details)}
    sentences = [problem.message, *(f"{name}: {told[name]}" for name in ("cause", "fix") if told[name])]
    if problem.ignored:
        sentences.append(f"ignored: {problem.ignored}")
    return {
        "description": clipped(" | ".join(" ".join(each.split()) for each in sentences)),
        "check_name": clipped(problem.id),
        "fingerprint": hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest(),
        "severity": "info" if problem.ignored else _SEVERITIES[problem.severity],
        "location": {"path": clipped(path), "lines": {"begin": max(1, problem.line)}},
    }
