"""Many nodes on a page: who answered, and which checks went otherwise where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from preflight.model import Presence, Report
from preflight.nodesets import fold
from preflight.reports.html.findings import status_of
from preflight.reports.html.markup import Markup, joined, tag
from preflight.reports.places import summary

MOST_ROWS, MOST_COLUMNS = 200, 60
_LETTERS = {"passed": "·", "failed": "F", "broken": "B", "skipped": "s", "": " "}


def section(report: Report) -> Markup:
    """Return the matrix of nodes and checks: nodes that went the same way share a row.

    A check that went the same way at every node has no column.
    """
    if not report.places:
        return joined()
    went: dict[str, dict[str, str]] = {place.name: {} for place in report.places}
    for result in report.results:
        went.setdefault(result.place, {})[result.check] = status_of(result)
    answered = [went[place.name] for place in report.places if place.presence is Presence.ANSWERED]
    checks = dict.fromkeys(check for row in went.values() for check in row)
    differing = [check for check in checks if _differs(check, answered, went.values())]
    rows: dict[tuple[str, ...], list[str]] = {}
    for name, row in went.items():
        rows.setdefault(tuple(row.get(check, "") for check in differing), []).append(name)
    lines = [line.strip() for line in summary(report)]
    return tag(
        "section",
        {"aria-labelledby": "nodes"},
        tag("h2", {"id": "nodes"}, "Nodes"),
        tag("ul", {"class": "lines"}, *(tag("li", None, line) for line in lines)),
        _matrix(differing, rows) if differing else tag("p", None, "Every check went the same way at every node."),
    )


def _differs(check: str, answered: Iterable[Mapping[str, str]], everywhere: Iterable[Mapping[str, str]]) -> bool:
    """Return whether a check went otherwise somewhere; that a silent node did not run it is no difference."""
    return len({row.get(check, "") for row in answered} | {row[check] for row in everywhere if check in row}) > 1


def _matrix(checks: Sequence[str], rows: dict[tuple[str, ...], list[str]]) -> Markup:
    # The most nodes first, and then those with the most that is not well.
    ordered = sorted(rows.items(), key=lambda each: (-len(each[1]), each[1][0]))
    columns, shown = checks[:MOST_COLUMNS], ordered[:MOST_ROWS]
    heads = [tag("th", {"scope": "col"}, tag("span", None, each)) for each in columns]
    body = [_row(row[:MOST_COLUMNS], names) for row, names in shown]
    left = [
        f"{count:,} {what}"
        for count, what in ((len(checks) - len(columns), "checks"), (len(ordered) - len(shown), "rows of nodes"))
        if count > 0
    ]
    table = tag(
        "table",
        {"class": "matrix"},
        tag("thead", None, tag("tr", None, tag("th", {"scope": "col"}, "node"), *heads)),
        tag("tbody", None, *body),
    )
    note = f"Not shown, but in the JSON report: {' and '.join(left)}." if left else ""
    return joined(
        tag(
            "div", {"class": "wide", "tabindex": 0, "role": "region", "aria-label": "Table of nodes and checks"}, table
        ),
        tag("p", {"class": "quiet"}, f"· passed, F failed, B broken, s skipped, empty: not run. {note}".strip()),
    )


def _row(row: Sequence[str], names: Sequence[str]) -> Markup:
    cells = [tag("td", {"class": each} if each else None, _LETTERS[each]) for each in row]
    count = f" ({len(names):,})" if len(names) > 1 else ""
    return tag("tr", {"data-nodes": fold(names)}, tag("th", {"scope": "row"}, f"{fold(names)}{count}"), *cells)


def left_out(names: Sequence[str]) -> Markup:
    """Return the option that leaves nodes out of a job, to be copied."""
    button = tag("button", {"type": "button", "class": "copy", "hidden": True}, "Copy")
    option = tag("pre", None, tag("code", None, f"--exclude={fold(names)}"))
    return joined(
        tag("p", {"class": "quiet"}, "leave these nodes out, with sbatch or srun:"),
        tag("div", {"class": "command"}, option, button),
    )
