"""The code quality report keeps its fingerprints while a problem lasts, and weighs what it tells."""

import json
from dataclasses import replace
from typing import Any

from preflight.model import Finding, Report, Result, Severity, Status
from preflight.reports import render
from preflight.verdict import decide


def issues(*results: Result) -> list[dict[str, Any]]:
    report = Report(results=results, config="foo.yaml")
    told: list[dict[str, Any]] = json.loads(render("gitlab", report, decide(report)))
    return told


FULL = Finding(severity=Severity.WARNING, message="/x is 97 % full", id="paths.full", file="foo.yaml", line=3, fix="Go")
EMPTY = Finding(severity=Severity.ERROR, message="a is empty", id="data.empty")
RESULT = Result(check="paths.usable[x]", status=Status.FAILED, findings=[FULL, EMPTY, EMPTY])


def test_a_fingerprint_stays_though_numbers_and_lines_change() -> None:
    before = {each["fingerprint"] for each in issues(RESULT)}
    moved = replace(FULL, message="/x is 98 % full", line=9, found="more")
    assert {each["fingerprint"] for each in issues(replace(RESULT, findings=[moved, EMPTY, EMPTY]))} == before
    assert len(before) == 3
    assert not before & {each["fingerprint"] for each in issues(replace(RESULT, place="n1"))}
    assert len(issues(replace(RESULT, findings=[EMPTY]))) == 1


def test_severities() -> None:
    ignored = replace(EMPTY, ignored="known")
    told = Finding(severity=Severity.INFO, message="torch 2.4", id="imports.loaded")
    broken = Result(check="a.b", status=Status.BROKEN, reason="it died")
    asked = Result(check="a.c", status=Status.SKIPPED, reason="no answer", asked=True)
    idle = Result(check="a.d", status=Status.SKIPPED, reason="no GPU")
    found = issues(replace(RESULT, findings=[FULL, EMPTY, ignored, told]), broken, asked, idle)
    assert [(each["description"], each["severity"]) for each in found] == [
        ("a is empty", "critical"),
        ("it died", "critical"),
        ("no answer", "critical"),
        ("/x is 97 % full | fix: Go", "minor"),
        ("a is empty | ignored: known", "info"),
    ]


def test_what_has_no_place_is_told_at_the_config() -> None:
    (issue,) = issues(replace(RESULT, findings=[replace(EMPTY, file="/usr/lib/x.py", line=8)]))
    assert issue["location"] == {"path": "foo.yaml", "lines": {"begin": 1}}
