"""What other programs read: each format is understood by a reader of its own, whatever stands in the report."""

import re
from dataclasses import replace

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from preflight.model import Finding, Report, Result, Severity, Status
from preflight.reports import render
from preflight.verdict import decide

NASTY = 'a"b\\c\nd\x1b[31m<script>|#;{}=,\udcff ' + "x" * 100_000
FINDING = Finding(severity=Severity.ERROR, message=NASTY, id="mine.bad", cause=NASTY, fix="Mend it:\n    make data")


def report(*statuses: str, **more: object) -> Report:
    results = [
        Result(
            check=f"mine.holds[{NASTY[:60]}{number}]",
            status=Status(status),
            reason=NASTY if status in ("SKIPPED", "BROKEN") else "",
            findings=(FINDING,) if status == "FAILED" else (),
            seconds=0.5,
            place=f"n{number}",
        )
        for number, status in enumerate(statuses)
    ]
    return Report(results=results, config='fo"o\\.yaml', started="2026-05-01T18:04:05+02:00", seconds=3.2, **more)


ALL = report("PASSED", "FAILED", "SKIPPED", "BROKEN")


def test_prometheus_reads_it() -> None:
    families = {each.name: each for each in text_string_to_metric_families(render("prometheus", ALL, decide(ALL)))}
    assert all(each.type == "gauge" and each.documentation for each in families.values())
    (sample,) = families["preflight_exit_code"].samples
    assert (sample.value, sample.labels["config"]) == (1.0, 'fo"o\\.yaml')
    assert {each.labels["place"]: each.value for each in families["preflight_check_status"].samples} == {
        "n0": 0.0,
        "n1": 2.0,
        "n2": 1.0,
        "n3": 3.0,
    }
    assert [each.labels["verdict"] for each in families["preflight_verdict"].samples if each.value] == ["NO-GO"]
    assert families["preflight_start_time_seconds"].samples[0].value == 1777651445.0


def test_no_sample_comes_twice_and_the_worst_is_told() -> None:
    once = Result(check="a.b", status=Status.PASSED, seconds=1)
    twice = Report(results=[once, replace(once, status=Status.FAILED), once])
    families = {each.name: each for each in text_string_to_metric_families(render("prometheus", twice, decide(twice)))}
    assert [each.value for each in families["preflight_check_status"].samples] == [2.0]


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (report("PASSED"), "OK - GO, 1 passed"),
        (report("PASSED", "FAILED"), "CRITICAL - NO-GO, 1 passed, 1 failed: mine.holds"),
        (report("BROKEN"), "UNKNOWN - NO VERDICT, 1 broken: mine.holds"),
        (Report(results=()), "UNKNOWN - NO VERDICT, no checks: no check ran"),
    ],
)
def test_nagios_gets_one_line(made: Report, word: str) -> None:
    text = render("nagios", made, decide(made))
    assert text.startswith(f"PREFLIGHT {word}")
    assert text.count("\n") == 1
    assert text.count("|") == 1
    assert len(text) < 1_024
    assert re.fullmatch(r"(\S+=[\d.]+s?;;;0 ?)+\n", text.partition("| ")[2])


def points(text: str) -> list[tuple[bool, int, str, dict[str, str]]]:
    """Read TAP 14 as its specification says: version, plan, test points, each with its YAML block."""
    version, plan, *lines = text.splitlines()
    assert version == "TAP version 14"
    found: list[tuple[bool, int, str, dict[str, str]]] = []
    block: list[str] | None = None
    for line in lines:
        if line == "  ---":
            block = []
        elif line == "  ...":
            assert block is not None
            found[-1][3].update(yaml.safe_load("\n".join(block)))
            block = None
        elif block is not None:
            block.append(line)
        elif match := re.fullmatch(r"(ok|not ok) (\d+) - (.*)", line):
            found.append((match[1] == "ok", int(match[2]), match[3], {}))
        else:
            assert line.startswith("Bail out!"), line
    assert plan == f"1..{len(found)}"
    return found


def test_tap_is_as_its_specification_says() -> None:
    read = points(render("tap", ALL, decide(ALL)))
    assert [number for _, number, _, _ in read] == [1, 2, 3, 4, 5]
    assert [is_ok for is_ok, _, _, _ in read] == [True, False, True, False, False]
    assert [" # SKIP " in said for _, _, said, _ in read] == [False, False, True, False, False]
    assert "fix: Mend it:\n    make data" not in read[0][3].get("error", "")
    assert read[1][3]["error"].startswith('a"b\\c\nd')
    assert read[4][2] == "verdict NO-GO"
    whole = report("PASSED")
    assert all(is_ok for is_ok, _, _, _ in points(render("tap", whole, decide(whole))))
    stopped = report("PASSED", interrupted=True)
    assert render("tap", stopped, decide(stopped)).splitlines()[-1].startswith("Bail out!")


@pytest.mark.parametrize("form", ["prometheus", "nagios", "tap"])
def test_a_large_report_is_bounded(form: str) -> None:
    large = report(*["FAILED"] * 2_000)
    assert len(render(form, large, decide(large))) < 20_000_000
