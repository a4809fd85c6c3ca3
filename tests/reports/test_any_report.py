"""Whatever stands in a report, every format takes it, and no text of a stranger acts on the reader's terminal."""

import json
import unicodedata
from xml.etree.ElementTree import fromstring

from hypothesis import given, settings
from hypothesis import strategies as st

from preflight.model import Finding, Report, Result, Severity, Status
from preflight.reports import render
from preflight.verdict import decide

TEXT = st.text(max_size=12) | st.text(alphabet="a\n\r\t\x00\x1b[2J]\u202e\u2028\x85\ud800<&>'\"", max_size=12)
EVIDENCE = st.recursive(
    TEXT | st.floats() | st.binary(max_size=3), lambda inner: st.lists(inner, max_size=2), max_leaves=4
)
FINDINGS = st.builds(
    Finding,
    severity=st.sampled_from(Severity),
    **dict.fromkeys(("message", "id", "found", "wanted", "cause", "fix", "file", "ignored"), TEXT),
    evidence=st.dictionaries(TEXT, EVIDENCE, max_size=2),
    line=st.integers(0, 99),
)
RESULTS = st.builds(
    Result,
    check=TEXT | st.sampled_from(["data.is-there[a]", "data.is-there[b]"]),
    status=st.sampled_from(Status),
    findings=st.lists(FINDINGS, max_size=5),
    **dict.fromkeys(("title", "reason", "place", "output", "traceback", "file"), TEXT),
    asked=st.booleans(),
    seconds=st.floats(0, 1e6),
)
REPORTS = st.builds(
    Report,
    results=st.lists(RESULTS, max_size=6),
    facts=st.dictionaries(st.sampled_from(["host", "python", "x"]), TEXT),
    config=TEXT,
    started=TEXT,
    strict=st.booleans(),
    interrupted=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(REPORTS)
def test_the_page_ends_with_the_verdict_and_holds_no_control_characters(report: Report) -> None:
    verdict = decide(report)
    page = render("terminal", report, verdict)
    assert page.removesuffix("\n").rpartition("\n")[2].startswith(f"{verdict.word}  ")
    assert {unicodedata.category(each) for each in page if each != "\n"}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})


@settings(max_examples=60, deadline=None)
@given(REPORTS)
def test_json_and_xml_are_well_formed(report: Report) -> None:
    verdict = decide(report)
    assert json.loads(render("json", report, verdict))["verdict"] == verdict.to_json()
    suites = fromstring(render("junit", report, verdict))
    assert len(list(suites.iter("testcase"))) == len(report.results) + 1


@settings(max_examples=60, deadline=None)
@given(REPORTS)
def test_what_ci_reads_is_well_formed(report: Report) -> None:
    verdict = decide(report)
    issues = json.loads(render("gitlab", report, verdict))
    assert len({each["fingerprint"] for each in issues}) == len(issues)
    (run,) = json.loads(render("sarif", report, verdict))["runs"]
    assert run["invocations"][0]["exitCode"] == verdict.exit_code
    assert (
        len(
            render(
                "markdown",
                report,
                verdict,
            ).encode()
        )
        < 2**20
    )
    log = render("github", report, verdict).splitlines()
    commands = {line.split("::")[1].partition(" ")[0] for line in log if line.startswith("::")}
    digests = {each for each in commands if len(each) == 64}
    assert commands - digests <= {"group", "endgroup", "stop-commands", "error", "warning"}
