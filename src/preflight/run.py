"""The straight line: a config in, a Report out, whatever happens to the worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from typing import Any, Protocol

from preflight import verdict
from preflight.config import Config
from preflight.errors import UserError
from preflight.isolation.endings import unanswered
from preflight.model import Planned, Report, Result, Status
from preflight.places.local import Local
from preflight.worker.request import Selection


class Watcher(Protocol):
    """Who looks on while a run goes."""

    def planned(self, ids: Sequence[str]) -> None:
        """These checks will run, besides those named before."""

    def started(self, check: str) -> None:
        """This check runs now."""

    def ended(self, result: Result) -> None:
        """This is its result."""

    def tick(self) -> None:
        """A fifth of a second has passed."""

    def close(self) -> None:
        """There will be no more."""


class Watchers:
    """Several that look on as one."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def planned(self, ids: Sequence[str]) -> None:
        """Tell it to each."""
        for each in self._watchers:
            each.planned(ids)

    def started(self, check: str) -> None:
        """Tell it to each."""
        for each in self._watchers:
            each.started(check)

    def ended(self, result: Result) -> None:
        """Tell it to each."""
        for each in self._watchers:
            each.ended(result)

    def tick(self) -> None:
        """Tell it to each."""
        for each in self._watchers:
            each.tick()

    def close(self) -> None:
        """Tell it to each."""
        for each in self._watchers:
            each.close()


def run(  # noqa: PLR0913 - all but the config by name
    config: Config,
    *,
    selection: Selection | None = None,
    strict: bool = False,
    facts: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    place: Local | None = None,
) -> Report:
    """Run the checks that `config` asks for and return all that is known of them.

    `facts` are those of GPUs (`Gpus.to_json`) to be judged in place of this machine's. `place` is a worker that was
    started before the config was known; it is put away where the config wants another interpreter. Ctrl-C and SIGTERM
    end the run within two seconds: the Report then holds what was known and is `interrupted`. Raises UserError where
    the run cannot begin.
    """
    selection = selection or Selection()
    began, started = time.time(), datetime.now(UTC)
    hearing = _Hearing(watcher)
    interrupted = False
    with _interruptible():
        request = {**_request(config, selection), "facts": facts}
        if place is not None and place.python != config.python:
            place.close()
            place = None
        place = place or Local(config.python)
        try:
            try:
                place.ask(request)
                hearing.listen(place, _patience(config))
            finally:
                place.close()
        except KeyboardInterrupt:
            interrupted = True
            place.close()
        if watcher is not None:
            watcher.close()
    results = hearing.results_at_end(place.last_words, interrupted)
    ordered = [_relative(_located(result, config), began) for result in results]
    judged = verdict.apply_ignores(ordered, config.ignore, date.today(), selection.whole and not interrupted)
    return Report(
        results=tuple(judged),
        facts={**hearing.facts, "config_digest": config.digest, "drafted": config.drafted},
        config=config.source,
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.time() - began, 3),
        strict=strict,
        interrupted=interrupted,
    )


def plan(config: Config, *, selection: Selection | None = None) -> list[Planned]:
    """Return the checks that a run would run, in order.

    Raises UserError where the worker that collects them dies.
    """
    hearing = _Hearing(None)
    request = _request(config, selection or Selection(), plan_only=True)
    place = Local(config.python)
    try:
        place.ask(request)
        hearing.listen(place, _patience(config))
    finally:
        place.close()
    if place.last_words:
        raise UserError(f"the checks could not be collected: {place.last_words}")
    return list(hearing.plan.values())


class _Hearing:
    """What has been heard from a worker."""

    def __init__(self, watcher: Watcher | None) -> None:
        self.plan: dict[str, Planned] = {}
        self.results: dict[str, Result] = {}
        self.running: dict[str, float] = {}
        self.facts: dict[str, Any] = {}
        self._watcher = watcher

    def listen(self, place: Local, patience: float) -> None:
        """Hear the worker to its end."""
        for message in place.messages(patience):
            if message is not None:
                self._hear(message)
            elif self._watcher is not None:
                self._watcher.tick()

    def _hear(self, message: Mapping[str, Any]) -> None:
        tell = self._watcher
        match message["kind"]:
            case "planned":
                new = [Planned.from_json(each) for each in message["checks"]]
                self.plan.update({planned.id: planned for planned in new})
                if tell is not None:
                    tell.planned([planned.id for planned in new])
            case "started":
                self.running[message["check"]] = time.time()
                if tell is not None:
                    tell.started(message["check"])
            case "result":
                result = Result.from_json(message["result"])
                self.results[result.check] = result
                self.running.pop(result.check, None)
                if tell is not None:
                    tell.ended(result)
            case "facts":
                self.facts.update(message["facts"])

    def results_at_end(self, last_words: str, interrupted: bool) -> list[Result]:
        """Return a result for each check that was planned, and one for a worker that died."""
        results = [self.results.pop(name) for name in self.plan if name in self.results] + [*self.results.values()]
        if interrupted:
            return results
        answered = {result.check for result in results}
        reason = last_words or "the worker ended without an answer from it"
        left = [planned for planned in self.plan.values() if planned.id not in answered]
        results += [unanswered(planned, Status.BROKEN, reason, Local.name) for planned in left]
        if last_words:
            worker = Planned(id="worker.answers", title="The worker answers until all checks have run")
            results.append(unanswered(worker, Status.BROKEN, last_words, Local.name))
        return results


def _request(config: Config, selection: Selection, *, plan_only: bool = False) -> dict[str, Any]:
    if not hasattr(os, "fork"):
        raise UserError("checks run in forked processes, which this system has not", fix="Use Linux, macOS or WSL.")
    if not config.root.is_dir():
        raise UserError(f"root {config.root} is no folder", where=f"{config.source}: preflight.root")
    wanted = asdict(selection)
    return {
        "source": config.source,
        "text": config.text,
        "root": str(config.root),
        "plan_only": plan_only,
        "deadline": config.deadline,
        "imports": {} if plan_only else config.import_seconds,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in wanted.items()},
    }


def _patience(config: Config) -> float:
    entries = (config.imports, config.data, config.paths)
    return max([config.deadline, *(entry.deadline or 0 for group in entries for entry in group)])


def _located(result: Result, config: Config) -> Result:
    """Take the lines from findings about a section that stands in no file."""
    if not config.drafted:
        return result
    findings = [replace(each, file="", line=0) if each.file == config.source else each for each in result.findings]
    return replace(result, findings=findings)


def _relative(result: Result, began: float) -> Result:
    started = max(0.0, result.started - began) if result.started else 0.0
    return replace(result, started=round(started, 4), seconds=round(result.seconds, 4))


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into KeyboardInterrupt and be deaf to all that follow.

    A scheduler that ends the job is to see what is known as well, and a second Ctrl-C must not break off the tidying
    up. After an interruption the process stays deaf: all that is left to do is to show the report.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    try:
        before = {number: signal.signal(number, interrupt) for number in numbers}
    except ValueError:  # not in the main thread, where no handler can be set
        before = {}
    yield
    if not interrupted:
        for number, handler in before.items():
            signal.signal(number, handler)
