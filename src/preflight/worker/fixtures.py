"""What a check can ask for by name: the config, the experiment, a scratch folder, how imports went, a fresh child."""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from preflight.config import Config
from preflight.isolation import children
from preflight.isolation.child import Send
from preflight.isolation.children import How
from preflight.isolation.endings import why_broken
from preflight.system.modules import Imported
from preflight.words import ChildFailed
from preflight.worker.collect import CONTEXT, PLANNED, family_of

if TYPE_CHECKING:
    from preflight.rehearsal.program import Rehearsed
    from preflight.system.gpu.facts import Gpus


@pytest.fixture
def config(request: pytest.FixtureRequest) -> Config:
    """The whole config."""
    return request.config.stash[CONTEXT].config


@pytest.fixture
def root(config: Config) -> Path:
    """The folder that relative paths of the config start from."""
    return config.root


@pytest.fixture
def experiment(config: Config) -> Mapping[str, Any]:
    """The experiment's own part of the config file, references resolved."""
    return config.experiment


@pytest.fixture
def settings(config: Config, request: pytest.FixtureRequest) -> Any:
    """What the config says under `checks:` for this family; an empty mapping where it says nothing."""
    return config.checks.get(family_of(request.path), {})


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """The name of the place where this check runs."""
    return request.config.stash[CONTEXT].place


@pytest.fixture
def scratch(request: pytest.FixtureRequest) -> Iterator[Path]:
    """An empty folder of this check's own, removed afterwards."""
    folder = Path(tempfile.mkdtemp(dir=request.config.stash[CONTEXT].scratch))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def imported(request: pytest.FixtureRequest) -> Mapping[str, Imported]:
    """How the import of each module of `imports:` went in the stage."""
    return request.config.stash[CONTEXT].imported


@pytest.fixture
def gpus(request: pytest.FixtureRequest) -> Gpus:
    """The facts of this machine's GPUs, or those that the run was told to judge in their place."""
    from preflight.system.gpu import gather

    context = request.config.stash[CONTEXT]
    return context.gpus or gather.gather(context.config.root, start=bool(context.config.gpu))


@pytest.fixture
def rehearsed(request: pytest.FixtureRequest) -> Rehearsed:
    """What the program of `rehearsal:` did in its standard run, which all checks of one preflight run share."""
    from preflight.rehearsal.standard import standard_run

    context = request.config.stash[CONTEXT]
    with _skipped_without_a_view():
        return standard_run(context.config, context.scratch / "rehearsal")


@pytest.fixture
def questioned(request: pytest.FixtureRequest) -> Callable[..., Rehearsed]:
    """Call `questioned("overfit")` for a run of the program of `rehearsal:` in which that is asked; see `learning`."""
    from preflight.rehearsal.standard import question_run

    context = request.config.stash[CONTEXT]

    def run(*asked: str) -> Rehearsed:
        with _skipped_without_a_view():
            return question_run(context.config, context.scratch / "-".join(("rehearsal", *asked)), asked)

    return run


@contextmanager
def _skipped_without_a_view() -> Iterator[None]:
    from preflight.rehearsal.view import ViewRefused

    try:
        yield
    except ViewRefused as problem:
        pytest.skip(f"{problem}; `in_place: true` under `rehearsal` lets the program write into the real folders")


@pytest.fixture
def fresh(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Call `fresh(function, *arguments)` to run it in a child whose random states are unlike any other's.

    The value must be plain (what JSON holds). Raises ChildFailed where the function raised or its process died.
    """
    # Less than the check's own, so that a child which hangs is told by the check.
    return fresh_within(request.node.stash[PLANNED].deadline * 0.8)


def fresh_within(deadline: float) -> Callable[..., Any]:
    """Return what the fixture `fresh` gives to a check, its children with `deadline` seconds each."""

    def run(function: Callable[..., Any], *arguments: Any) -> Any:
        def work(send: Send) -> None:
            _disturb()
            try:
                send({"value": function(*arguments)})
            except BaseException as problem:  # noqa: BLE001 - whatever it is, it is told
                text = "".join(traceback.format_exception(problem))
                send({"raised": f"{type(problem).__name__}: {problem}", "traceback": text})

        ending = children.run(work, deadline)
        sys.stdout.write(ending.output)
        told = next((message for message in ending.messages if "end" not in message), {})
        if ending.how is not How.FINISHED:
            hung = ending.how in (How.DEADLINE, How.STUCK)
            raise ChildFailed(f"{why_broken(ending)}\n{ending.stack}", hung=hung)
        if "raised" in told:
            raise ChildFailed(told["traceback"])
        return told["value"]

    return run


def _disturb() -> None:
    """Leave every global generator in a state of its own: its parent's would hide a missing seed."""
    random.seed()
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()
    if (torch := sys.modules.get("torch")) is not None:
        torch.seed()
