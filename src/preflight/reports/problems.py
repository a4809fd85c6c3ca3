"""What a report says against a launch, one by one, the most telling first, each with its place in the project."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from preflight.model import Finding, Report, Result, Severity, Status

# Where a CI service has checked the project out: GitHub, GitLab, Jenkins.
_WORKSPACES = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR", "WORKSPACE")
_ORDER = {each: rank for rank, each in enumerate((Severity.ERROR, Severity.WARNING, Severity.INFO))}

_See = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding, or a check that gave no answer.

    `kind` is the status of the check where the check itself is the problem, else empty; `id` is the finding's, or the
    check's without its entry; `details` are found, wanted, cause and fix as far as they are told; `path` is relative to
    the checked-out project with `/` between its parts, empty where the problem lies outside; `line` counts from 1, 0
    where unknown.
    """

    result: Result
    severity: Severity
    id: str
    message: str
    kind: str = ""
    details: tuple[tuple[str, str], ...] = ()
    ignored: str = ""
    path: str = ""
    line: int = 0


def problems(report: Report) -> list[Problem]:
    """Return all that was found and not answered: by severity, then the first of each id before the second of any."""
    seen: Counter[tuple[str, str]] = Counter()
    ranked = []
    see = cache(inside)
    for problem in (each for result in report.results for each in _problems(result, see)):
        seen[problem.kind, problem.id] += 1
        rank = bool(problem.ignored), _ORDER[problem.severity], seen[problem.kind, problem.id]
        ranked.append((rank, problem))
    ranked.sort(key=lambda each: each[0])
    return [problem for _, problem in ranked]


def _problems(result: Result, see: _See) -> Iterator[Problem]:
    """Yield what one result says; a check that gave no answer is an error, as its verdict is no GO."""
    errors = [each for each in result.findings if each.severity is Severity.ERROR]
    yield from (_of_finding(result, each, see) for each in result.findings)
    if result.status is Status.BROKEN or (result.status is Status.SKIPPED and result.asked):
        yield _of_check(result, result.reason, see)
    elif result.status is Status.FAILED and not errors:
        yield _of_check(result, result.title or "it FAILED", see)


def _of_check(result: Result, message: str, see: _See) -> Problem:
    path, line = _place([(result.file, result.line)], see)
    name = result.check.partition("[")[0]
    told = {"result": result, "severity": Severity.ERROR, "id": name, "message": message}
    return Problem(**told, kind=str(result.status), path=path, line=line)  # type: ignore[arg-type]


def _of_finding(result: Result, finding: Finding, see: _See) -> Problem:
    path, line = _place([(finding.file, finding.line), (result.file, result.line)], see)
    told = ((name, getattr(finding, name)) for name in ("found", "wanted", "cause", "fix"))
    return Problem(
        result=result,
        severity=finding.severity,
        id=finding.id or result.check.partition("[")[0],
        message=finding.message,
        details=tuple((name, value) for name, value in told if value),
        ignored=finding.ignored,
        path=path,
        line=line,
    )


def _place(places: Iterable[tuple[str, int]], see: _See) -> tuple[str, int]:
    """Return the first place that lies in the checked-out project."""
    for file, line in places:
        if file and (path := see(file)):
            return path, max(0, line)
    return "", 0


def inside(file: str) -> str:
    """Return a path as seen from the checked-out project, empty where it lies outside; the file is not looked at."""
    named = next((os.environ[name] for name in _WORKSPACES if os.environ.get(name)), "") or os.getcwd()
    whole = os.path.normpath(os.path.join(os.getcwd(), file.replace("\0", "\\0")))
    # The working directory is told without links, the workspace as the service wrote it.
    for workspace in dict.fromkeys((named, os.path.realpath(named))):
        relative = os.path.relpath(whole, workspace)
        if relative != os.curdir and relative.split(os.sep)[0] != os.pardir:
            return relative.replace(os.sep, "/")
    return ""
