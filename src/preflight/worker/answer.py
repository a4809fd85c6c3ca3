"""What a check says, inside the child that runs it: its findings as they come, then its outcome."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from traceback import walk_tb
from typing import Any

import pytest

from preflight.isolation.child import Send
from preflight.model import Finding, Status
from preflight.words import error
from preflight.worker.collect import CONTEXT, PLANNED, CheckFile

_PROBLEMS = pytest.StashKey[list[tuple[str, BaseException]]]()


class NotAFinding(Exception):
    """A check handed over something that is no finding."""


class AnswerPlugin:
    """The pytest hooks that run a check's function and keep what it raised; active in the child alone."""

    def __init__(self) -> None:
        self.send: Send | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Call a check and send on what it yields or returns."""
        if not isinstance(pyfuncitem.parent, CheckFile) or self.send is None:
            return None
        arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}  # noqa: SLF001
        said = pyfuncitem.obj(**arguments)
        for finding in _each(said):
            self._send(finding, pyfuncitem)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Keep what was raised: a report has it as text only."""
        if call.excinfo is not None:
            item.stash.setdefault(_PROBLEMS, []).append((call.when, call.excinfo.value))

    def run(self, item: pytest.Item, send: Send) -> None:
        """Run `item` with its fixtures and send its findings and its outcome."""
        from _pytest.runner import runtestprotocol

        self.send = send
        try:
            with item.config.stash[CONTEXT].as_the_job(item.path):
                reports = runtestprotocol(item, nextitem=None, log=False)
        except (KeyboardInterrupt, pytest.exit.Exception) as problem:
            send({"outcome": {"status": Status.BROKEN, "reason": _raised("call", problem)}})
        else:
            send({"outcome": self._outcome(item, reports)})

    def _send(self, finding: Finding, item: pytest.Item) -> None:
        assert self.send is not None
        self.send({"finding": {"id": item.stash[PLANNED].id.partition("[")[0], **finding.to_json()}})

    def _outcome(self, item: pytest.Item, reports: Iterable[pytest.TestReport]) -> dict[str, Any]:
        failed = [report for report in reports if report.failed]
        for report in reports:
            if report.skipped:
                reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
                expected = getattr(report, "wasxfail", None)
                said = f"fails as expected: {expected}" if expected is not None else reason.removeprefix("Skipped: ")
                return {"status": Status.SKIPPED, "reason": said or "no reason was given"}
        if not failed:
            return {"status": Status.PASSED}
        problems = item.stash.get(_PROBLEMS, [])
        if not problems:
            self._send(error(failed[0].longreprtext.strip()), item)
            return {"status": Status.FAILED}
        when, problem = problems[0]
        traceback = "\n".join(report.longreprtext for report in failed)
        if when == "call" and isinstance(problem, AssertionError | pytest.fail.Exception):
            self._send(_assertion(problem, item), item)
            return {"status": Status.FAILED, "traceback": traceback}
        return {"status": Status.BROKEN, "reason": _raised(when, problem), "traceback": traceback}


def _each(said: object) -> Iterable[Finding]:
    if said is None:
        return
    if isinstance(said, Finding):
        said = [said]
    if inspect.iscoroutine(said):
        said.close()
        raise NotAFinding("the check is an async function; write it as a plain one")
    if not inspect.isgenerator(said) and not isinstance(said, list | tuple):
        raise NotAFinding(f"the check returned {_short(said)}, which is no finding; yield error(…) instead")
    for finding in said:
        if not isinstance(finding, Finding):
            raise NotAFinding(f"the check yielded {_short(finding)}, which is no finding; yield error(…) instead")
        yield finding


def _assertion(problem: BaseException, item: pytest.Item) -> Finding:
    first, _, rest = str(problem).strip().partition("\n")
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(problem.__traceback__)]
    file, line = next((place for place in reversed(frames) if place[0] == str(item.path)), ("", 0))
    return error(first or "an assertion failed", found=rest.strip(), file=file, line=line)


def _raised(when: str, problem: BaseException) -> str:
    phase = {"setup": " while its fixtures were made", "teardown": " while its fixtures were put away"}.get(when, "")
    if isinstance(problem, NotAFinding):
        return str(problem)
    if isinstance(problem, SystemExit):
        return f"it called sys.exit({problem.code!r}){phase}"
    if isinstance(problem, pytest.FixtureLookupError):
        return f"fixture {problem.argname!r} not found"
    text = str(problem).strip().partition("\n")[0]
    return f"it raised {type(problem).__name__}{phase}" + (f": {text}" if text else "")


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception as problem:  # noqa: BLE001 - the value is a stranger
        text = f"something whose repr raises {type(problem).__name__}"
    return (text if len(text) < 80 else text[:77] + "…") + f" ({type(value).__name__})"
