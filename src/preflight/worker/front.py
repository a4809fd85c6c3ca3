"""The session in the worker itself: all checks but those that want what the stage has imported."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from select import select

import pytest

from preflight.config import Config
from preflight.isolation.child import Send
from preflight.isolation.children import freeze
from preflight.isolation.endings import unanswered
from preflight.model import Planned, Status
from preflight.system.kernel import children_of, process_state
from preflight.words import ALL_IMPORTS
from preflight.worker import facts
from preflight.worker.collect import Context, awaited, chosen, planned_file
from preflight.worker.request import Request
from preflight.worker.session import Session
from preflight.worker.stage import Stage
from preflight.worker.wire import Reader, Voice

# Checks mostly wait; those that a dead mount holds must not keep the others from starting.
_SLOTS = 32
# A child that is older than this, in seconds, is taken to wait. While the stage imports, which the run waits for in the
# end, only one younger one runs beside it: together they would be through no sooner, and the imports later.
_YOUNG = 0.2
_FACTS_DEADLINE = 10.0
# A stage that serves says something every other second; beyond a deadline and this many seconds it is given up.
_SILENCE = 5.0


class Front(Session):
    """The session in the worker itself: all checks but those that want what the stage has imported."""

    def __init__(
        self, request: Request, config: Config, voice: Voice, context: Context, stage: Stage | None = None
    ) -> None:
        super().__init__(request, config, voice, context)
        self.stage = stage
        self.remote: dict[str, Planned] = {}
        self._serving = False
        self._unheard: list[Path] = []
        self._reader = Reader()
        if stage is not None:
            context.imported = stage.imported

    def belongs(self, planned: Planned, file: Path) -> bool:
        """Take what needs no import; note what the stage is to run."""
        if planned.needs and not self.request.plan_only:
            if chosen(planned, self.request):
                self.remote[planned.id] = planned
            return False
        return True

    def files(self) -> list[Path]:
        """Return the check files that import nothing heavy when they are loaded; the stage loads the others."""
        files = super().files()
        if not self.request.plan_only:
            self._unheard = self.heavy(files)
        return [file for file in files if file not in self._unheard]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run everything, here and in the stage, until each check has its result."""
        self.announce()
        if self.request.plan_only:
            return True
        self._serving = bool(self.remote or self._unheard)
        if self._serving and self.stage is None:
            self.stage = Stage({}, self.config.root, self.config.deadline, lent=self.request.lent)
        if self.stage is not None:
            self._order_stage()
        waiting = list(self.items.values())
        freeze()
        self._start_gathering()
        while waiting or len(self.children) or self._serving:
            waiting = self._start_some(waiting)
            self._rest(_YOUNG / 4 if waiting else _YOUNG)
            self._hear_stage()
            self.voice.beat()
        self._end_stage()
        return True

    def _start_gathering(self) -> None:
        """Gather each kind of facts in a child: a driver that hangs costs the report its GPUs and nothing else."""
        for name in facts.GATHERERS:
            self.children.start(f"facts {name}", partial(self._gather, name), _FACTS_DEADLINE)

    def _gather(self, name: str, send: Send) -> None:
        if name == "gpus" and self.context.gpus is not None:
            send(self.context.gpus.told())
        else:
            send(facts.GATHERERS[name](self.config))

    def _order_stage(self) -> None:
        if self._serving and self.stage is not None:
            needs = sorted({name for planned in self.remote.values() for name in planned.needs} - {ALL_IMPORTS})
            known = {name: went.outcome for name, went in self.stage.imported.items()}
            order = {"request": asdict(self.request), "needs": needs, "known": known}
            self.stage.order(json.dumps(order).encode() + b"\n")

    def _may_start(self, item: pytest.Item) -> bool:
        stage = self.stage
        return stage is None or stage.ready or all(name in stage.imported for name in awaited(item, self.config))

    def _start_some(self, waiting: list[pytest.Item]) -> list[pytest.Item]:
        later = []
        importing = self.stage is not None and not self.stage.ready
        busy = 1 if importing else os.cpu_count() or 1
        for item in waiting:
            free = len(self.children) < _SLOTS and self.children.younger_than(_YOUNG) < busy
            if free and self._may_start(item):
                self.start(item)
            else:
                later.append(item)
        return later

    def _rest(self, timeout: float) -> None:
        fds = [sys.stdin.fileno()] + ([self.stage.fd] if self.stage is not None and not self.stage.gone else [])
        for fd in fds:
            self.children.watch(fd)
        self.gather(timeout)
        for fd in fds:
            self.children.unwatch(fd)
        if select([sys.stdin], [], [], 0)[0] and not os.read(sys.stdin.fileno(), 4096):
            self.close()
            shutil.rmtree(self.context.scratch, ignore_errors=True)
            os._exit(1)

    def _hear_stage(self) -> None:
        stage = self.stage
        if stage is None or stage.gone:
            return
        pid = stage.pid
        data = stage.read()
        if stage.pid != pid:
            self._order_stage()
        for _, message in self._reader.feed(data):
            match message["kind"]:
                case "planned":
                    new = {each["id"]: Planned.from_json(each) for each in message["checks"]}
                    self.remote, self._unheard = {**self.remote, **new}, []
                case "result":
                    self.remote.pop(message["result"]["check"], None)
                case "end":
                    self._serving = False
                    continue
            self.voice.say(**message)
        if self._serving and stage.ready and time.monotonic() > stage.heard + self.config.deadline + _SILENCE:
            stage.give_up("silent for too long")
        if stage.gone and self._serving:
            self._serving = False
            reason = f"the process that had imported the experiment is gone: {stage.gone}"
            for planned in [*self.remote.values(), *map(planned_file, self._unheard)]:
                self.say_result(unanswered(planned, Status.BROKEN, reason, self.context.place))

    def _end_stage(self) -> None:
        if self.stage is not None and not self.stage.gone:
            self.stage.close()
        self.stage = None

    def close(self) -> None:
        """Kill whatever still runs, also what slipped out of its group."""
        self._end_stage()
        self.children.kill()
        sweep()


def sweep() -> None:
    """Kill what was adopted from children: processes that had left their group."""
    for _ in range(20):
        found = [pid for pid in children_of(os.getpid()) if process_state(pid) != "D"]
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)
