"""What stands on the pages of the site."""

import json
import os
import re
import time
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest

from preflight.history.runs import History
from preflight.model import Result, Status
from preflight.records.folder import Records, Run
from preflight.records.results import Results
from preflight.reports import render
from preflight.site import runs
from preflight.site.frame import Links
from preflight.verdict import decide

PAGES = ["/", "/index.html", "/index-1.html", "/trends.html", "/compare.html", "/run/bad.html", "/changes/bad.html"]


@pytest.mark.parametrize("address", PAGES)
def test_every_link_leads_somewhere(ask: Any, address: str) -> None:
    page = ask(address)
    assert page.status == 200
    folder = os.path.dirname(address)
    for link in re.findall(r'href="([^"#][^"]*)"', page.text):
        target = os.path.normpath(os.path.join(folder, link.replace("&amp;", "&")))
        assert ask(target).status == 200, link


def test_the_page_of_a_run_is_the_report_as_it_is_shown_everywhere(ask: Any, history: ModuleType) -> None:
    report = history.report_of(3, bad=True, version="2.13.0")
    alone = render("html", report, decide(report))
    shown = alone[alone.index("<header") : alone.index("</main>")]
    assert shown in ask("/run/bad.html").text


@pytest.mark.parametrize("name", ["torn", "no%20record"])
def test_what_is_damaged_is_shown_as_that(ask: Any, name: str) -> None:
    page = ask(f"/run/{name}.html")
    assert page.status == 200
    assert 'class="flaw"' in page.text


@pytest.mark.parametrize(
    "text",
    [
        '{"schema": "preflight.report/1", "results": [{"check": 3, "status": "PASSED"}]}',
        '{"schema": "preflight.report/1", "results": [], "facts": 3}',
        '{"schema": "preflight.report/1", "results": [{"check": "a.b", "status": "PASSED", "seconds": "x"}]}',
        '{"schema": "preflight.report/2", "results": []}',
        '{"schema": "preflight.report/1", "results": [], "started": 3, "places": [{"name": 1, "presence": "lost"}]}',
        "[" * 100_000,
        "[]",
        "",
        "\0",
    ],
)
def test_no_damage_breaks_a_page(ask: Any, records: Records, text: str) -> None:
    records.run("good-0").report.write_text(text)
    for address in (
        "/",
        "/run/good-0.html",
        "/trends.html",
        "/compare.html?before=good-0&after=bad",
        "/changes/bad.html",
    ):
        page = ask(address)
        assert page.status == 200, page.text
        assert "Traceback" not in page.text


def test_what_is_not_there_is_told(ask: Any) -> None:
    for address in ("/run/nix.html", "/changes/nix.html", "/host/nix.html", "/nix", "/run/../good-0.html"):
        assert ask(address).status == 404
    assert "there is no run called nix" in ask("/run/nix.html").text
    assert "there is no run called nix" in ask("/compare.html?before=nix&after=bad").text


@pytest.mark.parametrize(
    "name", ["..", "../../etc/passwd", "/etc/passwd", "bad/report.json", "%2e%2e", ".gitignore", "\0", "é"]
)
def test_no_path_leads_out_of_the_records(ask: Any, name: str) -> None:
    assert ask(f"/run/{quote(name, safe='')}.html").status == 404
    page = ask(f"/compare.html?before={quote(name)}&after=bad")
    assert (page.status, "root:" in page.text) == (200, False)
    assert 'class="flaw"' in page.text


def test_names_are_text(ask: Any, history: ModuleType) -> None:
    for address in (
        "/",
        "/trends.html",
        f"/run/{quote(history.HOSTILE)}.html",
        f"/compare.html?before={quote(history.HOSTILE)}&after=x",
    ):
        page = ask(address)
        assert "<img" not in page.text
        assert "&lt;img src=x" in page.text


def test_a_page_that_is_the_same_is_not_sent_again(ask: Any, records: Records, history: ModuleType) -> None:
    version = ask().headers["Etag"]
    again = ask(HTTP_IF_NONE_MATCH=version)
    assert (again.status, again.text) == (304, "")
    history.add(records, "new")
    assert ask(HTTP_IF_NONE_MATCH=version).status == 200


def test_what_goes_on_is_shown(ask: Any, records: Records, history: ModuleType) -> None:
    results = Results(history.begin(records, "now"))
    results.planned(["a.b", "c.d"])
    results.started("c.d")
    results.ended(Result(check="a.b", status=Status.BROKEN, reason="it <hung>", started=time.time()))
    page = ask("/run/now.html").text
    assert "1 of 2 checks have ended" in page
    assert "running: c.d" in page
    assert "it &lt;hung&gt;" in page
    assert 'data-live="1"' in page


def test_of_many_nodes_it_is_shown_at_which(ask: Any, records: Records, history: ModuleType) -> None:
    results = Results(history.begin(records, "now"))
    for place in ("n1", "n2"):
        results.planned(["a.b"], place)
        results.started("a.b", place)
    results.ended(Result(check="a.b", status=Status.PASSED, place="n2", started=time.time()))
    page = ask("/run/now.html").text
    assert "1 of 2 checks have ended" in page
    assert "running: a.b at n1" in page
    assert ">a.b at n2<" in page


def test_a_search_finds_runs_on_all_pages(ask: Any, records: Records, history: ModuleType) -> None:
    for number in range(60):
        history.add(records, f"more-{number}")
    assert "good-0" not in ask().text
    assert "good-0" in ask("/index-2.html").text
    assert "good-0" in ask("/?find=GOOD").text
    assert "find=more" in ask("/?find=more").text, "the next page is one of the same search"


@pytest.mark.slow
def test_ten_thousand_records_are_listed_a_page_at_a_time(tmp_path: Path, history: ModuleType) -> None:
    records = Records(tmp_path / "many")
    first = history.add(records, "run-0", history.report_of(1))
    texts = {name: (first.folder / name).read_text() for name in os.listdir(first.folder)}
    for number in range(1, 10_000):
        folder = records.folder / f"run-{number}"
        folder.mkdir()
        for name, text in texts.items():
            (folder / name).write_text(text)
    found = History(records)
    began = time.process_time()
    page = runs.index(found.page(), Links(served=True))
    took = time.process_time() - began
    assert "page 1 of 200, 10,000 runs" in page
    assert len(page) < 100_000
    assert took < 2, f"the list takes {took:.2f} s"


def test_a_run_without_times_has_none(records: Records) -> None:
    run = Run(records.folder / "good-0")
    data = json.loads((run.folder / "record.json").read_text())
    (run.folder / "record.json").write_text(json.dumps({**data, "started": "yesterday"}))
    assert "good-0" in runs.index(History(records).page(), Links())
