"""What has changed from one run to another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from preflight.history.runs import Changes
from preflight.records.differences import by_kind
from preflight.records.sides import Side
from preflight.reports.html.markup import Markup, tag
from preflight.site.frame import Links, document, main, table, time_of


def changes(found: Changes, links: Links, names: Sequence[str] = ()) -> str:
    """Return the page of a comparison; `names` are offered to compare others."""
    form = _form(links, names, found.before.name, found.after.name)
    heading = f"{found.before.name} → {found.after.name}"
    return document(heading, links, main(heading, form, *_told(found, links)), nav="Compare")


def unknown(name: str, links: Links) -> str:
    """Return the page of a run before which none has worked."""
    said = tag(
        "p", None, "No run before ", tag("a", {"href": links.run(name)}, name), " has worked, as far as is known."
    )
    return document(name, links, main(f"What has changed before {name}", said))


def ask(links: Links, names: Sequence[str], before: str = "", after: str = "", flaw: str = "") -> str:
    """Return the page that asks which two to compare; `flaw` tells why what was asked cannot be answered."""
    said = tag("p", {"class": "flaw", "role": "alert"}, flaw) if flaw else ""
    return document("Compare", links, main("Compare two runs", said, _form(links, names, before, after)), nav="Compare")


def _form(links: Links, names: Sequence[str], before: str, after: str) -> Markup:
    if not links.served:
        return tag("p", {"class": "quiet"}, "before, and after")
    fields = [
        tag(
            "label",
            None,
            word,
            tag("input", {"name": word, "value": value, "list": "names", "required": True, "autocomplete": "off"}),
        )
        for word, value in (("before", before), ("after", after))
    ]
    return tag(
        "form",
        {"class": "site", "action": links.compare(), "method": "get"},
        *fields,
        tag("datalist", {"id": "names"}, *(tag("option", {"value": each}) for each in names)),
        tag("button", {"type": "submit"}, "Compare"),
    )


def _told(found: Changes, links: Links) -> Iterator[Markup]:
    if found.flaw:
        yield tag("p", {"class": "flaw"}, found.flaw)
        return
    yield tag("ul", None, *(_side(each, links) for each in (found.before, found.after)))
    if not found.differences:
        yield tag("p", None, "Nothing has changed of what is known.")
    for kind, group in by_kind(found.differences):
        rows = (
            tag("tr", None, tag("th", {"scope": "row"}, each.name), *_values(each.before, each.after)) for each in group
        )
        yield tag("section", None, tag("h2", None, kind), table(("what", "before", "after"), rows, kind))


def _values(*values: str) -> list[Markup]:
    return [tag("td", {"class": "text"}, each) for each in values]


def _side(side: Side, links: Links) -> Markup:
    return tag("li", None, tag("a", {"href": links.run(side.name)}, side.name), f" {side.outcome}, {time_of(side.at)}")
