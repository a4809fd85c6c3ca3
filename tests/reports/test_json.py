"""The JSON is the report: it reads back, and strict readers take it."""

import json
from pathlib import Path

from preflight.model import Finding, Place, Report, Result, Severity, Status
from preflight.reports.json import render
from preflight.verdict import decide


def test_reads_back_as_the_same_report() -> None:
    finding = Finding(
        severity=Severity.ERROR, message="", id="a.b", evidence={"files": ["\udcff", "ä"], "sizes": [1, 2.5]}
    )
    result = Result(check="a.b[x]", status=Status.FAILED, findings=(finding,), output="\x1b[0m", traceback="t")
    report = Report(results=(result,), facts={"host": "h"}, config="foo.yaml", strict=True)
    verdict = decide(report)
    text = render(report, verdict)
    assert text.isascii()
    assert Report.from_json(json.loads(text)) == report
    assert json.loads(text)["verdict"] == verdict.to_json()


def test_what_json_has_no_word_for_becomes_text() -> None:
    facts = {"nan": float("nan"), "path": Path("/data"), "pair": (1, None), "bytes": b"x", "deep": {1: [{2.5}, True]}}
    report = Report(results=(), facts=facts)
    stored = json.loads(render(report, decide(report)))["facts"]
    assert stored == {"nan": "nan", "path": "/data", "pair": [1, None], "bytes": "b'x'", "deep": {"1": ["{2.5}", True]}}


def test_many_nodes_have_a_line_for_each_result() -> None:
    """And it reads back, with what JSON has no word for as text."""
    finding = Finding(severity=Severity.ERROR, message="m", evidence={"sizes": [float("inf")], "path": Path("/data")})
    results = [Result(check="a.b", status=Status.FAILED, findings=(finding,), place=name) for name in ("n1", "n2")]
    report = Report(results=results, places=(Place(name="n1"), Place(name="n2", facts={"host": "h"})))
    text = render(report, decide(report))
    lines = [line for line in text.splitlines() if '"n2"' in line]
    assert [json.loads(line.strip().rstrip(","))["check" if "check" in line else "name"] for line in lines] == [
        "n2",
        "a.b",
    ]
    read = Report.from_json(json.loads(text))
    assert read.places == report.places
    assert [each.findings[0].evidence for each in read.results] == [{"sizes": ["inf"], "path": "/data"}] * 2
