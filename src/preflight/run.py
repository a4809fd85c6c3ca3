"""The straight line: a config in, a Report out, whatever happens to the worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from typing import Any

from preflight import drift, verdict
from preflight.config import Config
from preflight.errors import UserError
from preflight.hearing import Hearing, Watcher
from preflight.model import LOCAL, Planned, Presence, Report, Result
from preflight.places.local import Local
from preflight.places.workers import Workers
from preflight.system import jobs
from preflight.system.secrets import Secrets, named, passwords
from preflight.worker.request import Selection

# What became of a place whose job was ended by a scheduler.
_ENDED = (Presence.CANCELLED, Presence.LATE)


def run(  # noqa: PLR0913 - all but the config by name
    config: Config,
    *,
    selection: Selection | None = None,
    strict: bool = False,
    facts: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    place: Workers | None = None,
) -> Report:
    """Run the checks that `config` asks for and return all that is known of them.

    `facts` are those of GPUs (`Gpus.to_json`) to be judged in place of this machine's. `place` is a worker, or those
    of many nodes, that was started before the config was known; one of this machine is put away where the config wants
    another interpreter. Ctrl-C and SIGTERM end the run within two seconds: the Report then holds what was known and is
    `interrupted`. Raises UserError where the run cannot begin.
    """
    selection = selection or Selection()
    began, started = time.time(), datetime.now(UTC)
    secrets = _secrets(config)
    hearing = Hearing(watcher, secrets, began)
    interrupted = False
    together: list[Result] = []
    with _interruptible():
        request = {**_request(config, selection), "facts": facts}
        if place is not None and place.engine is None and place.python != config.python:
            place.close()
            place = None
        place = place or Local(config.python)
        try:
            try:
                place.ask(request)
                hearing.listen(place, config)
            finally:
                place.close()
            found = _together(place, hearing, config, selection, watcher)
            together = [hearing.result(each.to_json(), each.place) for each in found]
        except KeyboardInterrupt:
            place.close()
            # A scheduler that ends the job sends a signal as well, and says why to those who listen.
            interrupted = not any(gone.presence in _ENDED for gone in place.gone.values())
        if watcher is not None:
            watcher.close()
    gone = {name: each._replace(reason=secrets.hide(each.reason)) for name, each in place.gone.items()}
    places = () if place.engine is None else tuple(hearing.places(gone, began))
    alike = [] if interrupted or not selection.names(drift.CHECK) else drift.are_alike(places)
    results = [*hearing.results(gone, interrupted=interrupted), *alike, *together]
    ordered = [_located(result, config) for result in results]
    judged = verdict.apply_ignores(ordered, config.ignore, date.today(), selection.whole and not interrupted)
    return Report(
        results=tuple(judged),
        facts={
            **hearing.facts(gone),
            **({"on": place.engine.kind} if place.engine else _part()),
            "config_digest": config.digest,
            "drafted": config.drafted,
        },
        places=places,
        config=config.source,
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.time() - began, 3),
        strict=strict,
        interrupted=interrupted,
    )


def _together(
    workers: Workers, hearing: Hearing, config: Config, selection: Selection, watcher: Watcher | None
) -> list[Result]:
    """Have the nodes that have passed add up together, where the config asks for that."""
    if workers.engine is None or config.nodes is None or not config.nodes.collectives:
        return []
    from preflight.collectives import together

    if not selection.names(together.CHECK) or any(each.presence in _ENDED for each in workers.gone.values()):
        return []
    results = verdict.apply_ignores(
        hearing.results(workers.gone, interrupted=False), config.ignore, date.today(), whole=False
    )
    bad = {each.place for each in results if verdict.is_bad(each)}
    nodes = [name for name in workers.names if name not in bad]
    return together.add_up_together(workers.engine, nodes, config, python=workers.python, watcher=watcher)


def plan(config: Config, *, selection: Selection | None = None) -> list[Planned]:
    """Return the checks that a run would run, in order.

    Raises UserError where the worker that collects them dies.
    """
    hearing = Hearing(None, Secrets())
    request = _request(config, selection or Selection(), plan_only=True)
    place = Local(config.python)
    try:
        place.ask(request)
        hearing.listen(place, config)
    finally:
        place.close()
    if place.last_words:
        raise UserError(f"the checks could not be collected: {place.last_words}")
    return list(hearing.heard[LOCAL].plan.values())


def _part() -> dict[str, Any]:
    """Return which part of a job this is; from that several reports can be made one."""
    part = jobs.part(os.environ)
    return {"part": part} if part else {}


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


def _secrets(config: Config) -> Secrets:
    """Return what the environment, the config and the user's netrc hold under the names of secrets."""
    held = (os.environ, config.experiment, config.checks)
    return Secrets([*(value for values in held for value in named(values)), *passwords()])


def _located(result: Result, config: Config) -> Result:
    """Take the lines from findings about a section that stands in no file."""
    if not config.drafted:
        return result
    findings = [replace(each, file="", line=0) if each.file == config.source else each for each in result.findings]
    return replace(result, findings=findings)


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
