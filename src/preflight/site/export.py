"""The site as a folder of files, which a browser opens without any server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from preflight import writing
from preflight.errors import UserError
from preflight.history.runs import History
from preflight.history.trends import trends
from preflight.site import changes, runs
from preflight.site import trends as lines
from preflight.site.frame import Links, file_of_host

RUNS = 200
_FOLDERS = ("run", "changes", "host")


def export(history: History, folder: Path, count: int = RUNS) -> int:
    """Write the pages of the last `count` runs below `folder`, and return how many files those are.

    What an earlier export has written there is replaced, and other files stay. Raises UserError where it cannot be
    written.
    """
    written = 0
    try:
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        for path, text in _pages(history, count):
            writing.replace({folder / path: text.encode("utf-8", "backslashreplace")}, durable=False)
            written += 1
    except OSError as problem:
        raise UserError(f"the report cannot be written: {problem.strerror}", where=str(problem.filename)) from None
    return written


def _pages(history: History, count: int) -> Iterator[tuple[str, str]]:
    """Yield each file with its text: those that others lead to first, and the list last."""
    top, below = Links(), Links("../")
    names = history.names()
    for name in names[:count]:
        try:
            stored = history.stored(name)
        except UserError:  # it has been removed while the others were written
            continue
        yield f"run/{name}.html", runs.run(stored, below)
        before = history.worked_before(name, names)
        page = changes.changes(history.changes(before, name), below) if before else changes.unknown(name, below)
        yield f"changes/{name}.html", page
    found = trends(history, count)
    for host, series in found.hosts.items():
        yield f"host/{file_of_host(host)}.html", lines.host(host, series, below)
    yield "trends.html", lines.hosts(found, top)
    yield "index.html", runs.index(history.page(size=count), top)
