"""Findings on a page: what, where, what was found and wanted, why, and commands that can be copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from preflight.model import LOCAL, Finding, Result, Severity, Status
from preflight.reports.html.markup import Markup, joined, tag
from preflight.reports.text import visible_lines
from preflight.verdict import refuses

SHOWN = 50  # findings of one result; the others are counted
_LINES = 40


def article(result: Result) -> Markup:
    """Return what is to be said of a result that is not fine."""
    status = "broken" if result.status is Status.BROKEN else "failed" if refuses(result) else "warning"
    told = [each for each in result.findings if each.severity is not Severity.INFO]
    return tag(
        "article",
        {"class": status, **marks(result)},
        tag("h3", None, badge(status), " ", tag("span", {"class": "id"}, result.check), place_of(result)),
        tag("p", {"class": "reason"}, result.reason) if result.reason else "",
        list_of(told),
        text_of("Traceback", result.traceback),
        text_of("Output", result.output),
    )


def marks(result: Result) -> dict[str, object]:
    """Return the attributes that the filter goes by."""
    status = status_of(result)
    warned = any(each.severity is Severity.WARNING and not each.ignored for each in result.findings)
    return {"data-status": f"{status} warning" if warned else status, "data-family": result.family}


def status_of(result: Result) -> str:
    """Return the word that a result counts by: what was found wrong counts however its check ended."""
    return "failed" if refuses(result) else result.status.lower()


def badge(status: str) -> Markup:
    """Return a status as a word, so that nothing is told by colour alone."""
    return tag("span", {"class": f"badge {status}"}, status.upper())


def list_of(findings: Sequence[Finding]) -> Markup:
    """Return the findings, the first `SHOWN` in full."""
    left = len(findings) - SHOWN
    more = tag("p", {"class": "quiet"}, f"and {left:,} more, which the JSON report has") if left > 0 else ""
    return joined(*(_finding(each) for each in findings[:SHOWN]), more)


def _finding(finding: Finding) -> Markup:
    where = f"{finding.file}:{finding.line}" if finding.line else finding.file
    ignored = f"ignored: {finding.ignored}" if finding.ignored else ""
    notes = [tag("code", None, each) for each in (finding.id, where) if each]
    rows = [("found", finding.found), ("wanted", finding.wanted), ("cause", finding.cause)]
    return tag(
        "div",
        {"class": f"finding {finding.severity}"},
        tag("p", {"class": "message"}, finding.message, *(joined(" ", each) for each in notes), _quiet(ignored)),
        tag(
            "dl",
            None,
            *(joined(tag("dt", None, name), tag("dd", None, value)) for name, value in rows if value),
            joined(tag("dt", None, "fix"), tag("dd", None, *_fix(finding.fix))) if finding.fix else "",
        )
        if finding.fix or any(value for _, value in rows)
        else "",
    )


def _fix(text: str) -> Iterator[Markup]:
    """Yield the prose of a remedy, and its commands, which are the indented lines."""
    prose: list[str] = []
    command: list[str] = []
    for line in [*visible_lines(text), ""]:
        if line.startswith("    "):
            command.append(line.removeprefix("    "))
            continue
        if command:
            yield tag("p", None, " ".join(prose)) if prose else joined()
            yield _command("\n".join(command))
            prose, command = [], []
        if line.strip():
            prose.append(line.strip())
    if prose:
        yield tag("p", None, " ".join(prose))


def _command(text: str) -> Markup:
    """Return a command with a button that copies it; without the script there is none."""
    button = tag("button", {"type": "button", "class": "copy", "hidden": True}, "Copy")
    return tag("div", {"class": "command"}, tag("pre", None, tag("code", None, _lines(text.split("\n")))), button)


def _lines(lines: Sequence[str]) -> Markup:
    """Return lines below each other; `tag` would show their newlines as text."""
    return Markup("\n".join(joined(line) for line in lines))


def text_of(name: str, text: str) -> Markup:
    """Return a long text folded away, its last lines only."""
    lines = visible_lines(text)
    if not lines:
        return joined()
    cut = f", the last {_LINES} of {len(lines):,} lines" if len(lines) > _LINES else ""
    body = tag("pre", None, _lines(lines[-_LINES:]))
    return tag("details", {"class": "text"}, tag("summary", None, f"{name}{cut}"), body)


def place_of(result: Result) -> Markup:
    """Return where a result was had, as the filter reads it; nothing where there is only one place."""
    if result.place == LOCAL:
        return joined()
    return joined(" ", tag("span", {"class": "quiet", "data-at": result.place}, f"at {result.place}"))


def _quiet(text: str) -> Markup:
    return joined(" ", tag("span", {"class": "quiet"}, text)) if text else joined()
