"""A hermetic pytest session: collects check files by path, runs each check in a child, tells what comes of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from preflight import discovery
from preflight.config import Config
from preflight.isolation.child import Work
from preflight.isolation.children import Children
from preflight.isolation.endings import result_of, unanswered
from preflight.model import Planned, Result, Status
from preflight.worker import fixtures
from preflight.worker.answer import AnswerPlugin
from preflight.worker.collect import (
    PLANNED,
    CheckFile,
    CheckPlugin,
    Context,
    Uncollected,
    chosen,
    family_of,
    planned_file,
    unique,
)
from preflight.worker.request import Request, may_name
from preflight.worker.wire import Voice

# The host's pytest settings, conftest files and plugins cannot reach a session that is started with these, and with
# PYTEST_DISABLE_PLUGIN_AUTOLOAD.
_ARGUMENTS = ("-c", os.devnull, "--noconftest", "--capture=no", "-p", "no:cacheprovider")
_UNWANTED = (
    "terminal",
    "faulthandler",
    "junitxml",
    "pastebin",
    "doctest",
    "unittest",
    "stepwise",
    "legacypath",
    "debugging",
)


class Session:
    """The pytest hooks that collect without pytest's walk and run all items at once."""

    def __init__(self, request: Request, config: Config, voice: Voice, context: Context) -> None:
        self.request, self.config, self.voice, self.context = request, config, voice, context
        self.answers = AnswerPlugin()
        self.items: dict[str, pytest.Item] = {}
        self.refused: list[Result] = []
        self._complaints: list[str] = []
        self.children = Children()

    def files(self) -> list[Path]:
        """Return the check files of this session: those that hold nothing which `--only` names are left alone."""
        files, only = discovery.check_files(discovery.folders(self.config.root)), self.request.only
        return [file for file in files if not only or any(may_name(family_of(file), name) for name in only)]

    def heavy(self, files: Sequence[Path]) -> list[Path]:
        """Return the files that import the experiment's modules when they are loaded: the stage's to load."""
        names = {entry.name.partition(".")[0] for entry in self.config.imports}
        own = [file for file in files if names and file.parent != self.context.trusted]
        return [file for file in own if discovery.imports_at_top(file, names)]

    def belongs(self, planned: Planned, file: Path) -> bool:
        """Tell whether an item is this session's to run."""
        raise NotImplementedError

    def pytest_configure(self, config: pytest.Config) -> None:
        """Keep tracebacks short: nobody reads the long ones, and the plugin that has the option is switched off."""
        config.option.tbstyle = "short"

    def pytest_collection(self, session: pytest.Session) -> bool:
        """Collect the check files, each by its path."""
        for file in self.files():
            node = CheckFile.from_parent(session, path=file)
            session.items.extend(session.genitems(node))
            if chosen(planned_file(file), self.request):
                self.refused += [self._refusal(file, complaint) for complaint in self._complaints]
            self._complaints.clear()
        planned = [(item, item.stash[PLANNED]) for item in session.items]
        taken = unique(planned)
        session.items[:] = [
            _double(item, taken[item.nodeid], self.context.place) if item.nodeid in taken else item
            for item, each in planned
            if self.belongs(each, item.path) and chosen(each, self.request)
        ]
        session.config.hook.pytest_collection_modifyitems(session=session, config=session.config, items=session.items)
        session.testscollected = len(session.items)
        self.items = {item.stash[PLANNED].id: item for item in session.items}
        return True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what pytest refuses, for example a wrong parametrization."""
        if report.failed:
            self._complaints.append(report.longreprtext)

    def _refusal(self, file: Path, complaint: str) -> Result:
        reason = f"pytest cannot collect {file.name}: {complaint.strip().splitlines()[-1]}"
        result = unanswered(planned_file(file), Status.BROKEN, reason, self.context.place)
        return replace(result, traceback=complaint)

    def announce(self) -> None:
        """Say which checks this session will run, and which files hold none that can."""
        self.voice.say(kind="planned", checks=[item.stash[PLANNED].to_json() for item in self.items.values()])
        for result in self.refused:
            self.say_result(result)

    def start(self, item: pytest.Item) -> None:
        """Start the child of one item."""
        planned = item.stash[PLANNED]
        self.voice.say(kind="started", check=planned.id)
        if isinstance(item, Uncollected):
            self.say_result(item.result)
        else:
            self.children.start(planned.id, self.work(item), planned.deadline)

    def work(self, item: pytest.Item) -> Work | Sequence[str]:
        """Return what the child of `item` does."""
        return partial(self.answers.run, item)

    def say_result(self, result: Result) -> None:
        """Send one result on its way."""
        self.voice.say(kind="result", result=result.to_json())

    def gather(self, timeout: float) -> None:
        """Wait for children, and say what came of those that ended."""
        for key, ending in self.children.wait(timeout):
            if key in self.items:
                self.say_result(result_of(self.items[key].stash[PLANNED], ending, self.context.place))
            else:
                told = next((message for message in ending.messages if "end" not in message), {})
                self.voice.say(kind="facts", facts=told)


def host(session: Session) -> int:
    """Run a pytest that is only ours, and return its exit code."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    switched_off = [word for name in _UNWANTED for word in ("-p", f"no:{name}")]
    keyword = ["-k", session.request.keyword] if session.request.keyword else []
    # Not the project's root: pytest would expand a `$NAME` in it.
    rootdir = f"--rootdir={os.sep}"
    plugins = [CheckPlugin(session.context, session.request.tags), fixtures, session.answers, session]
    return int(pytest.main([*_ARGUMENTS, *switched_off, rootdir, *keyword], plugins=plugins))


def _double(item: pytest.Item, owner: str, place: str) -> pytest.Item:
    planned = item.stash[PLANNED]
    reason = f"{item.path} holds a check with the id {planned.id}, which {owner} has already: rename the function"
    result = unanswered(planned, Status.BROKEN, reason, place)
    planned = replace(planned, id=f"{planned.id} (double)")
    parent = item.getparent(CheckFile)
    assert parent is not None
    double = Uncollected.from_parent(parent, name=planned.id, result=replace(result, check=planned.id))
    double.stash[PLANNED] = planned
    return double
