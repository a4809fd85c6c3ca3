"""The XML is what Jenkins and GitLab read: their schema, and counts that agree with what stands in it."""

from xml.etree.ElementTree import Element, fromstring

import pytest

from preflight.model import Finding, Report, Result, Severity, Status
from preflight.reports.junit import render
from preflight.verdict import decide

# The elements and attributes of the schema that Jenkins' xunit plugin checks with (junit-10.xsd); GitLab reads fewer.
WORDS: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": ({"testsuite"}, set(), {"name", "time", "tests", "failures", "errors"}),
    "testsuite": (
        {"testcase", "properties", "system-out", "system-err"},
        {"name", "tests", "failures", "errors"},
        {"time", "skipped", "timestamp", "hostname", "package"},
    ),
    "testcase": (
        {"skipped", "error", "failure", "system-out", "system-err"},
        {"name"},
        {"time", "classname"},
    ),
    "failure": (set(), set(), {"type", "message"}),
    "error": (set(), set(), {"type", "message"}),
    "skipped": (set(), set(), {"type", "message"}),
    "system-out": (set(), set(), set()),
}


def findings(*severities: Severity) -> tuple[Finding, ...]:
    return tuple(
        Finding(severity=each, message=f"{each}\x00\x1b\ud800<&>", fix="Do it", file="a") for each in severities
    )


def parsed(*results: Result, **more: bool) -> Element:
    report = Report(results=results, facts={"host": "node\x01"}, started="2026-05-01T18:04:05+02:00", **more)
    return fromstring(render(report, decide(report)))


ALL = parsed(
    Result(check="a.passes", status=Status.PASSED, findings=findings(Severity.INFO, Severity.WARNING), seconds=1234.5),
    Result(
        check="a.fails", status=Status.FAILED, findings=findings(Severity.ERROR, Severity.WARNING), output="said\x08"
    ),
    Result(
        check="b.breaks", status=Status.BROKEN, findings=findings(Severity.ERROR), reason="died", traceback="C stack"
    ),
    Result(check="b.skips", status=Status.SKIPPED, reason="no device"),
    Result(check="a.ends-badly", status=Status.SKIPPED, findings=findings(Severity.ERROR), reason="gave up"),
)


@pytest.mark.parametrize("element", list(ALL.iter()), ids=lambda element: element.tag)
def test_follows_the_schema(element: Element) -> None:
    children, required, allowed = WORDS[element.tag]
    assert {child.tag for child in element} <= children
    assert required <= set(element.keys()) <= required | allowed


@pytest.mark.parametrize("suite", ALL.findall("testsuite"), ids=lambda suite: suite.get("name"))
def test_counts_agree(suite: Element) -> None:
    assert suite.get("tests") == str(len(suite.findall("testcase")))
    for key, kind in {"failures": "failure", "errors": "error", "skipped": "skipped"}.items():
        assert suite.get(key) == str(len(suite.findall(f"testcase/{kind}")))


def test_a_family_is_a_suite() -> None:
    assert {suite.get("name"): suite.get("tests") for suite in ALL} == {"a": "3", "b": "2", "preflight": "1"}
    assert ALL.attrib == {"name": "preflight", "time": "0.000", "tests": "6", "failures": "3", "errors": "1"}


def test_what_is_said_where() -> None:
    cases = {case.get("name"): case for case in ALL.iter("testcase")}
    assert cases["a.fails"].find("failure").attrib == {"type": "FAILED", "message": "error\\x00\\x1b\\ud800<&>"}  # type: ignore[union-attr]
    assert "fix: Do it" in (cases["a.fails"].findtext("failure") or "")
    assert "warning\\x00" in (cases["a.fails"].findtext("system-out") or "")
    assert "said\\x08" in (cases["a.fails"].findtext("system-out") or "")
    assert "warning\\x00" in (cases["a.passes"].findtext("system-out") or "")
    assert "C stack" in (cases["b.breaks"].findtext("error") or "")
    assert cases["b.skips"].find("skipped").get("message") == "no device"  # type: ignore[union-attr]
    assert cases["a.ends-badly"].find("failure") is not None


@pytest.mark.parametrize(
    ("results", "more", "kind"),
    [
        ([Result(check="a.b", status=Status.PASSED)], {}, None),
        ([Result(check="a.b", status=Status.PASSED, findings=findings(Severity.WARNING))], {"strict": True}, "failure"),
        ([Result(check="a.b", status=Status.SKIPPED, reason="r", asked=True)], {}, "error"),
        ([], {}, "error"),
    ],
)
def test_no_verdict_looks_green(results: list[Result], more: dict[str, bool], kind: str | None) -> None:
    (case,) = [each for each in parsed(*results, **more).iter("testcase") if each.get("name") == "verdict"]
    assert [child.tag for child in case] == ([kind] if kind else [])
