"""The list of runs, and the page of one."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from preflight.history.runs import Page, Stored, told
from preflight.model import LOCAL, Result
from preflight.phrases import counted
from preflight.records.record import Record
from preflight.reports.html.findings import badge as badge_of_result
from preflight.reports.html.markup import Markup, tag
from preflight.reports.html.report import body
from preflight.reports.text import elapsed
from preflight.site.frame import Links, badge, command_of, document, main, part, table, time_of, took
from preflight.verdict import decide, refuses

_SECONDS = 2  # after which the list is asked for again
# The page of a report is the largest, and less happens once it is there.
_SECONDS_CHECKING, _SECONDS_RUNNING = 1, 5
_DAMAGE = (TypeError, AttributeError, ValueError, KeyError, RecursionError, ArithmeticError)


def index(page: Page, links: Links, find: str = "") -> str:
    """Return a page of the list, the latest run first."""
    heads = ("run", "state", "verdict", "created", "took", "where", "commit", "command", "changes")
    runs = table(heads, (_row(each, links) for each in page.records), "Runs")
    nothing = tag("p", None, f"No run has {find} in its name." if find else "No run is recorded here.")
    shown = part("runs", tag("div", {"data-rows": True}, runs) if page.records else nothing, _pages(page, links, find))
    return document("Runs", links, main("Runs", _find(links, find), shown, live=_SECONDS * links.served), nav="Runs")


def run(stored: Stored, links: Links) -> str:
    """Return the page of one run: its report as it is shown everywhere, or what came of it so far, and its record."""
    record = stored.record
    aside = _aside(stored, links)
    if stored.report is not None:
        try:
            report = body(stored.report, decide(stored.report))
        except _DAMAGE as problem:
            flaw = _flaw(f"report.json cannot be shown: {problem}")
            return document(record.name, links, main(record.name, flaw), aside)
        return document(record.name, links, report, aside)
    if stored.partial is not None:
        seconds = _SECONDS_CHECKING if links.served and stored.goes_on else 0
        return document(record.name, links, main(record.name, part("results", *_partial(stored)), live=seconds), aside)
    why = _flaw(stored.flaw) if stored.flaw else tag("p", None, "No report of its checks is there.")
    return document(record.name, links, main(record.name, part("report", why)), aside)


def _row(record: Record, links: Links) -> Markup:
    where = " ".join(dict.fromkeys(each for each in (record.way, record.slurm, record.host) if each))
    told = command_of(record) if not record.flaws else f"({record.flaws[0]})"
    address = links.run(record.name)
    return tag(
        "tr",
        None,
        tag("th", {"scope": "row"}, tag("a", {"href": address, "id": f"run-{record.name}"}, record.name)),
        tag("td", None, badge(record)),
        tag("td", None, record.verdict),
        tag("td", None, time_of(record.created)),
        tag("td", {"class": "number"}, took(record)),
        tag("td", None, where),
        tag("td", None, tag("code", None, record.commit[:8]) if record.commit else ""),
        tag("td", {"class": "text"}, told),
        tag("td", None, tag("a", {"href": links.changes(record.name)}, "changes")),
    )


def _find(links: Links, find: str) -> Markup:
    """Return what chooses among the runs: those of the page as one types, and all of a served site when it is sent."""
    attributes = {"type": "search", "name": "find", "value": find, "autocomplete": "off", "data-filter": True}
    label = tag("label", None, "find a run", tag("input", attributes))
    if not links.served:
        return tag("form", {"class": "site", "role": "search", "aria-label": "Find a run"}, label)
    return tag(
        "form",
        {"class": "site", "role": "search", "aria-label": "Find a run", "action": links.index(), "method": "get"},
        label,
        tag("button", {"type": "submit"}, "Find"),
    )


def _pages(page: Page, links: Links, find: str) -> Markup:
    if page.pages == 1:
        return tag("p", {"class": "pages"}, counted(page.total, "run"))

    def leading(number: int, words: str) -> Markup:
        question = f"?find={quote(find)}" if find else ""
        return tag("a", {"href": links.index(number) + question, "id": f"page-{words}"}, words)

    return tag(
        "nav",
        {"class": "pages", "aria-label": "Pages"},
        leading(1, "latest") if page.number > 1 else "",
        leading(page.number - 1, "later") if page.number > 1 else "",
        tag("span", None, f"page {page.number:,} of {page.pages:,}, {counted(page.total, 'run')}"),
        leading(page.number + 1, "earlier") if page.number < page.pages else "",
        leading(page.pages, "earliest") if page.number < page.pages else "",
    )


def _partial(stored: Stored) -> Iterator[Markup]:
    """Yield what is known of checks that have not all ended."""
    partial = stored.partial
    if partial is None:
        return
    planned = max(len(partial.planned), len(partial.results), 1)
    words = told(partial) if stored.goes_on else f"{told(partial)}; then it was broken off"
    yield tag("p", {"role": "status"}, words)
    yield tag("progress", {"max": planned, "value": len(partial.results), "aria-label": "checks that have ended"})
    if partial.running:
        yield tag("p", {"class": "quiet"}, f"running: {', '.join(partial.running)}")
    worst_first = sorted(partial.results, key=lambda each: not refuses(each))
    yield table(("status", "check", "took", "what it says"), (_result(each) for each in worst_first), "Results so far")


def _result(result: Result) -> Markup:
    status = "failed" if refuses(result) else result.status.lower()
    says = result.findings[0].message if result.findings else result.reason
    where = "" if result.place == LOCAL else f" at {result.place}"
    return tag(
        "tr",
        None,
        tag("td", None, badge_of_result(status)),
        tag("th", {"scope": "row", "class": "id"}, f"{result.check}{where}"),
        tag("td", {"class": "number"}, elapsed(result.seconds)),
        tag("td", {"class": "text"}, says),
    )


def _aside(stored: Stored, links: Links) -> Markup:
    """Return what the record says; it is asked for again while the run goes on."""
    record = stored.record
    facts = {
        "command": command_of(record),
        "config": record.config,
        "commit": " on ".join(each for each in (record.commit, record.branch) if each),
        "way": record.way,
        "host": record.host,
        "slurm job": record.slurm,
        "created": time_of(record.created),
        "started": time_of(record.started),
        "ended": time_of(record.ended),
        "took": took(record),
        "why": record.reason,
    }
    pairs = [(tag("dt", None, name), tag("dd", None, value)) for name, value in facts.items() if value]
    seconds = _SECONDS_RUNNING if stored.report else _SECONDS
    live = seconds if links.served and stored.goes_on and stored.partial is None else None
    return tag(
        "aside",
        {"aria-label": "The run", "data-live": live},
        part(
            "record",
            tag("h2", None, f"Run {record.name} ", badge(record)),
            *(_flaw(each) for each in record.flaws),
            tag("dl", {"class": "record"}, *pairs),
        ),
        tag("p", None, tag("a", {"href": links.changes(record.name)}, "What has changed since it last worked")),
    )


def _flaw(text: str) -> Markup:
    return tag("p", {"class": "flaw"}, text)
