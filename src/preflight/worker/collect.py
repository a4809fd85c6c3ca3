"""Check files as pytest items: loaded by path, tried in a child first, one item for each entry."""

from __future__ import annotations

import ast
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from preflight import config as configuration
from preflight.config import Config, Import, Rehearsal
from preflight.isolation import children
from preflight.isolation.child import Send
from preflight.isolation.children import How
from preflight.isolation.endings import why_broken
from preflight.model import Planned, Result, Status
from preflight.system.modules import Imported
from preflight.words import ON_REQUEST, Terms, terms_of
from preflight.worker.request import Request, is_named

if TYPE_CHECKING:
    from preflight.system.gpu.facts import Gpus


# The seconds that a run of the program takes beside the program's own.
_START_AND_END = 5.0
# The program and what goes on from it, and both once more where it wanted all of its data.
_STANDARD_RUNS = 4


@dataclass(slots=True)
class Context:
    """What the checks of one session share: the config, the folder for scratch, how imports went, where this is.

    `gpus` are facts to be judged in place of this machine's, None for its own. `trusted` is the folder of the built-in
    checks, which need no trial. `path` and `modules` are what the job has in `sys.path` and `sys.modules` where
    preflight has it otherwise; checks in the folder `shielded` never see that.
    """

    config: Config
    scratch: Path
    place: str = "local"
    imported: dict[str, Imported] = field(default_factory=dict)
    gpus: Gpus | None = None
    trusted: Path | None = None
    shielded: Path | None = None
    path: Sequence[str] = ()
    modules: Mapping[str, types.ModuleType] = field(default_factory=dict)

    @contextmanager
    def as_the_job(self, file: Path | None = None) -> Iterator[None]:
        """Have `sys.path` and `sys.modules` as the job has them, unless the checks in `file` are shielded from that."""
        if file is not None and file.parent == self.shielded:
            yield
            return
        sys.dont_write_bytecode, cached = True, sys.dont_write_bytecode
        path, modules = list(sys.path), {name: sys.modules.pop(name, None) for name in self.modules}
        sys.path[:] = self.path or path
        sys.modules.update(self.modules)
        try:
            yield
        finally:
            sys.dont_write_bytecode = cached
            sys.path[:] = path
            for name, module in modules.items():
                sys.modules.pop(name, None)
                if module is not None:
                    sys.modules[name] = module


CONTEXT = pytest.StashKey[Context]()
PLANNED = pytest.StashKey[Planned]()


class CheckFile(pytest.Module):
    """One `check_*.py`, as a collector whose module belongs to no package of the user's."""

    def _getobj(self) -> types.ModuleType:
        with self.config.stash[CONTEXT].as_the_job(self.path):
            return load(self.path, self.config)

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Collect the checks, or one item that says why there are none."""
        context = self.config.stash[CONTEXT]
        problem = None if self.path.parent == context.trusted else self._problem(context)
        if problem is None:
            return super().collect()
        planned = planned_file(self.path)
        return [Uncollected.from_parent(self, name=planned.id, result=problem)]

    def _problem(self, context: Context) -> Result | None:
        """Import the file in a child; return what is to be said where that does not end well."""
        deadline = context.config.deadline
        ending = children.run(self._try, deadline)
        told = next((message for message in ending.messages if "checks" in message or "raised" in message), {})
        if ending.how is How.FINISHED and told.get("checks"):
            return None
        if "raised" in told:
            reason = f"{self.path.name} cannot be imported: {told['raised']}"
        elif ending.how is How.FINISHED:
            reason = f"{self.path.name} holds no check: no function in it is named check_*"
        else:
            reason = f"{self.path.name} cannot be imported: {why_broken(ending)}"
        return Result(
            check=planned_file(self.path).id,
            status=Status.BROKEN,
            title=f"{self.path.name} can be collected",
            reason=reason,
            place=context.place,
            started=ending.started,
            seconds=ending.seconds,
            output=ending.output,
            traceback=told.get("traceback", ending.stack),
            file=str(self.path),
            line=told.get("line", 0),
        )

    def _try(self, send: Send) -> None:
        try:
            module = self._getobj()
        except BaseException as problem:  # noqa: BLE001 - whatever the file does is the answer
            import traceback

            lines = [
                frame.lineno
                for frame in traceback.extract_tb(problem.__traceback__)
                if frame.filename == str(self.path)
            ]
            line = getattr(problem, "lineno", None) or (lines[-1] if lines else 0)
            text = "".join(traceback.format_exception(problem))
            send({"raised": f"{type(problem).__name__}: {problem}", "line": line, "traceback": text})
        else:
            send({"checks": sum(_is_check(name, value, module) for name, value in vars(module).items())})


class Uncollected(pytest.Item):
    """Stands for a check file that could not be collected; its result is known."""

    def __init__(self, *, result: Result, **more: Any) -> None:
        super().__init__(**more)
        self.stash[PLANNED] = planned_file(self.path)
        self.result = result

    def runtest(self) -> None:
        """Fail with the reason, for a pytest that runs items by itself."""
        pytest.fail(self.result.reason, pytrace=False)


def load(path: Path, config: pytest.Config) -> types.ModuleType:
    """Import the check file at `path` under a name that nothing else has.

    `from .other import …` finds the files beside it. Raises whatever the file raises.
    """
    package_name = "preflight_checks_" + re.sub(r"\W", "_", str(path.parent))
    name = f"{package_name}.{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    if package_name not in sys.modules:
        package = types.ModuleType(package_name)
        package.__path__ = [str(path.parent)]
        sys.modules[package_name] = package
    code = _code_of(path, name, config)
    module = types.ModuleType(name)
    module.__file__ = str(path)
    module.__package__ = package_name
    module.__spec__ = ModuleSpec(name, None, origin=str(path))
    sys.modules[name] = module
    try:
        exec(code, vars(module))  # noqa: S102 - this is an import
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _code_of(path: Path, name: str, config: pytest.Config) -> types.CodeType:
    """Return the code of a check file, its asserts rewritten; that of the built-in ones is Python's to cache."""
    if path.parent == config.stash[CONTEXT].trusted:
        cached = SourceFileLoader(name, str(path)).get_code(name)
        assert cached is not None
        return cached
    from _pytest.assertion.rewrite import rewrite_asserts

    source = path.read_bytes()
    tree = ast.parse(source, filename=str(path))
    rewrite_asserts(tree, source, str(path), config)
    return compile(tree, str(path), "exec", dont_inherit=True)


class CheckPlugin:
    """The pytest hooks that make items of checks."""

    def __init__(self, context: Context, tags: Sequence[str] = ()) -> None:
        self._context = context
        self._tags = tags

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Hand the context to those who ask the pytest config for it."""
        config.stash[CONTEXT] = self._context

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(
        self, collector: pytest.Collector, name: str, obj: object
    ) -> list[pytest.Item] | None:
        """Make items of the checks in a check file, and of nothing else in it."""
        if not isinstance(collector, CheckFile):
            return None
        if not _is_check(name, obj, collector.obj):
            return []
        if not self._takes_part(terms := terms_of(obj)):  # type: ignore[arg-type]
            return []
        items: list[pytest.Item] = list(collector._genfunctions(name, obj))  # noqa: SLF001 - as pytest-asyncio does
        for item in items:
            item.stash[PLANNED] = self._plan(item, terms)
            item.extra_keyword_matches.add(item.stash[PLANNED].id)
        return items

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give a check that is `per` something its entries."""
        per = terms_of(metafunc.function).per
        if per == "gpu":
            from preflight.system.gpu.presence import count_shown

            gpu = self._context.config.gpu
            metafunc.parametrize("device", range((gpu and gpu.count) or count_shown()))
        elif per:
            entries = configuration.entries(self._context.config, per)
            metafunc.parametrize("entry", entries, ids=[configuration.label(entry) for entry in entries])

    def _takes_part(self, terms: Terms) -> bool:
        """Tell whether the config, or the selection, has what a check is about."""
        if self._context.gpus is not None and _uses_devices(terms):
            return False  # facts of another machine are judged, so no device is there to be touched
        if not terms.when or configuration.asked(self._context.config, terms.when):
            return True
        is_named = bool({*terms.tags} & ON_REQUEST & {*self._tags})
        return is_named and configuration.asked(self._context.config, terms.when.partition(".")[0])

    def _plan(self, item: Any, terms: Terms) -> Planned:
        function = item.function
        page = (function.__doc__ or "").strip()
        name = item.originalname.removeprefix("check_").replace("_", "-")
        params = f"[{item.callspec.id}]" if hasattr(item, "callspec") else ""
        entry = item.callspec.params.get("entry") if params else None
        config = self._context.config
        return Planned(
            id=f"{family_of(item.path)}.{name}{params}",
            title=page.partition("\n")[0],
            page=page,
            file=str(item.path),
            line=function.__code__.co_firstlineno,
            tags=terms.tags,
            asked=bool(terms.when) and configuration.asked(config, terms.when),
            deadline=getattr(entry, "deadline", None) or terms.timeout or self._deadline(item, terms),
            needs=() if _is_idle(terms, config.root) else terms.needs,
            at=terms.at,
        )

    def _deadline(self, item: Any, terms: Terms) -> float:
        """Return the seconds of a check: its section's own, or the common ones and those of the runs it waits for."""
        config = self._context.config
        section = getattr(config, terms.when.partition(".")[0], None)
        runs = max(terms.runs, _STANDARD_RUNS if "rehearsed" in item.fixturenames else 0)
        each = (config.rehearsal or Rehearsal()).time + _START_AND_END
        return getattr(section, "deadline", None) or config.deadline + runs * each


def family_of(path: Path) -> str:
    """Return the family that a check file holds: `data` for `check_data.py`."""
    return path.stem.removeprefix("check_").replace("_", "-")


def awaited(item: pytest.Item, config: Config) -> Iterator[str]:
    """Yield the modules whose import must have been tried before `item` can run."""
    if "imported" not in getattr(item, "fixturenames", ()):
        return
    entry = item.callspec.params.get("entry") if hasattr(item, "callspec") else None
    for each in config.imports:
        yield each.name
        if isinstance(entry, Import) and each.name == entry.name:
            return


def chosen(planned: Planned, request: Request) -> bool:
    """Tell whether a selection by id, tag and side takes this check; an empty selection takes all."""
    named = not request.only or any(is_named(planned.id, name) for name in request.only)
    tagged = not request.tags or any(tag in planned.tags for tag in request.tags)
    return named and tagged and (not request.at or planned.at in request.at)


def _is_check(name: str, value: object, module: types.ModuleType) -> bool:
    own = getattr(value, "__module__", None) == module.__name__
    return name.startswith("check_") and isinstance(value, types.FunctionType) and own


def _uses_devices(terms: Terms) -> bool:
    """Tell whether a check computes on GPUs, in place of only judging what is known of them."""
    return bool(terms.needs) and terms.when.partition(".")[0] == "gpu"


def _is_idle(terms: Terms, root: Path) -> bool:
    """Tell whether a check would compute where there is no GPU, or no torch: it says so without either."""
    if not _uses_devices(terms):
        return False
    from preflight.system.gpu.presence import is_any_here
    from preflight.system.origins import SearchPath, Source

    return not is_any_here() or SearchPath.of(root).find("torch", *Source) is None


def planned_file(path: Path) -> Planned:
    """Return what stands for a check file as a whole, where it cannot be collected."""
    return Planned(id=f"{family_of(path)}.can-be-collected", title=f"{path.name} can be collected", file=str(path))


def unique(planned: Iterable[tuple[pytest.Item, Planned]]) -> Mapping[str, str]:
    """Return, for the node id of each item whose check id was taken before, the file that took it."""
    owners: dict[str, str] = {}
    taken: dict[str, str] = {}
    for item, each in planned:
        owner = owners.setdefault(each.id, each.file)
        if owner != each.file:
            taken[item.nodeid] = owner
    return taken
