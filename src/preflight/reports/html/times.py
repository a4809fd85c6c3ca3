"""The times of the checks on one axis: what ran beside what, and where the wait was."""

from __future__ import annotations

from collections.abc import Sequence

from preflight.model import Result
from preflight.reports.html.findings import place_of, status_of
from preflight.reports.html.markup import Markup, joined, tag
from preflight.reports.text import elapsed

MOST = 120  # bars, those of the longest checks
_WIDTH, _HEIGHT = 1000, 10


def section(results: Sequence[Result]) -> Markup:
    """Return one bar for each check, in the order in which they began."""
    timed = [each for each in results if each.seconds > 0]
    if not timed:
        return joined()
    longest = sorted(timed, key=lambda each: each.seconds, reverse=True)[:MOST]
    shown = sorted(longest, key=lambda each: (each.started, each.check))
    whole = max(each.started + each.seconds for each in shown)
    left = len(timed) - len(shown)
    axis = tag("span", {"class": "axis"}, *(tag("span", None, elapsed(whole * part)) for part in (0, 0.5, 1)))
    head = tag("tr", None, *(tag("th", {"scope": "col"}, each) for each in ("check", "from", "took", axis)))
    table = tag(
        "table",
        {"class": "times"},
        tag("thead", None, head),
        tag("tbody", None, *(_row(each, whole) for each in shown)),
    )
    return tag(
        "section",
        {"aria-labelledby": "times"},
        tag("h2", {"id": "times"}, "Times"),
        tag("div", {"class": "wide", "tabindex": 0, "role": "region", "aria-label": "Bars of the times"}, table),
        tag("p", {"class": "quiet"}, f"Not shown: the {left:,} shortest.") if left else "",
    )


def _row(result: Result, whole: float) -> Markup:
    status = status_of(result)
    x, width = result.started / whole * _WIDTH, max(2.0, result.seconds / whole * _WIDTH)
    bar = tag(
        "rect", {"x": f"{min(x, _WIDTH - 2):.1f}", "y": 1, "width": f"{width:.1f}", "height": _HEIGHT - 2, "rx": 1}
    )
    view = {"viewBox": f"0 0 {_WIDTH} {_HEIGHT}", "preserveAspectRatio": "none", "class": status, "aria-hidden": "true"}
    return tag(
        "tr",
        {"data-status": status, "data-family": result.family},
        tag("th", {"scope": "row"}, result.check, place_of(result)),
        tag("td", None, elapsed(result.started)),
        tag("td", None, elapsed(result.seconds)),
        tag("td", {"class": "bar"}, tag("svg", view, bar)),
    )
