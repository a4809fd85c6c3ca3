"""How times and figures went: the hosts, and each host's lines."""

from __future__ import annotations

from itertools import islice
from statistics import median

from preflight.history.trends import Series, Trends
from preflight.phrases import counted
from preflight.reports.html.markup import Markup, tag
from preflight.reports.text import elapsed
from preflight.site.frame import Links, document, main, table

MOST = 1_000  # rows of a page
_WIDTH, _HEIGHT, _EDGE = 176, 28, 3


def hosts(found: Trends, links: Links) -> str:
    """Return the list of hosts."""
    rows = (
        tag(
            "tr",
            None,
            tag("th", {"scope": "row"}, tag("a", {"href": links.host(name)}, name)),
            tag("td", {"class": "number"}, f"{sum(each.kind == 'check' for each in series):,}"),
            tag("td", {"class": "number"}, f"{sum(each.kind == 'GPU' for each in series):,}"),
            tag("td", {"class": "number"}, f"{max(len(each.values) for each in series):,}"),
        )
        for name, series in islice(found.hosts.items(), MOST)
    )
    shown = table(("host", "checks", "GPU figures", "runs"), rows, "Hosts") if found.hosts else ""
    return document("Trends", links, main("Trends", _sources(found), shown, _left(len(found.hosts))), nav="Trends")


def host(name: str, series: list[Series], links: Links) -> str:
    """Return the lines of one host, those of its GPUs first."""
    ordered = sorted(series, key=lambda each: (each.kind != "GPU", each.name))
    heads = ("what", "from run to run", "last", "lowest", "median", "highest", "values")
    lines = table(heads, (_row(each, links) for each in ordered[:MOST]), f"Trends of {name}")
    return document(name, links, main(name, lines, _left(len(ordered))), nav="Trends")


def _row(series: Series, links: Links) -> Markup:
    values = series.values
    last = tag("a", {"href": links.run(series.runs[-1])}, _told(values[-1], series.unit))
    rest = [_told(each, series.unit) for each in (min(values), median(values), max(values))]
    return tag(
        "tr",
        None,
        tag("th", {"scope": "row"}, series.name),
        tag("td", None, sparkline(series)),
        tag("td", {"class": "number"}, last),
        *(tag("td", {"class": "number"}, each) for each in rest),
        tag("td", {"class": "number"}, f"{len(values):,}"),
    )


def sparkline(series: Series) -> Markup:
    """Return the values as a line from left to right, the lowest at the bottom, with a dot at the last."""
    low, high = min(series.values), max(series.values)
    step = (_WIDTH - 2 * _EDGE) / max(1, len(series.values) - 1)
    points = [
        (_EDGE + at * step, _HEIGHT - _EDGE - (value - low) / ((high - low) or 1) * (_HEIGHT - 2 * _EDGE))
        for at, value in enumerate(series.values)
    ]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    first, last = (_told(series.values[at], series.unit) for at in (0, -1))
    words = f"{counted(len(points), 'value')}, from {first} to {last}"
    x, y = points[-1]
    return tag(
        "svg",
        {"class": "spark", "viewBox": f"0 0 {_WIDTH} {_HEIGHT}", "role": "img", "aria-label": words},
        tag("circle", {"class": "dot", "cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": 2}),
        tag("path", {"d": line}),
    )


def _told(value: float, unit: str) -> str:
    return elapsed(value) if unit == "s" else f"{value:,.4g} {unit}".rstrip()


def _sources(found: Trends) -> Markup:
    words = f"From the reports of {counted(found.looked_at, 'run')}."
    if found.flawed:
        words += f" {counted(len(found.flawed), 'report')} cannot be read: {', '.join(found.flawed[:5])}"
    return tag("p", {"class": "quiet"}, words)


def _left(total: int) -> Markup:
    return tag("p", {"class": "quiet"}, f"and {total - MOST:,} more" if total > MOST else "")
