"""Hostile and huge reports: every format stays well-formed, bounded, and says what it leaves out."""

import json
import time
from functools import cache
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

from preflight.model import Finding, Place, Presence, Report, Result, Severity, Status
from preflight.reports import FORMATS, render
from preflight.reports.markdown import LIMIT
from preflight.verdict import decide

pytestmark = pytest.mark.slow

EVIL = (
    "]]> <script>alert(1)</script> | `x` ``` ::error::y %0A \x1b[31m \u202e \r\n::set-env name=A::b\n"
    "@team #1 [a](http://b) &amp; ${{ x }} {0} '\""
)


def finding(message: str, **more: Any) -> Finding:
    return Finding(severity=Severity.ERROR, message=message, id=more.pop("id", "data.empty"), **more)


def evil() -> Report:
    told = [
        Finding(
            severity=each,
            message=EVIL,
            id=EVIL,
            found=EVIL,
            wanted=EVIL,
            cause=EVIL,
            fix=f"Do\n    {EVIL}",
            file=EVIL,
            line=3,
        )
        for each in Severity
    ]
    failed = Result(check=EVIL, status=Status.FAILED, findings=told, output=EVIL * 3, place=EVIL, title=EVIL, file=EVIL)
    broken = Result(check=EVIL, status=Status.BROKEN, reason=EVIL, traceback=EVIL * 3, place=EVIL)
    places = [Place(name=EVIL, presence=Presence.LOST, reason=EVIL)]
    return Report(
        results=[failed, broken], places=places, config=EVIL, facts={"host": EVIL, "python": EVIL}, started=EVIL
    )


def many_findings() -> Report:
    findings = [finding(f"{n}.png is empty", id=f"data.empty{n % 50}", cause="a copy broke off") for n in range(5_000)]
    return Report(results=[Result(check="data.is-readable", status=Status.FAILED, findings=findings)])


def many_nodes() -> Report:
    results = [
        Result(
            check=f"gpu.check-{check}",
            status=Status.FAILED if node % 3 == 0 else Status.PASSED,
            findings=[finding(f"GPU 3 of node{node:04} is lost", id=f"gpu.lost{check}")] if node % 3 == 0 else [],
            place=f"node{node:04}",
        )
        for node in range(1_000)
        for check in range(10)
    ]
    return Report(results=results, places=[Place(name=f"node{node:04}") for node in range(1_000)])


def long_message() -> Report:
    text = "x" * 1_000_000
    broken = Result(
        check="a.b", status=Status.BROKEN, reason=text, output=text, traceback="\n".join(["y" * 99] * 10_000)
    )
    return Report(results=[broken, Result(check="a.c", status=Status.FAILED, findings=[finding(text, cause=text)])])


REPORTS = {each.__name__: cache(each) for each in (evil, many_findings, many_nodes, long_message)}
# Bytes; those without an entry hold all there is.
MOST = {"terminal": 300_000, "github": 400_000, "markdown": LIMIT}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", REPORTS)
def test_is_well_formed_and_bounded(name: str, form: str) -> None:
    report = REPORTS[name]()
    verdict = decide(report)
    began = time.process_time()
    text = render(form, report, verdict)
    assert time.process_time() - began < 20
    assert len(text.encode("utf-8", "backslashreplace")) <= MOST.get(form, 10**8)
    assert "\x1b" not in text
    assert "\u202e" not in text
    if form in ("json", "gitlab", "sarif"):
        json.loads(text)
    if form == "junit":
        fromstring(text)


def test_what_is_left_out_is_told() -> None:
    report, long, findings = (REPORTS[each]() for each in ("many_nodes", "long_message", "many_findings"))
    assert "more alike, at `node[" in render("markdown", report, decide(report))
    assert "and 9,000 checks more" in render("markdown", report, decide(report))
    assert "left out" not in render("sarif", findings, decide(findings))
    more = findings.with_results([*findings.results, *long.results])
    assert "1 result more left out" in render("sarif", more, decide(more))
    assert "998,000 characters more" in render("gitlab", long, decide(long))
    assert "errors more" in render("github", report, decide(report))


def test_a_summary_keeps_to_its_limit() -> None:
    report = many_nodes()
    for limit in (100, 2_000, 20_000):
        page = render_markdown(report, limit)
        assert len(page.encode()) <= limit
        assert page.endswith("`--format json` has all.\n")


def render_markdown(report: Report, limit: int) -> str:
    from preflight.reports import markdown

    return markdown.render(report, decide(report), limit=limit)


def test_markdown_shows_what_was_said_and_nothing_more() -> None:
    from markdown_it import MarkdownIt

    report = evil()
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(render("markdown", report, decide(report)))
    inner = [child for each in tokens for child in each.children or []]
    html = {each.content.strip() for each in [*tokens, *inner] if each.type in ("html_block", "html_inline")}
    assert all(each.startswith(("<details><summary>", "</details>")) and "script" not in each for each in html)
    assert not {"link_open", "image", "em_open"} & {each.type for each in inner}
    text = " ".join(each.content for each in inner if each.type in ("text", "text_special", "code_inline"))
    assert "script" in text
    assert "alert(1)" in text
    table = [each for each in tokens if each.type in ("th_open", "td_open")]
    assert len(table) == 5 * 3
