"""What a process becomes that `boot` has started: the worker of a place, or the session of its stage."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from preflight import boot, discovery
from preflight import config as configuration
from preflight.collect import Context
from preflight.config import Config
from preflight.front import Front
from preflight.served import Served
from preflight.session import Request, Voice, host
from preflight.system.kernel import adopt_orphans
from preflight.system.modules import Imported, Outcome


def work(path: Sequence[str]) -> None:
    """Be a worker: read a request from standard input, answer on standard output; `path` is `sys.path` as the job has it."""
    voice = Voice(os.dup(1))
    os.dup2(2, 1)
    adopt_orphans()
    request = Request(**json.loads(sys.stdin.buffer.readline()))
    with tempfile.TemporaryDirectory(prefix="preflight-", ignore_cleanup_errors=True) as scratch:
        config, context = _prepare(request, scratch)
        front = Front(replace(request, scratch=scratch), config, voice, context)
        context.path = path if sys.flags.safe_path else [str(config.root), *path]
        code = host(front)
        front.close()
    voice.say(kind="end", exit_code=code)
    os._exit(0)


def serve(order: bytes, answers: int, trace: int, path: Sequence[str]) -> None:
    """Go on as the session of the stage, once the modules are imported; called by `boot`, never returns."""
    told = json.loads(order)
    request = Request(**told["request"])
    config, context = _prepare(request, request.scratch)
    sys.path[:] = path
    for name in told["needs"]:
        facts = boot.import_one(name, config.deadline, trace)
        context.imported[name] = Imported.from_facts({**facts, "name": name})
    for entry in config.imports:
        if entry.name not in sys.modules and entry.name not in context.imported:
            context.imported[entry.name] = Imported(name=entry.name, outcome=Outcome.RAISED)
    served = Served(request, config, Voice(answers), context)
    served.ends = (answers, trace)
    host(served)
    os._exit(0)


def _prepare(request: Request, scratch: str) -> tuple[Config, Context]:
    source = Path(request.source) if request.source else None
    config = replace(configuration.load(source, text=request.text), root=Path(request.root))
    return config, Context(config, Path(scratch), request.place, trusted=discovery.builtin())
