"""What every page of the site shares: where it lies, how it leads to the others, and the document around it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

from preflight.quantities import format_duration
from preflight.records.record import Record
from preflight.records.states import State
from preflight.reports.html.markup import Child, Markup, joined, tag
from preflight.reports.html.page import page

_BADGES = {
    State.FINISHED: "passed",
    State.FAILED: "failed",
    State.REFUSED: "failed",
    State.LOST: "broken",
    State.STOPPED: "skipped",
}


@dataclass(frozen=True, slots=True)
class Links:
    """How a page leads to others: `top` is the way up from its folder; only a served site can be asked questions."""

    top: str = ""
    served: bool = False

    def below(self) -> Links:
        """Return the links of a page one folder further down."""
        return Links(f"{self.top}../", self.served)

    def index(self, number: int = 1) -> str:
        """Return the address of a page of the list of runs."""
        return f"{self.top}index.html" if number == 1 else f"{self.top}index-{number}.html"

    def trends(self) -> str:
        """Return the address of the list of hosts."""
        return f"{self.top}trends.html"

    def compare(self) -> str:
        """Return the address that compares two runs."""
        return f"{self.top}compare.html"

    def run(self, name: str) -> str:
        """Return the address of a run."""
        return f"{self.top}run/{_quoted(name)}.html"

    def changes(self, name: str) -> str:
        """Return the address of what has changed since a run last worked."""
        return f"{self.top}changes/{_quoted(name)}.html"

    def host(self, name: str) -> str:
        """Return the address of the trends of a host."""
        return f"{self.top}host/{_quoted(file_of_host(name))}.html"


def file_of_host(name: str) -> str:
    """Return the name of the file of a host, which is any text, without what a path may not hold."""
    return quote(os.fsencode(name), safe=" ")[:200].replace(".", "%2E")


def document(title: str, links: Links, *parts: Child, nav: str = "") -> str:
    """Return the whole document; `nav` is the name of the part of the site that it belongs to."""
    places = [("Runs", links.index()), ("Trends", links.trends())]
    if links.served:
        places.append(("Compare", links.compare()))
    entries = [
        tag("li", None, tag("a", {"href": address, "aria-current": "page" if name == nav else None}, name))
        for name, address in places
    ]
    bar = tag("nav", {"class": "site", "aria-label": "Site"}, tag("ul", None, *entries))
    forms = "'self'" if links.served else "'none'"
    return page(f"{title} · preflight", bar, *parts, style=_text("style.css"), script=_text("script.js"), forms=forms)


def main(heading: str, *parts: Child, live: int = 0) -> Markup:
    """Return what a page is about; while it is looked at it is asked for again after `live` seconds, where not 0."""
    said = tag("p", {"id": "said", "class": "away", "role": "status"})
    whole = tag("main", {"id": "main", "data-live": live or None}, tag("h1", {"class": "page"}, heading), *parts)
    return joined(whole, said)


def part(name: str, *children: Child) -> Markup:
    """Return what is put in the place of the part of the same name when a page is asked for again."""
    return tag("div", {"data-part": name}, *children)


def table(heads: Iterable[str], rows: Iterable[Markup], name: str) -> Markup:
    """Return a table that scrolls by itself where the window is narrow."""
    head = tag("thead", None, tag("tr", None, *(tag("th", {"scope": "col"}, each) for each in heads)))
    whole = tag("table", {"class": "site"}, head, tag("tbody", None, *rows))
    return tag("div", {"class": "wide", "tabindex": 0, "role": "region", "aria-label": name}, whole)


def badge(record: Record) -> Markup:
    """Return the state of a run, with its exit code where that is not 0."""
    if record.flaws and not record.created:
        return tag("span", {"class": "badge broken"}, "damaged")
    words = f"{record.state} {record.exit_code}" if record.exit_code else str(record.state)
    return tag("span", {"class": f"badge {_BADGES.get(record.state, 'open')}"}, words)


def command_of(record: Record) -> str:
    """Return the command of a run as a shell reads it."""
    return shlex.join(record.command)


def time_of(at: str) -> str:
    """Return a time of a record, which is ISO 8601 in UTC, to the minute; a page may be read in any zone."""
    return f"{at[:16].replace('T', ' ')} UTC" if len(at) > 16 else at


def took(record: Record) -> str:
    """Return how long the job has run, empty where that is not known."""
    return "" if record.seconds is None else format_duration(record.seconds)


def _quoted(name: str) -> str:
    return quote(os.fsencode(name), safe="")


@cache
def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
