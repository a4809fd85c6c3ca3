"""What a process becomes that `boot` has started: the worker of a place, or the session of its stage."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from preflight.system.kernel import adopt_orphans
from preflight.system.modules import Imported, Outcome
from preflight.worker.request import Request
from preflight.worker.stage import Stage
from preflight.worker.wire import Voice

if TYPE_CHECKING:
    from preflight.config import Config
    from preflight.system.gpu.facts import Gpus

# Imports a module within so many seconds and returns what is to be told of it.
Attempt = Callable[[str, float], Mapping[str, Any]]


def own_name(word: str) -> str:
    """Return the name of this place: `$NAME` stands for what that variable says here."""
    return os.environ.get(word[1:], word) if word.startswith("$") else word


def greet(name: str) -> None:
    """Say that this place answers."""
    Voice(1, own_name(name)).say(kind="hello", pid=os.getpid())


def work(path: Sequence[str], name: str) -> None:
    """Be the worker of a place: a request on standard input, answers on standard output; `path` is the job's."""
    voice = Voice(os.dup(1), own_name(name))
    os.dup2(2, 1)
    adopt_orphans()
    if name != "local":
        voice.say(kind="hello", pid=os.getpid())
    line = sys.stdin.buffer.readline()
    if not line:
        os._exit(0)  # the command has changed its mind
    request = Request(**{**json.loads(line), "place": own_name(name)})
    os.environ["PREFLIGHT_WORKER"] = str(os.getpid())
    try:
        os.chdir(request.root)
    except OSError as problem:
        voice.say(kind="end", exit_code=1, reason=f"root {request.root} cannot be entered there: {problem.strerror}")
        return
    with tempfile.TemporaryDirectory(prefix="preflight-", ignore_cleanup_errors=True) as scratch:
        root = Path(request.root)
        stage = Stage(request.imports, root, request.deadline, lent=request.lent) if request.imports else None
        # The stage is at work by now; pytest and the config, which take a while to load, are needed from here on.
        from preflight import discovery
        from preflight.worker.collect import Context
        from preflight.worker.front import Front
        from preflight.worker.session import host

        config = _config(request)
        builtin = discovery.builtin()
        context = Context(config, Path(scratch), request.place, gpus=_gpus(request), trusted=builtin, shielded=builtin)
        front = Front(replace(request, scratch=scratch), config, voice, context, stage)
        context.path = path if sys.flags.safe_path else [str(config.root), *path]
        try:
            code = host(front)
        finally:  # where nobody hears any more, even what pytest says of that cannot be said
            front.close()
    voice.say(kind="end", exit_code=code)
    os._exit(0)


def serve(  # noqa: PLR0913, PLR0917 - all that `boot` knows
    order: bytes,
    answers: int,
    path: Sequence[str],
    went: Mapping[str, Mapping[str, Any]],
    attempt: Attempt,
    aside: Mapping[str, ModuleType],
) -> NoReturn:
    """Go on as the session of the stage, once the modules are imported; called by `boot`.

    `went` says how the imports of this process went, and `attempt` imports one more; the order names those that are
    left out since they kill it. `aside` are modules of the experiment's whose names preflight needs for its own.
    """
    from preflight import discovery
    from preflight.worker.collect import Context
    from preflight.worker.served import Served
    from preflight.worker.session import host

    told = json.loads(order)
    request = Request(**told["request"])
    config = _config(request)
    context = Context(
        config,
        Path(request.scratch),
        request.place,
        gpus=_gpus(request),
        trusted=discovery.builtin(),
        path=path,
        modules=aside,
    )
    for name, outcome in told["known"].items():
        context.imported[name] = Imported(name=name, outcome=Outcome(outcome))
    for name, facts in went.items():
        context.imported[name] = Imported.from_facts({**facts, "name": name})
    with context.as_the_job():
        for name in {*told["needs"]} - context.imported.keys():
            context.imported[name] = Imported.from_facts({**attempt(name, config.deadline), "name": name})
    served = Served(request, config, Voice(answers), context)
    served.ends = (answers, 2)
    host(served)
    os._exit(0)


def _config(request: Request) -> Config:
    from preflight import config as configuration

    source = Path(request.source) if request.source else None
    return replace(configuration.load(source, text=request.text), root=Path(request.root))


def _gpus(request: Request) -> Gpus | None:
    from preflight.system.gpu.facts import Gpus

    return Gpus.from_json(request.facts) if request.facts else None
