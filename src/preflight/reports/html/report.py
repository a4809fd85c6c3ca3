"""The page of a report, the verdict first, then what speaks against it, then all the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from preflight.model import Finding, Report, Result, Severity, Status
from preflight.phrases import counted
from preflight.reports.html import facts, findings, nodes, rehearsal, times
from preflight.reports.html.markup import Markup, joined, tag
from preflight.reports.html.page import page
from preflight.reports.places import folded
from preflight.reports.text import elapsed, moment
from preflight.verdict import Verdict, failing_places, is_bad, unignored

MOST = 200  # results of a section in full; the others are counted


def render(report: Report, verdict: Verdict) -> str:
    """Return the whole document."""
    title = " ".join(each for each in (verdict.word, report.config, str(report.facts.get("host", ""))) if each)
    return page(title, body(report, verdict))


def body(report: Report, verdict: Verdict) -> Markup:
    """Return what the page shows, without the document around it."""
    results = list(folded(report.results).results) if report.places else list(report.results)
    bad = sorted((each for each in results if is_bad(each)), key=lambda each: each.status is Status.BROKEN)
    warned = [each for each in results if not is_bad(each) and unignored(each, Severity.WARNING)]
    skipped = [each for each in results if each.status is Status.SKIPPED]
    return joined(
        _head(report, verdict),
        tag(
            "main",
            {"id": "main"},
            _since(report),
            _filter(report, results),
            _section("What speaks against it", "bad", bad),
            _section("Warnings", "warned", warned),
            nodes.section(report),
            rehearsal.section(results),
            _checks(results),
            _skipped(skipped),
            times.section(results),
            facts.section(report),
        ),
        tag("p", {"id": "said", "class": "away", "role": "status"}),
    )


def _head(report: Report, verdict: Verdict) -> Markup:
    counts = verdict.counts
    told = [
        f"{counts[name]:,} {name if counts[name] != 1 or name != 'warnings' else 'warning'}"
        for name in ("failed", "broken", "passed", "skipped", "warnings", "ignored")
        if counts[name]
    ]
    given = [
        ("config", report.config or "none"),
        ("host", str(report.facts.get("host", ""))),
        ("nodes", f"{len(report.places):,}" if report.places else ""),
        ("commit", str(report.facts.get("commit") or "")[:10]),
        ("started", report.started.replace("T", " ")),
        ("took", elapsed(report.seconds)),
    ]
    kind = {"GO": "passed", "NO-GO": "failed"}.get(verdict.word, "broken")
    return tag(
        "header",
        {"class": kind},
        tag("p", {"class": "brand"}, "preflight"),
        tag("h1", None, str(verdict.word)),
        tag("p", {"class": "reason"}, verdict.reason) if verdict.reason else "",
        tag("p", {"class": "counts"}, ", ".join(told) or "no checks"),
        tag("dl", {"class": "given"}, *(_pair(name, value) for name, value in given if value)),
        _leave_out(report),
    )


def _pair(name: str, value: str) -> Markup:
    return tag("div", None, tag("dt", None, name), tag("dd", None, value))


def _leave_out(report: Report) -> Markup:
    names = failing_places(report)
    if not names or len(names) == len(report.places):
        return joined()
    return nodes.left_out(names)


def _since(report: Report) -> Markup:
    """Return what has changed since the last GO, where one is known."""
    match report.facts.get("since"):
        case {"at": str(at), "differences": [*differences]}:
            rows = [
                tag(
                    "tr",
                    None,
                    tag("th", {"scope": "row"}, str(each.get("name", ""))),
                    tag("td", None, str(each.get("before", ""))),
                    tag("td", None, str(each.get("after", ""))),
                )
                for each in islice(differences, MOST)
                if isinstance(each, dict)
            ]
            heading = tag("h2", {"id": "since"}, f"Since the last GO ({moment(at)})")
            if not rows:
                what = tag("p", None, "nothing has changed of what is known")
            else:
                head = tag("tr", None, *(tag("th", {"scope": "col"}, each) for each in ("what", "then", "now")))
                what = tag("table", {"class": "plain"}, tag("thead", None, head), tag("tbody", None, *rows))
            return tag("section", {"aria-labelledby": "since"}, heading, what)
    return joined()


def _filter(report: Report, results: Sequence[Result]) -> Markup:
    """Return what chooses among the results; it works by the script and is not shown without it."""
    families = sorted({each.family for each in results})
    statuses = ("failed", "broken", "warning", "skipped", "passed")
    options = [tag("option", {"value": each}, each or "all") for each in ("", *families)]
    chosen = [
        tag("label", None, tag("input", {"type": "checkbox", "name": "status", "value": each}), f" {each}")
        for each in statuses
    ]
    place = tag(
        "label", None, "node ", tag("input", {"type": "text", "name": "node", "autocomplete": "off", "size": 10})
    )
    return tag(
        "form",
        {"class": "filter", "role": "search", "aria-label": "Choose among the checks", "hidden": True},
        tag("label", None, "search ", tag("input", {"type": "search", "name": "text", "autocomplete": "off"})),
        tag("label", None, "family ", tag("select", {"name": "family"}, *options)),
        place if report.places else "",
        tag("fieldset", None, tag("legend", None, "status"), *chosen),
        tag("output", {"name": "count"}, counted(len(results), "check")),
    )


def _section(heading: str, name: str, results: Sequence[Result]) -> Markup:
    if not results:
        return joined()
    left = len(results) - MOST
    return tag(
        "section",
        {"aria-labelledby": name},
        tag("h2", {"id": name}, heading),
        *(findings.article(each) for each in results[:MOST]),
        tag("p", {"class": "quiet"}, f"and {left:,} more, which the JSON report has") if left > 0 else "",
    )


def _checks(results: Sequence[Result]) -> Markup:
    """Return all checks by family, those in which all is well folded away."""
    families: dict[str, list[Result]] = {}
    for result in results:
        families.setdefault(result.family, []).append(result)
    if not families:
        return joined()
    told = [_family(name, group) for name, group in families.items()]
    return tag("section", {"aria-labelledby": "checks"}, tag("h2", {"id": "checks"}, "All checks"), *told)


def _family(name: str, results: Sequence[Result]) -> Markup:
    bad = sum(is_bad(each) for each in results)
    seconds = elapsed(sum(each.seconds for each in results))
    words = f"{counted(len(results), 'check')}, {seconds}" + (f", {bad:,} not well" if bad else "")
    summary = tag("summary", None, tag("strong", None, name), " ", tag("span", {"class": "quiet"}, words))
    rows = [tag("ul", None, *(_check(each) for each in results[:MOST]))]
    if len(results) > MOST:
        rows.append(tag("p", {"class": "quiet"}, f"and {len(results) - MOST:,} more, which the JSON report has"))
    return tag("details", {"class": "family", "open": bad > 0}, summary, *rows)


def _check(result: Result) -> Markup:
    status = findings.status_of(result)
    return tag(
        "li",
        findings.marks(result),
        findings.badge(status),
        " ",
        tag("span", {"class": "id"}, result.check),
        findings.place_of(result),
        tag("span", {"class": "quiet"}, f" {elapsed(result.seconds)}"),
        tag("p", {"class": "claim"}, result.title) if result.title else "",
        *_remarks(result.findings),
    )


def _remarks(told: Sequence[Finding]) -> Iterator[Markup]:
    """Yield the infos, and what is ignored with its reason."""
    for finding in islice((each for each in told if each.ignored or each.severity is Severity.INFO), findings.SHOWN):
        because = f" (ignored: {finding.ignored})" if finding.ignored else ""
        yield tag("p", {"class": "info"}, f"{finding.message}{because}")


def _skipped(results: Sequence[Result]) -> Markup:
    if not results:
        return joined()
    reasons: dict[tuple[str, bool], list[str]] = {}
    for result in results:
        reasons.setdefault((result.reason, result.asked), []).append(result.check)
    rows = [
        tag("li", None, tag("span", {"class": "id"}, ", ".join(names)), f" {reason}" + asked * is_asked)
        for (reason, is_asked), names in reasons.items()
        for asked in (" (the config asks for it)",)
    ]
    return tag(
        "section", {"aria-labelledby": "skipped"}, tag("h2", {"id": "skipped"}, "Skipped"), tag("ul", None, *rows)
    )
