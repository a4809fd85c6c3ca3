"""A project of checks written in a test, run as `preflight run` runs it."""

import os
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from preflight import config as configuration
from preflight.model import Report
from preflight.run import Selection, run


class Project:
    """A folder with checks in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "preflight_checks").mkdir()

    def checks(self, name: str, text: str) -> Path:
        """Write `preflight_checks/check_NAME.py`."""
        file = self.folder / "preflight_checks" / f"check_{name}.py"
        file.write_text(
            "import os, signal, sys, time\nimport pytest\nfrom preflight import check, error, info, warning\n"
            + textwrap.dedent(text)
        )
        return file

    def run(self, section: str = "", *, only: tuple[str, ...] = ()) -> Report:
        """Run the checks; `section` is what stands below `preflight:`."""
        text = "preflight:\n" + textwrap.indent(textwrap.dedent(section).strip() or "deadline: 60", "  ")
        config = configuration.load(Path("foo.yaml"), text=text, root=self.folder)
        return run(config, selection=Selection(only=only))


@pytest.fixture(scope="session")
def project_type() -> type[Project]:
    """Hand the type to fixtures that live longer than a test."""
    return Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    return Project(tmp_path)


@pytest.fixture
def nothing_left() -> Callable[[], list[str]]:
    """Return a function that names the processes which live now and did not when the test began."""
    before = {process.pid for process in psutil.process_iter()}

    def left() -> list[str]:
        until = time.monotonic() + 2
        while True:
            new = [process for process in psutil.process_iter() if process.pid not in before]
            ours = [process for process in new if _is_of(process, os.getpid())]
            if not ours or time.monotonic() > until:
                return [f"{process.pid} {process.name()}" for process in ours]
            time.sleep(0.05)

    return left


def _is_of(process: psutil.Process, ancestor: int) -> bool:
    """Tell whether a process descends from `ancestor`, or has lost its parent and runs Python or sleep."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE and process.ppid() != ancestor:
            return False
        parents = [parent.pid for parent in process.parents()]
        return ancestor in parents or (process.ppid() == 1 and process.name().startswith(("python", "sleep")))
    except psutil.Error:
        return False
