"""The report as JUnit XML, by the schema that Jenkins and GitLab read: a family is a testsuite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from preflight.model import LOCAL, Finding, Report, Result, Severity, Status
from preflight.reports.text import clipped, visible
from preflight.verdict import Verdict, Word, refuses, unignored


def render(report: Report, verdict: Verdict) -> str:
    """Return one testsuite for each family and one, `preflight`, whose only testcase is the verdict.

    The last keeps a reader that counts failures from seeing green where the verdict is not GO.
    """
    by_family = sorted(report.results, key=lambda each: each.family)
    suites = [_suite(family, list(group), report) for family, group in groupby(by_family, key=lambda each: each.family)]
    suites.append(_verdict_suite(report, verdict))
    root = Element("testsuites", name="preflight", time=_time(report.seconds))
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in suites)))
    root.extend(suites)
    indent(root)
    body = tostring(root, encoding="unicode")
    ascii_only = body.encode("ascii", "xmlcharrefreplace").decode("ascii")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ascii_only}\n'


def _suite(family: str, results: Sequence[Result], report: Report) -> Element:
    suite = Element("testsuite", name=_clean(family), time=_time(sum(each.seconds for each in results)))
    for result in results:
        _case(suite, result)
    return _summed(suite, report)


def _verdict_suite(report: Report, verdict: Verdict) -> Element:
    suite = Element("testsuite", name="preflight", time=_time(report.seconds))
    case = SubElement(suite, "testcase", name="verdict", classname="preflight", time=_time(report.seconds))
    if verdict.word is not Word.GO:
        kind = "failure" if verdict.word is Word.NO_GO else "error"
        _said(case, kind, str(verdict.word), verdict.reason, [])
    return _summed(suite, report)


def _summed(suite: Element, report: Report) -> Element:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for key, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{kind}"))))
    if report.started:
        suite.set("timestamp", _clean(report.started))
    if host := report.facts.get("host"):
        suite.set("hostname", _clean(str(host)))
    return suite


def _case(suite: Element, result: Result) -> None:
    name = result.check if result.place == LOCAL else f"{result.check} at {result.place}"
    case = SubElement(suite, "testcase", name=_clean(name), classname=_clean(result.family), time=_time(result.seconds))
    errors = unignored(result, Severity.ERROR)
    if result.status is Status.BROKEN:
        _said(case, "error", result.status, result.reason, [*_blocks(errors), result.traceback])
    elif refuses(result):
        first = errors[0].message if errors else result.title
        _said(case, "failure", Status.FAILED, first, [*_blocks(errors), result.traceback])
    elif result.status is Status.SKIPPED:
        _said(case, "skipped", result.status, result.reason, [])
    others = [each for each in result.findings if each.severity is not Severity.ERROR or each.ignored]
    if said := "\n".join(each for each in [*_blocks(others), result.output] if each):
        SubElement(case, "system-out").text = _clean(said)


def _said(case: Element, kind: str, type_name: str, message: str, blocks: Iterable[str]) -> None:
    element = SubElement(case, kind, type=type_name, message=clipped(message))
    element.text = _clean("\n".join(each for each in blocks if each)) or None


def _blocks(findings: Iterable[Finding]) -> list[str]:
    return [_block(each) for each in findings]


def _block(finding: Finding) -> str:
    where = f"{finding.file}:{finding.line}" if finding.file else ""
    head = " ".join(
        each for each in (f"{finding.severity}:", finding.message, finding.id and f"[{finding.id}]") if each
    )
    parts = {name: getattr(finding, name) for name in ("found", "wanted", "cause", "fix", "ignored")}
    return "\n".join([head, *(f"  {name}: {value}" for name, value in {**parts, "at": where}.items() if value)])


def _time(seconds: float) -> str:
    return f"{seconds:.3f}"


def _clean(text: str) -> str:
    # XML 1.0 has no way at all to write a control character, not even as a reference.
    return "\n".join(visible(line) for line in text.splitlines())
