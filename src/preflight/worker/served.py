"""The session in the stage: the checks that want what has been imported there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest

from preflight.config import Config
from preflight.isolation.child import Work, answer
from preflight.isolation.children import freeze
from preflight.isolation.endings import unanswered
from preflight.model import Planned, Status
from preflight.system.modules import Outcome
from preflight.words import ALL_IMPORTS
from preflight.worker.collect import PLANNED, Context
from preflight.worker.request import Request
from preflight.worker.session import Session
from preflight.worker.stage import BOOT, fork_hazard
from preflight.worker.wire import Voice


class Served(Session):
    """The session in the stage: the checks that want what has been imported here."""

    def __init__(self, request: Request, config: Config, voice: Voice, context: Context) -> None:
        super().__init__(request, config, voice, context)
        self._heavy: set[Path] = set()
        self.ends = (-1, -1)
        self._hazard = fork_hazard()

    def files(self) -> list[Path]:
        """Return the check files that import the experiment's modules, and those that speak of needs."""
        files = super().files()
        self._heavy = {*self.heavy(files)}
        return [file for file in files if file in self._heavy or b"needs=" in file.read_bytes()]

    def belongs(self, planned: Planned, file: Path) -> bool:
        """Take what needs a module, or stands in a file that imports one."""
        return bool(planned.needs) or file in self._heavy

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the items that can be run, as many at once as there are processors."""
        if self.request.inline:
            answer(partial(self.answers.run, self.items[self.request.inline]), *self.ends, self.config.deadline)
        self.announce()
        slots = os.cpu_count() or 1
        waiting = list(self.items.values())
        freeze()
        while waiting or len(self.children):
            while waiting and len(self.children) < slots:
                item = waiting.pop(0)
                if reason := self._unusable(item.stash[PLANNED]):
                    self.say_result(unanswered(item.stash[PLANNED], Status.SKIPPED, reason, self.context.place))
                else:
                    self.start(item)
            self.gather(0.2)
            self.voice.beat()
        self.voice.say(kind="end")
        return True

    def work(self, item: pytest.Item) -> Work | Sequence[str]:
        """Return the work of a fork, or of a fresh interpreter where a fork is unsafe."""
        if not self._hazard:
            return super().work(item)
        order = Path(self.context.scratch, f"order-{os.getpid()}-{len(os.listdir(self.context.scratch))}.json")
        planned = item.stash[PLANNED]
        request = {**asdict(self.request), "inline": planned.id}
        order.write_text(
            json.dumps({"request": request, "needs": sorted({*planned.needs} - {ALL_IMPORTS}), "known": {}}) + "\n"
        )
        names = [f"{entry.name}={planned.deadline}" for entry in self.config.imports if self._is_usable(entry.name)]
        start = [sys.executable, BOOT, "check", self.request.lent, str(self.config.root)]
        return [*start, "{trace}", "{answer}", str(order), *names]

    def _is_usable(self, name: str) -> bool:
        facts = self.context.imported.get(name)
        return facts is None or facts.outcome is Outcome.IMPORTED

    def _unusable(self, planned: Planned) -> str:
        """Return why what a check needs is not there, empty where it is."""
        required = [entry.name for entry in self.config.imports if not entry.optional]
        for name in [each for need in planned.needs for each in (required if need == ALL_IMPORTS else [need])]:
            facts = self.context.imported.get(name)
            if facts is not None and facts.outcome is not Outcome.IMPORTED:
                why = "is not installed" if facts.outcome is Outcome.MISSING else "cannot be imported"
                return f"needs {name}, which {why}"
        return ""
