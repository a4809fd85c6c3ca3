"""Views of a Report; none of them judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from preflight.model import Report
    from preflight.verdict import Verdict

FORMATS = {
    "terminal": "preflight.reports.terminal:render",
    "json": "preflight.reports.json:render",
    "junit": "preflight.reports.junit:render",
    "html": "preflight.reports.html:render",
    "prometheus": "preflight.reports.prometheus:render",
    "nagios": "preflight.reports.nagios:render",
    "tap": "preflight.reports.tap:render",
    "markdown": "preflight.reports.markdown:render",
    "github": "preflight.reports.github:render",
    "gitlab": "preflight.reports.gitlab:render",
    "sarif": "preflight.reports.sarif:render",
}


def render(name: str, report: Report, verdict: Verdict) -> str:
    """Return the report as text in the format of that name, one of `FORMATS`."""
    from importlib import import_module

    module, _, function = FORMATS[name].partition(":")
    text: str = getattr(import_module(module), function)(report, verdict)
    return text
