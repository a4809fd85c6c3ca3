"""The hermetic session of one place: collects the checks, runs each in a child, and tells the command over the wire."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from select import select
from typing import Any

import pytest

from preflight import boot, discovery, fixtures, isolate, wire
from preflight import config as configuration
from preflight.answer import AnswerPlugin
from preflight.collect import CONTEXT, PLANNED, CheckFile, CheckPlugin, Context, Uncollected, awaited, chosen, planned_file, unique
from preflight.config import Config
from preflight.endings import result_of, unanswered
from preflight.isolate import Children
from preflight.model import Planned, Result, Status
from preflight.stage import Stage, fork_hazard
from preflight.system.kernel import adopt_orphans, children_of
from preflight.system.modules import Imported, Outcome

# Checks mostly wait; those that a dead mount holds must not keep the others from starting.
_FRONT_SLOTS = 32
_BEAT = 2.0
_PYTEST_ARGUMENTS = ("-c", os.devnull, "--noconftest", "--capture=no", "-p", "no:cacheprovider")
_UNWANTED = ("terminal", "faulthandler", "junitxml", "pastebin", "doctest", "unittest", "stepwise", "legacypath", "debugging")
"""
The host's pytest settings, conftest files and plugins cannot reach a session that is started with these and with
PYTEST_DISABLE_PLUGIN_AUTOLOAD (see docs/decisions).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the command wants of a worker; plain values, so that it travels."""

    source: str = ""
    text: str | None = None
    root: str = "."
    place: str = "local"
    only: Sequence[str] = ()
    tags: Sequence[str] = ()
    keyword: str = ""
    lent: str = ""
    plan_only: bool = False
    scratch: str = ""
    inline: str = ""


class Voice:
    """Numbers messages and writes them to the wire."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._sequence = 0
        self._last = 0.0

    def say(self, **message: Any) -> None:
        """Write one message."""
        self._sequence += 1
        self._last = time.monotonic()
        self.pass_on(b"".join(wire.frames(message, self._sequence)))

    def pass_on(self, data: bytes) -> None:
        """Write bytes as they are."""
        while data:
            data = data[os.write(self._fd, data) :]

    def beat(self) -> None:
        """Say that the worker lives, where it has been silent for a while."""
        if time.monotonic() > self._last + _BEAT:
            self.say(kind="beat")


class Session:
    """The pytest hooks that collect without pytest's walk and run all items at once."""

    def __init__(self, request: Request, config: Config, voice: Voice, context: Context) -> None:
        self.request, self.config, self.voice, self.context = request, config, voice, context
        self.answers = AnswerPlugin()
        self.items: dict[str, pytest.Item] = {}
        self.refused: list[Result] = []
        self.children = Children()

    def files(self) -> list[Path]:
        """Return the check files of this session."""
        return discovery.check_files(discovery.folders(self.config.root))

    def belongs(self, planned: Planned, file: Path) -> bool:
        """Tell whether an item is this session's to run."""
        raise NotImplementedError

    def pytest_configure(self, config: pytest.Config) -> None:
        """Keep tracebacks short: nobody reads the long ones, and the plugin that has the option is switched off."""
        config.option.tbstyle = "short"

    def pytest_collection(self, session: pytest.Session) -> bool:
        """Collect the check files, each by its path."""
        for file in self.files():
            node = CheckFile.from_parent(session, path=file)
            session.items.extend(session.genitems(node))
        planned = [(item, item.stash[PLANNED]) for item in session.items]
        taken = unique(planned)
        session.items[:] = [
            _double(item, taken[item.nodeid], self.context.place) if item.nodeid in taken else item
            for item, each in planned
            if self.belongs(each, item.path) and chosen(each, self.request.only, self.request.tags)
        ]
        session.config.hook.pytest_collection_modifyitems(session=session, config=session.config, items=session.items)
        session.testscollected = len(session.items)
        self.items = {item.stash[PLANNED].id: item for item in session.items}
        return True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file whose checks pytest refuses, for example for a wrong parametrization."""
        if report.failed:
            planned = planned_file(Path(report.nodeid))
            reason = f"pytest cannot collect it: {report.longreprtext.strip().splitlines()[-1]}"
            result = unanswered(planned, Status.BROKEN, reason, self.context.place)
            self.refused.append(replace(result, traceback=report.longreprtext))

    def announce(self) -> None:
        """Say which checks this session will run, and which files hold none that can."""
        self.voice.say(kind="planned", checks=[item.stash[PLANNED].to_json() for item in self.items.values()])
        for result in self.refused:
            self.say_result(result)

    def start(self, item: pytest.Item) -> None:
        """Start the child of one item."""
        planned = item.stash[PLANNED]
        self.voice.say(kind="started", check=planned.id)
        if isinstance(item, Uncollected):
            self.say_result(item.result)
        else:
            self.children.start(planned.id, self.work(item), planned.deadline)

    def work(self, item: pytest.Item) -> isolate.Work | Sequence[str]:
        """Return what the child of `item` does."""
        return partial(self.answers.run, item)

    def say_result(self, result: Result) -> None:
        """Send one result on its way."""
        self.voice.say(kind="result", result=result.to_json())

    def gather(self, timeout: float) -> None:
        """Wait for children, and say what came of those that ended."""
        for key, ending in self.children.wait(timeout):
            self.say_result(result_of(self.items[key].stash[PLANNED], ending, self.context.place))


class Front(Session):
    """The session in the worker itself: all checks but those that want what the stage has imported."""

    def __init__(self, request: Request, config: Config, voice: Voice, context: Context) -> None:
        super().__init__(request, config, voice, context)
        self.stage: Stage | None = None
        self.remote: dict[str, Planned] = {}
        self._serving = False
        self._unheard: list[Path] = []
        self._reader = wire.Reader()
        if config.imports and not request.plan_only:
            self._start_stage()

    def _start_stage(self) -> None:
        config = self.config
        self.stage = Stage(config.imports, config.root, config.deadline, python=sys.executable, lent=self.request.lent)
        self.context.imported = self.stage.imported

    def belongs(self, planned: Planned, file: Path) -> bool:
        """Take what needs no import; note what the stage is to run."""
        if planned.needs and not self.request.plan_only:
            if chosen(planned, self.request.only, self.request.tags):
                self.remote[planned.id] = planned
            return False
        return True

    def files(self) -> list[Path]:
        """Return the check files that import nothing heavy when they are loaded."""
        if self.request.plan_only:
            return super().files()
        return [file for file in super().files() if file not in self.heavy_files()]

    def heavy_files(self) -> list[Path]:
        """Return the check files whose own imports are the experiment's: the stage loads these."""
        names = {entry.name.partition(".")[0] for entry in self.config.imports}
        own = [file for file in super().files() if file.parent != discovery.builtin()]
        return [file for file in own if names and discovery.imports_at_top(file, names)]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run everything, here and in the stage, until each check has its result."""
        self.announce()
        if self.request.plan_only:
            return True
        self._unheard = self.heavy_files()
        self._serving = bool(self.remote or self._unheard)
        if self._serving and self.stage is None:
            self._start_stage()
        if self.stage is not None:
            self._order_stage()
        waiting = list(self.items.values())
        isolate.freeze()
        while waiting or len(self.children) or self._serving:
            waiting = self._start_some(waiting)
            self._rest(0.0 if len(self.children) == 0 and waiting and self._can_start(waiting) else 0.2)
            self._hear_stage()
            self.voice.beat()
        self._end_stage()
        return True

    def _order_stage(self) -> None:
        if self._serving and self.stage is not None:
            needs = sorted({name for planned in self.remote.values() for name in planned.needs})
            order = {"request": asdict(self.request), "needs": needs}
            self.stage.order(json.dumps(order).encode() + b"\n")

    def _can_start(self, waiting: Sequence[pytest.Item]) -> bool:
        return any(self._may_start(item) for item in waiting)

    def _may_start(self, item: pytest.Item) -> bool:
        stage = self.stage
        return stage is None or stage.ready or all(name in stage.imported for name in awaited(item, self.config))

    def _start_some(self, waiting: list[pytest.Item]) -> list[pytest.Item]:
        later = []
        for item in waiting:
            if len(self.children) < _FRONT_SLOTS and self._may_start(item):
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
            os._exit(1)

    def _hear_stage(self) -> None:
        stage = self.stage
        if stage is None or stage.gone:
            return
        pid = stage.pid
        data = stage.read()
        if stage.pid != pid:
            self._order_stage()
        for message in self._reader.feed(data):
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
        if stage.gone and self._serving:
            self._serving = False
            reason = f"the process that had imported the experiment is gone: {stage.gone}"
            for planned in [*self.remote.values(), *map(planned_file, self._unheard)]:
                self.say_result(unanswered(planned, Status.BROKEN, reason, self.context.place))

    def _end_stage(self) -> None:
        if self.stage is not None:
            self.stage.close()
            self.stage = None

    def close(self) -> None:
        """Kill whatever still runs, also what slipped out of its group."""
        self._end_stage()
        self.children.kill()
        sweep()


class Served(Session):
    """The session in the stage: the checks that want what has been imported here."""

    def __init__(self, request: Request, config: Config, voice: Voice, context: Context) -> None:
        super().__init__(request, config, voice, context)
        self._heavy: set[Path] = set()
        self._hazard = fork_hazard()

    def files(self) -> list[Path]:
        """Return all check files: those with a check that needs something are known once they are loaded."""
        names = {entry.name.partition(".")[0] for entry in self.config.imports}
        files = super().files()
        self._heavy = {f for f in files if f.parent != discovery.builtin() and discovery.imports_at_top(f, names)}
        return files

    def belongs(self, planned: Planned, file: Path) -> bool:
        """Take what needs a module, or stands in a file that imports one."""
        return bool(planned.needs) or file in self._heavy

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the items that can be run, as many at once as there are processors."""
        if self.request.inline:
            isolate.answer(partial(self.answers.run, self.items[self.request.inline]), *self.inline_ends)
        self.announce()
        slots = os.cpu_count() or 1
        waiting = list(self.items.values())
        isolate.freeze()
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

    inline_ends: tuple[int, int, float] = (-1, -1, 60.0)

    def work(self, item: pytest.Item) -> isolate.Work | Sequence[str]:
        """Return the work of a fork, or of a fresh interpreter where a fork is unsafe."""
        if not self._hazard:
            return super().work(item)
        order = Path(self.context.scratch, f"order-{os.getpid()}-{len(os.listdir(self.context.scratch))}.json")
        planned = item.stash[PLANNED]
        request = {**asdict(self.request), "inline": planned.id}
        order.write_text(json.dumps({"request": request, "needs": list(planned.needs)}) + "\n")
        names = [f"{entry.name}={planned.deadline}" for entry in self.config.imports if self._is_usable(entry.name)]
        start = [sys.executable, boot.__file__, "check", self.request.lent, str(self.config.root)]
        return [*start, "{trace}", "{answer}", str(order), *names]

    def _is_usable(self, name: str) -> bool:
        facts = self.context.imported.get(name)
        return facts is None or facts.outcome is Outcome.IMPORTED

    def _unusable(self, planned: Planned) -> str:
        for name in planned.needs:
            facts = self.context.imported.get(name)
            if facts is not None and facts.outcome is not Outcome.IMPORTED:
                why = "is not installed" if facts.outcome is Outcome.MISSING else "cannot be imported"
                return f"needs {name}, which {why}"
        return ""


def work(path: Sequence[str]) -> None:
    """Be a worker: read a request from standard input, answer on standard output; `path` is `sys.path` as the job has it."""
    voice = Voice(os.dup(1))
    os.dup2(2, 1)
    adopt_orphans()
    request = Request(**json.loads(sys.stdin.buffer.readline()))
    with tempfile.TemporaryDirectory(prefix="preflight-", ignore_cleanup_errors=True) as scratch:
        config, context = _prepare(request, scratch)
        front = Front(replace(request, scratch=scratch), config, voice, context)
        sys.path[:] = path if sys.flags.safe_path else [str(config.root), *path]
        code = _host(front)
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
    if request.inline:
        served.inline_ends = (answers, trace, config.deadline)
    _host(served)
    os._exit(0)


def _prepare(request: Request, scratch: str) -> tuple[Config, Context]:
    source = Path(request.source) if request.source else None
    config = configuration.load(source, text=request.text, root=Path(request.root))
    return config, Context(config, Path(scratch), request.place, trusted=discovery.builtin())


def _host(session: Session) -> int:
    """Run a pytest that is only ours, and return its exit code."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    switched_off = [word for name in _UNWANTED for word in ("-p", f"no:{name}")]
    keyword = ["-k", session.request.keyword] if session.request.keyword else []
    rootdir = f"--rootdir={session.config.root}"
    plugins = [CheckPlugin(session.context), fixtures, session.answers, session]
    return int(pytest.main([*_PYTEST_ARGUMENTS, *switched_off, rootdir, *keyword], plugins=plugins))


def _double(item: pytest.Item, owner: str, place: str) -> pytest.Item:
    planned = item.stash[PLANNED]
    reason = f"{item.path} holds a check with the id {planned.id}, which {owner} has already: rename the function"
    result = unanswered(planned, Status.BROKEN, reason, place)
    planned = replace(planned, id=f"{planned.id} (double)")
    double = Uncollected.from_parent(item.parent, name=planned.id, result=replace(result, check=planned.id))
    double.stash[PLANNED] = planned
    return double


def sweep() -> None:
    """Kill what was adopted from children: processes that had left their group."""
    for _ in range(20):
        found = children_of(os.getpid())
        for pid in found:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)
