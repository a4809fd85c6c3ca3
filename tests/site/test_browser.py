"""The site in Chromium, as a person uses it."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.history.runs import History
from preflight.model import Result, Status
from preflight.records.folder import Records
from preflight.records.results import Results
from preflight.records.states import State
from preflight.site.export import export

PAGES = (
    "",
    "trends.html",
    "host/node07.html",
    "compare.html?before=good-0&after=bad",
    "changes/bad.html",
    "run/torn.html",
)


class Site:
    """A server, its records and where it is."""

    def __init__(self, folder: Path, history: ModuleType, *options: str) -> None:
        self.folder = folder
        self.history = history
        self.records: Records = history.make(folder / ".preflight" / "runs")
        self.port = "0"
        self.start(*options)

    def start(self, *options: str) -> None:
        """Start the server, on the port of the last one."""
        command = [sys.executable, "-m", "preflight", "report", "serve", "--port", self.port, *options]
        self.process = subprocess.Popen(command, cwd=self.folder, text=True, stdout=subprocess.PIPE)
        assert self.process.stdout
        self.address = re.findall(r"http://\S+", self.process.stdout.readline())[0]
        self.port = re.findall(r":(\d+)/", self.address)[0]

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def world(load_world: Any) -> ModuleType:
    """Return the module that knows Chromium."""
    world: ModuleType = load_world("browser")
    if world.CHROMIUM is None:
        pytest.skip("needs Chromium")
    pytest.importorskip("playwright", reason="needs playwright")
    return world


@pytest.fixture(scope="module")
def chromium(world: ModuleType) -> Iterator[Any]:
    """Start one browser for all tests."""
    with world.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, load_world: Any) -> Iterator[Site]:
    pytest.importorskip("bottle", reason="serving needs bottle")
    pytest.importorskip("waitress", reason="serving needs waitress")
    served = Site(tmp_path_factory.mktemp("site"), load_world("runs"))
    yield served
    served.kill()


@pytest.fixture
def tab(chromium: Any, world: ModuleType) -> Iterator[Any]:
    """Return a new window under the policy of the pages; nothing may be wrong, and no other machine may be asked."""
    context = chromium.new_context(viewport={"width": 1100, "height": 800})
    context.set_default_timeout(20_000)
    tab = world.Tab(context.new_page())
    tab.page.on("console", lambda said: tab.complaints.append(said.text) if said.type != "log" else None)
    tab.page.on("pageerror", lambda problem: tab.complaints.append(str(problem)))
    tab.page.on("request", lambda request: tab.asked.append(request.url))
    yield tab
    context.close()
    assert tab.asked
    assert (tab.foreign, tab.complaints) == ([], [])


@pytest.fixture
def window(tab: Any) -> Any:
    """Return its page."""
    return tab.page


def focused(window: Any) -> str:
    return str(window.evaluate("document.activeElement.textContent || document.activeElement.name"))


def tab_to(window: Any, text: str) -> None:
    for _ in range(40):
        window.keyboard.press("Tab")
        if focused(window) == text:
            return
    raise AssertionError(f"no Tab leads to {text}")


def test_the_list_is_used_by_keyboard_alone(window: Any, site: Site) -> None:
    window.goto(site.address)
    tab_to(window, "find")
    window.keyboard.type("BAD")
    assert window.locator("tbody tr:visible").count() == 1
    assert window.locator("#said").text_content() == "1 shown"
    window.keyboard.press("Enter")
    window.wait_for_url("**/index.html?find=BAD")
    tab_to(window, "bad")
    window.keyboard.press("Enter")
    window.wait_for_url("**/run/bad.html")
    assert window.locator("h1").text_content() == "NO-GO"
    tab_to(window, "What has changed since it last worked")
    window.keyboard.press("Enter")
    window.wait_for_url("**/changes/bad.html")
    assert "2.12.1" in window.locator("main").text_content()


def test_any_two_are_compared(window: Any, site: Site) -> None:
    window.goto(f"{site.address}compare.html")
    window.get_by_label("before").fill("good-0")
    window.get_by_label("after").fill(site.history.HOSTILE)
    window.keyboard.press("Enter")
    window.wait_for_url("**/compare.html?before=*")
    assert window.locator("h1").text_content() == f"good-0 → {site.history.HOSTILE}"
    window.get_by_label("after").fill("nix")
    window.get_by_role("button", name="Compare").click()
    assert window.get_by_role("alert").text_content() == "there is no run called nix"
    assert window.get_by_label("before").input_value() == "good-0"


def test_a_hostile_name_is_followed(window: Any, site: Site) -> None:
    window.goto(f"{site.address}trends.html")
    window.get_by_role("link", name=site.history.HOSTILE).click()
    assert window.locator("h1").text_content() == site.history.HOSTILE
    window.goto(site.address)
    window.get_by_role("link", name=site.history.HOSTILE).click()
    assert window.locator("h1").text_content() == "GO"


def test_a_run_is_followed_while_it_goes_on(window: Any, site: Site) -> None:
    window.goto(site.address)
    window.evaluate("window.same = true")
    window.get_by_role("searchbox").fill("no")
    window.get_by_role("link", name="no record").focus()
    run = site.history.begin(site.records, "now")
    window.get_by_role("link", name="now", exact=True).wait_for()
    assert focused(window) == "no record", "what has come took the focus away"
    assert window.evaluate("window.same"), "the page was loaded again"
    # With the one that is a NO-GO, of nine.
    assert window.locator("tbody tr:visible").count() == 3, "what has come is chosen among too"

    window.goto(f"{site.address}run/now.html")
    results = Results(run)
    results.planned(["a.b", "c.d"])
    results.started("a.b")
    window.get_by_text("running: a.b").wait_for()
    results.ended(Result(check="a.b", status=Status.PASSED, started=time.time(), seconds=0.1))
    window.get_by_text("1 of 2 checks have ended").wait_for()
    site.history.store(run, site.history.report_of(1))
    window.get_by_role("heading", name="GO", exact=True).wait_for()
    run.enter(State.FINISHED, exit_code=0)
    window.locator("aside .badge", has_text="finished").wait_for()
    shutil.rmtree(run.folder)


@pytest.mark.parametrize("page", PAGES)
def test_a_phone_shows_all(window: Any, site: Site, page: str) -> None:
    window.set_viewport_size({"width": 320, "height": 640})
    window.goto(f"{site.address}{page}")
    assert window.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_everyone_can_read_it(tab: Any, site: Site, scheme: str) -> None:
    pytest.importorskip("axe_playwright_python", reason="needs axe-core")
    run = site.history.begin(site.records, "checking")
    results = Results(run)
    results.planned(["a.b", "c.d"])
    results.ended(Result(check="a.b", status=Status.BROKEN, reason="it hung", started=time.time()))
    tab.page.emulate_media(color_scheme=scheme)
    for page in (*PAGES, "run/checking.html", "run/bad.html"):
        tab.page.goto(f"{site.address}{page}")
        assert tab.violations() == [], page
    shutil.rmtree(run.folder)


def test_files_need_no_server(window: Any, site: Site, tmp_path: Path) -> None:
    export(History(site.records), tmp_path)
    window.goto((tmp_path / "index.html").as_uri())
    window.get_by_role("searchbox").fill("quoted")
    window.get_by_role("link", name=site.history.HOSTILE).click()
    assert window.locator("h1").text_content() == "GO"
    window.get_by_role("link", name="Trends").click()
    window.get_by_role("link", name="node07").click()
    assert window.locator("svg.spark circle").count() == 4
    assert window.locator("svg.spark circle").first.bounding_box()["width"] > 0


@pytest.mark.slow
def test_the_token_opens_it_once_and_for_all(window: Any, chromium: Any, tmp_path: Path, history: ModuleType) -> None:
    pytest.importorskip("waitress", reason="serving needs waitress")
    served = Site(tmp_path, history, "--token")
    try:
        window.goto(served.address)
        assert window.url == f"http://127.0.0.1:{served.port}/"
        window.get_by_role("link", name="bad", exact=True).click()
        assert window.locator("h1").text_content() == "NO-GO"
        stranger = chromium.new_context()
        page = stranger.new_page()
        assert page.goto(f"http://127.0.0.1:{served.port}/").status == 403
        stranger.close()
    finally:
        served.kill()


@pytest.mark.slow
def test_a_server_that_comes_back_is_followed_again(chromium: Any, tmp_path: Path, history: ModuleType) -> None:
    pytest.importorskip("waitress", reason="serving needs waitress")
    served = Site(tmp_path, history)
    try:
        window = chromium.new_page()
        window.goto(served.address)
        served.kill()
        time.sleep(3)
        assert window.get_by_role("link", name="bad", exact=True).is_visible(), "what was seen is lost"
        served.start()
        history.add(served.records, "later")
        window.get_by_role("link", name="later", exact=True).wait_for(timeout=60_000)
        window.close()
    finally:
        served.kill()
