"""preflight inside a user's own pytest: `pytest --preflight-config foo.yaml preflight_checks/`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from preflight.config import Config
    from preflight.model import Result
    from preflight.worker.collect import CheckFile
    from preflight.worker.stage import Stage


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the one option that wakes this plugin."""
    group = parser.getgroup("preflight", "checks before a launch")
    group.addoption(
        "--preflight-config", metavar="FILE", help="collect the checks in preflight_checks/ for this config"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Take part only where a config was named: this plugin is loaded into every pytest of an environment."""
    source = config.getoption("--preflight-config", None)
    if source is None:
        return
    from preflight import config as configuration
    from preflight import discovery
    from preflight.errors import UserError
    from preflight.worker import fixtures
    from preflight.worker.collect import CheckPlugin, Context

    try:
        settings = configuration.load(Path(source))
    except UserError as problem:
        raise pytest.UsageError(str(problem)) from None
    from tempfile import mkdtemp

    context = Context(settings, Path(mkdtemp(prefix="preflight-")), trusted=discovery.builtin())
    for plugin in (CheckPlugin(context), fixtures, Host(config, settings)):
        config.pluginmanager.register(plugin)
    config.addinivalue_line("markers", "preflight: a check of preflight's")


class Host:
    """The pytest hooks that run each check in a child and hand its result to the session as pytest's own reports."""

    def __init__(self, config: pytest.Config, settings: Config) -> None:
        from preflight.worker.answer import AnswerPlugin

        self._config, self._settings = config, settings
        self._stage: Stage | None = None
        self._answers = AnswerPlugin()
        config.pluginmanager.register(self._answers)

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> CheckFile | None:
        """Collect `check_*.py` in folders of checks, and where it was named on the command line."""
        from preflight.discovery import FOLDER
        from preflight.worker.collect import CheckFile

        named = file_path.parent.name == FOLDER or parent.session.isinitpath(file_path)
        if named and file_path.match("check_*.py"):
            return CheckFile.from_parent(parent, path=file_path)
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Run a check in a child of its own; leave every other item to pytest."""
        from preflight.worker.collect import PLANNED

        if PLANNED not in item.stash:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in _reports(item, self._result(item)):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_unconfigure(self) -> None:
        """Put the stage and the scratch folder away."""
        import shutil

        from preflight.worker.collect import CONTEXT

        if self._stage is not None:
            self._stage.close()
        shutil.rmtree(self._config.stash[CONTEXT].scratch, ignore_errors=True)

    def _result(self, item: pytest.Item) -> Result:
        from preflight.isolation import children
        from preflight.isolation.endings import result_of
        from preflight.worker.collect import CONTEXT, PLANNED, Uncollected, awaited

        if isinstance(item, Uncollected):
            return item.result
        if names := set(awaited(item, self._settings)):
            self._await(names)
        planned, context = item.stash[PLANNED], self._config.stash[CONTEXT]
        ending = children.run(lambda send: self._run(item, send), planned.deadline)
        return result_of(planned, ending, context.place)

    def _run(self, item: pytest.Item, send: object) -> None:
        manager = self._config.pluginmanager.getplugin("capturemanager")
        if manager is not None:
            # The child's output has a pipe of its own; pytest must not lead it into the parent's file.
            manager.stop_global_capturing()
            manager._method = "no"  # noqa: SLF001 - there is no public way to switch it off
            manager.start_global_capturing()
        self._answers.run(item, send)  # type: ignore[arg-type]

    def _await(self, names: set[str]) -> None:
        import time

        from preflight.worker.collect import CONTEXT
        from preflight.worker.stage import Stage

        if self._stage is None:
            settings = self._settings
            self._stage = Stage(settings.import_seconds, settings.root, settings.deadline)
            self._config.stash[CONTEXT].imported = self._stage.imported
        while not self._stage.ready and not names <= self._stage.imported.keys():
            self._stage.read()
            time.sleep(0.01)


def _reports(item: pytest.Item, result: Result) -> list[pytest.TestReport]:
    """Return what pytest knows to show, store and send: a result as setup, call and teardown."""
    import json

    from preflight.model import Status

    # Plain values alone: pytest-xdist sends reports to its master and refuses any other type.
    properties = [*item.user_properties, ("preflight", json.loads(json.dumps(result.to_json(), default=str)))]
    sections = [("Captured output", result.output)] if result.output else []

    def report(when: str, outcome: str, longrepr: object = None, seconds: float = 0.0) -> pytest.TestReport:
        return pytest.TestReport(
            item.nodeid,
            item.location,
            dict.fromkeys(item.keywords, 1),
            outcome,  # type: ignore[arg-type]
            longrepr,  # type: ignore[arg-type]
            when,  # type: ignore[arg-type]
            sections,
            seconds,
            user_properties=properties,
        )

    match result.status:
        case Status.PASSED:
            call = report("call", "passed", seconds=result.seconds)
        case Status.SKIPPED:
            call = report("call", "skipped", (result.file, result.line, f"Skipped: {result.reason}"), result.seconds)
        case _:
            call = report("call", "failed", _text(result), result.seconds)
    return [report("setup", "passed"), call, report("teardown", "passed")]


def _text(result: Result) -> str:
    lines = [f"{result.status} {result.check}" + (f": {result.reason}" if result.reason else "")]
    for finding in result.findings:
        lines.append(f"{finding.severity}: {finding.message}  [{finding.id}]")
        named = (("found", finding.found), ("wanted", finding.wanted), ("cause", finding.cause), ("fix", finding.fix))
        lines += [f"  {name}: {value}" for name, value in named if value]
    return "\n".join([*lines, result.traceback])
