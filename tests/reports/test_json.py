"""The JSON is the report: it reads back, and strict readers take it."""

import json
from pathlib import Path

from preflight.model import Finding, Report, Result, Severity, Status
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
