"""A real Chromium: a page in it that asks nobody for anything, and the axe that finds what a reader cannot use."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# Without the last ones it asks its maker's hosts at every start.
_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@dataclass
class Tab:
    """A page, what it complained of, and the addresses that it asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def violations(self) -> list[str]:
        """Return what axe-core finds wrong, each as its rule and the first element."""
        self.page.evaluate(_axe())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]

    @property
    def foreign(self) -> list[str]:
        """The addresses asked for that are neither a file nor on this machine."""
        return [each for each in self.asked if not _is_here(each)]


def _is_here(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme in ("file", "data", "blob", "about") or parts.hostname in ("127.0.0.1", "localhost", "::1")


def _axe() -> str:
    spec = find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser, for as long as it takes."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        yield browser
        browser.close()


@contextmanager
def tab(browser: Any, width: int = 1000, **more: Any) -> Iterator[Tab]:
    """A page of its own in the browser; `more` are options of a playwright context, such as `color_scheme`."""
    # axe is put into the page, which its policy would not let in.
    context = browser.new_context(viewport={"width": width, "height": 800}, bypass_csp=True, **more)
    opened = Tab(context.new_page())
    opened.page.on("console", lambda said: opened.complaints.append(said.text) if said.type != "log" else None)
    opened.page.on("pageerror", lambda problem: opened.complaints.append(str(problem)))
    opened.page.on("request", lambda request: opened.asked.append(request.url))
    yield opened
    context.close()
