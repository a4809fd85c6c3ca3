"""The published schemas are those of the code, take what there is, and refuse what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from preflight.cli.schema import main
from preflight.model import Report

REPOSITORY = Path(__file__).parents[2]
PUBLISHED = {"config": "docs/schema/config.json", "report": "docs/schema/report-1.json"}


def published(of: str) -> Draft202012Validator:
    schema = json.loads((REPOSITORY / PUBLISHED[of]).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("of", PUBLISHED)
def test_what_is_published_is_what_is_printed(of: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`preflight schema config > docs/schema/config.json` brings it up to date."""
    assert main([of]) == 0
    assert capsys.readouterr().out == (REPOSITORY / PUBLISHED[of]).read_text()


@pytest.mark.parametrize(
    "path",
    [*sorted((REPOSITORY / "tests/golden").glob("*.json")), *sorted((REPOSITORY / "tests/reports/old").glob("*.json"))],
    ids=lambda path: path.name,
)
def test_reports_are_as_the_schema_says(path: Path) -> None:
    published("report").validate(json.loads(path.read_text()))


@pytest.mark.parametrize("path", sorted((REPOSITORY / "tests/reports/old").glob("*.json")), ids=lambda path: path.name)
def test_old_reports_are_still_read(path: Path) -> None:
    """As they were written by earlier versions, byte for byte."""
    report = Report.from_json(json.loads(path.read_text()))
    assert report.results
    assert report.places == ()


def test_a_later_reports_unknown_keys_are_let_through() -> None:
    stored = json.loads((REPOSITORY / "tests/golden/no_go.1.json").read_text())
    stored["later"] = stored["results"][0]["later"] = 1
    published("report").validate(stored)
    assert Report.from_json(stored).results


@pytest.mark.parametrize("change", [{"schema": "preflight.report/2"}, {"results": [{"check": "a.b"}]}, {"verdict": {}}])
def test_what_is_no_report_is_refused(change: dict[str, Any]) -> None:
    stored = json.loads((REPOSITORY / "tests/golden/no_go.1.json").read_text())
    assert not published("report").is_valid({**stored, **change})


@pytest.mark.parametrize("path", ["preflight.yaml", "examples/digits/config.yaml", "examples/broken/config.yaml"])
def test_our_own_configs_are_taken(path: str) -> None:
    published("config").validate(yaml.safe_load((REPOSITORY / path).read_text()))


@pytest.mark.parametrize(
    "section",
    [
        {"dta": []},
        {"data": [{"path": "x", "opne": 3}]},
        {"seeds": {"value": [1]}},
        {"launch": {"environment": "perhaps"}},
        {"ignore": [{"id": 3}]},
        {"gpu": 4},
        [],
    ],
)
def test_what_is_wrong_is_refused(section: Any) -> None:
    assert not published("config").is_valid({"preflight": section})


@pytest.mark.parametrize(
    "section",
    [
        None,
        {},
        {"imports": "torch>=2.4"},
        {"data": "${data}"},
        {"seeds": {"value": "${seed}"}},
        {"system": {"ram": "32GB"}},
    ],
)
def test_what_is_short_is_taken(section: Any) -> None:
    published("config").validate({"preflight": section, "data": {"anything": 1}})
