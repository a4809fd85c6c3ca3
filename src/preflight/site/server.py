"""The site as a server: which address shows what, made of the history as it is at that moment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from preflight.errors import UserError
from preflight.history.runs import History
from preflight.history.trends import trends
from preflight.reports.html.markup import tag
from preflight.site import changes, runs
from preflight.site import trends as lines
from preflight.site.frame import Links, document, file_of_host, main
from preflight.site.guard import Application, Guard

_OFFERED = 200  # names of runs, to compare them
_THREADS = 4
FIX = "python -m pip install 'bottle>=0.13' 'waitress>=3.0'"
_DAMAGE = (TypeError, AttributeError, ValueError, LookupError, RecursionError, ArithmeticError, OSError)

Asked = Callable[[str], str]
_TOP, _BELOW = Links(served=True), Links("../", served=True)


class Pages:
    """The pages by their address; `asked` tells what stands behind the question mark.

    Each raises UserError where there is nothing of that name.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self.addresses: dict[str, Callable[..., str]] = {
            "/": self.index,
            "/index.html": self.index,
            "/index-<number:re:[0-9]{1,9}>.html": self.index,
            "/run/<name>.html": self.run,
            "/changes/<name>.html": self.changes,
            "/compare.html": self.compare,
            "/trends.html": self.hosts,
            "/host/<name>.html": self.host,
        }

    def index(self, asked: Asked, number: str = "1") -> str:
        """Return a page of the list of runs."""
        find = asked("find")
        return runs.index(self._history.page(int(number), find), _TOP, find)

    def run(self, asked: Asked, name: str) -> str:
        """Return a run."""
        return runs.run(self._history.stored(name), _BELOW)

    def changes(self, asked: Asked, name: str) -> str:
        """Return what has changed since a run last worked."""
        self._history.records.run(name)
        before = self._history.worked_before(name)
        if not before:
            return changes.unknown(name, _BELOW)
        return changes.changes(self._history.changes(before, name), _BELOW, self._offered())

    def compare(self, asked: Asked) -> str:
        """Return what differs between any two, or the question which."""
        before, after, flaw = asked("before"), asked("after"), ""
        if before and after:
            try:
                return changes.changes(self._history.changes(before, after), _TOP, self._offered())
            except UserError as problem:
                flaw = problem.message
        return changes.ask(_TOP, self._offered(), before, after, flaw)

    def hosts(self, asked: Asked) -> str:
        """Return the hosts of which there are trends."""
        return lines.hosts(trends(self._history), _TOP)

    def host(self, asked: Asked, name: str) -> str:
        """Return the trends of a host."""
        for host, series in trends(self._history).hosts.items():
            if file_of_host(host) == name:
                return lines.host(host, series, _BELOW)
        raise UserError("there is no such host")

    def _offered(self) -> list[str]:
        return self._history.names()[:_OFFERED]


def application(history: History, host: str, token: str = "") -> Guard:
    """Return the site as an application (PEP 3333) for who listens at `host`.

    Raises UserError where the library for it is missing.
    """
    bottle = _library("bottle")
    app = bottle.Bottle()

    def asked(name: str) -> str:
        return str(bottle.request.query.getunicode(name) or "")

    def answering(page: Callable[..., str]) -> Callable[..., Any]:
        def answer(**given: str) -> Any:
            try:
                data = page(asked, **given).encode("utf-8", "backslashreplace")
            except UserError as problem:
                return bottle.HTTPError(404, problem.message)
            except _DAMAGE as problem:  # of a record or a report that no one has written so
                return bottle.HTTPError(500, f"This page cannot be shown: {problem}")
            version = f'"{hashlib.blake2b(data, digest_size=16).hexdigest()}"'
            if bottle.request.get_header("If-None-Match") == version:
                return bottle.HTTPResponse(status=304, headers={"ETag": version})
            return bottle.HTTPResponse(data, headers={"Content-Type": "text/html; charset=utf-8", "ETag": version})

        return answer

    for address, page in Pages(history).addresses.items():
        app.route(address, "GET", answering(page))
    for code in (404, 405, 500):
        app.error(code)(_nothing)
    return Guard(app, host, token)


def serve(app: Application, host: str, port: int, ready: Callable[[str, int], None]) -> None:
    """Serve until Ctrl-C; `ready` is called with the address and the port once they can be reached.

    Port 0 is any that is free. Raises UserError where nothing can listen there.
    """
    waitress = _library("waitress")
    try:
        server = waitress.create_server(app, host=host, port=port, threads=_THREADS, ident=None)
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or problem
        fix = "Choose another port: preflight report serve --port 0"
        raise UserError(f"nothing can listen at {host}, port {port}: {why}", fix=fix) from None
    with suppress(KeyboardInterrupt):
        ready(host, int(server.effective_port))
        server.run()


def _nothing(problem: Any) -> str:
    """Return the page that stands where nothing else can."""
    said = main("Not here", tag("p", None, str(problem.body)), tag("p", None, tag("a", {"href": "/"}, "The runs")))
    return document("Not here", Links("/", served=True), said)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise UserError(f"{name} is not installed, which serves the pages", fix=FIX) from None
