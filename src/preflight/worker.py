"""What a process becomes that `boot` has started: the worker of a place, or the session of its stage."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

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


def serve(
    order: bytes, answers: int, trace: int, path: Sequence[str], went: Mapping[str, Mapping[str, Any]]
) -> NoReturn:
    """Go on as the session of the stage, once the modules are imported; called by `boot`.

    `went` says how the imports of this process went; the order names those that are left out since they kill it.
    """
    told = json.loads(order)
    request = Request(**told["request"])
    config, context = _prepare(request, request.scratch)
    sys.path[:] = path
    for name, outcome in told["known"].items():
        context.imported[name] = Imported(name=name, outcome=Outcome(outcome))
    for name, facts in went.items():
        context.imported[name] = Imported.from_facts({**facts, "name": name})
    for name in told["needs"]:
        if name not in context.imported:
            boot.tell(answers, {"importing": name, "output_from": os.fstat(1).st_size})
            facts = boot.import_one(name, config.deadline, trace)
            boot.tell(answers, facts)
            context.imported[name] = Imported.from_facts({**facts, "name": name})
    served = Served(request, config, Voice(answers), context)
    served.ends = (answers, trace)
    host(served)
    os._exit(0)


def _prepare(request: Request, scratch: str) -> tuple[Config, Context]:
    source = Path(request.source) if request.source else None
    config = replace(configuration.load(source, text=request.text), root=Path(request.root))
    return config, Context(config, Path(scratch), request.place, trusted=discovery.builtin())
