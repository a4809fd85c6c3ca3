"""The names that a program surely takes from modules it does not hold itself, and whether they are there."""

from __future__ import annotations

import ast
import importlib.util
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from preflight.system.code import Program, Source, dotted, is_main_guard

_ASKING = {"hasattr", "getattr", "setattr", "delattr"}
_HARMLESS = {"KeyboardInterrupt", "SystemExit", "GeneratorExit", "OSError", "FileNotFoundError"}
_LEAVES = (ast.Return, ast.Break, ast.Continue)
# Methods that run without being mentioned, once their class is used.
_UNMENTIONED = {"__init__", "__len__", "__getitem__", "__iter__", "__call__", "forward", "training_step"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The name after name that the program takes from a module, and where it first does so."""

    module: str
    names: tuple[str, ...]
    file: Path
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A name that a module, which came from `origin`, does not have; `reason` is what the module itself says of it."""

    module: str
    origin: str
    name: str
    reason: str
    taken: Taken


@dataclass(slots=True)
class _Part:
    """What a function, or the top level of a file, does whenever it runs: names it takes, names it mentions."""

    calls: frozenset[str] = frozenset()
    taken: list[Taken] = field(default_factory=list)
    mentioned: set[str] = field(default_factory=set)


def taken_names(program: Program, module: str = "") -> list[Taken]:
    """Return the names that the program takes whenever it runs to its end, from `module` or from all not its own.

    What stands in a `try`, under a condition or in a function that nobody calls unconditionally is left out, and so
    are names that the program itself asks for by `hasattr` or the like, or sets.
    """
    foreign = {named.name.partition(".")[0] for named in program.imports} | sys.stdlib_module_names
    foreign = {name for name in foreign if not any(_holds(source.path.parent, name) for source in program.sources)}
    foreign = {module} if module else foreign
    readers = [_Reader(source, foreign) for source in program.sources]
    parts = [part for reader in readers for part in reader.parts]
    running = [part for part in parts if not part.calls]
    asleep = [part for part in parts if part.calls]
    mentioned: set[str] = set()
    for part in running:
        mentioned |= part.mentioned
        awake = [each for each in asleep if each.calls <= mentioned]
        asleep = [each for each in asleep if not each.calls <= mentioned]
        running += awake
    own = {name for source in program.sources for name in _asked_or_set(source.tree)}
    found: dict[tuple[str, tuple[str, ...]], Taken] = {}
    for taken in (each for part in running for each in part.taken):
        if not own & set(taken.names) and not any(name.startswith("__") for name in taken.names):
            found.setdefault((taken.module, taken.names), taken)
    return list(found.values())


def gone(taken: Iterable[Taken]) -> Iterator[Gone]:
    """Yield what the modules, as they are imported in this very process, do not have; nothing is imported for it."""
    seen = set()
    for each in taken:
        found = _first_gone(each)
        if found and (found.module, found.name) not in seen:
            seen.add((found.module, found.name))
            yield found


def is_unknown(module: str) -> bool:
    """Say whether a top-level module is installed and not imported here, so that what it would change is unknown."""
    if module in sys.modules or module in sys.stdlib_module_names:
        return False
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return True


def _first_gone(taken: Taken) -> Gone | None:
    steps = [*taken.module.split(".")[1:], *taken.names]
    value: object = sys.modules.get(taken.module.partition(".")[0])
    for step in steps:
        # A class may have been given more; what only looks like a module makes its names up (torch.ops).
        module = value
        if not isinstance(module, ModuleType) or getattr(module, "__spec__", None) is None:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = getattr(module, step)
        except AttributeError as error:
            if step in dir(module) or _is_submodule(module, step):
                return None
            plain = str(error).startswith(f"module '{module.__name__}' has no attribute")
            origin, reason = getattr(module, "__file__", None) or "", "" if plain else " ".join(str(error).split())
            return Gone(module=module.__name__, origin=origin, name=step, reason=reason, taken=taken)
        except Exception:  # noqa: BLE001 - a module that loads its parts when asked may raise anything
            return None
    return None


def _is_submodule(module: ModuleType, name: str) -> bool:
    if not hasattr(module, "__path__"):
        return False
    try:
        return importlib.util.find_spec(f"{module.__name__}.{name}") is not None
    except (ImportError, AttributeError, ValueError):
        return True


def _holds(folder: Path, module: str) -> bool:
    return (folder / module).is_dir() or (folder / f"{module}.py").is_file()


def _asked_or_set(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.Call(func=function, args=arguments) if dotted(function).rpartition(".")[2] in _ASKING:
                yield from (
                    each.value for each in arguments if isinstance(each, ast.Constant) and isinstance(each.value, str)
                )


class _Reader:
    """Goes through one file as Python would, with what of it is certain."""

    def __init__(self, source: Source, foreign: set[str]) -> None:
        self._file = source.path
        self._modules = _bound_modules(source.tree, foreign)
        self._foreign = foreign
        self.parts = [_Part()]
        self._block(source.tree.body, self.parts[0])

    def _block(self, body: Sequence[ast.stmt], part: _Part) -> None:
        for statement in body:
            self._statement(statement, part)
            # What follows `if old: return …` may be there for new versions only.
            if isinstance(statement, ast.If) and any(isinstance(each, _LEAVES) for each in ast.walk(statement)):
                return

    def _statement(self, node: ast.stmt, part: _Part) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, part, frozenset({node.name}))
            case ast.ClassDef():
                self._class(node, part)
            case ast.Import() | ast.ImportFrom():
                self._import(node, part)
            case ast.AnnAssign():
                self._expression(node.value, part)
            case ast.Match() | ast.TryStar():
                pass
            case _ if hasattr(node, "body"):
                self._compound(node, part)
            case _:
                self._expression(node, part)

    def _compound(self, node: ast.stmt, part: _Part) -> None:
        """Go into what surely runs of a statement that holds others; a loop is taken to run at least once."""
        for field_name in ("test", "iter"):
            self._expression(getattr(node, field_name, None), part)
        match node:
            case ast.If(test=test, body=body):
                self._block(body if is_main_guard(test) else [], part)
            case ast.Try(body=body, handlers=handlers, finalbody=final):
                self._block([*(body if all(map(_is_harmless, handlers)) else []), *final], part)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                for item in items:
                    self._expression(item.context_expr, part)
                self._block([] if any("suppress" in ast.dump(item) for item in items) else body, part)
            case ast.For(body=body) | ast.AsyncFor(body=body) | ast.While(body=body):
                self._block(body, part)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, part: _Part, calls: frozenset[str]) -> None:
        for each in [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults]:
            self._expression(each, part)
        inner = _Part(calls)
        self.parts.append(inner)
        self._block(node.body, inner)

    def _class(self, node: ast.ClassDef, part: _Part) -> None:
        for each in [*node.decorator_list, *node.bases]:
            self._expression(each, part)
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                calls = {node.name} if statement.name in _UNMENTIONED else {node.name, statement.name}
                self._function(statement, part, frozenset(calls))
            else:
                self._statement(statement, part)

    def _import(self, node: ast.Import | ast.ImportFrom, part: _Part) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                self._take(alias.name, (), node, part)
            elif node.module and not node.level and alias.name != "*":
                self._take(node.module, (alias.name,), node, part)

    def _expression(self, node: ast.AST | None, part: _Part) -> None:
        match node:
            case None | ast.Lambda():
                return
            case ast.IfExp():
                self._expression(node.test, part)
                return
            case ast.BoolOp():
                self._expression(node.values[0], part)
                return
            case ast.Attribute():
                first, _, rest = dotted(node).partition(".")
                if first in self._modules:
                    module, names = self._modules[first]
                    self._take(module, (*names, *rest.split(".")), node, part)
                    return
                part.mentioned.add(node.attr)
            case ast.Name(id=name):
                part.mentioned.add(name)
        for child in ast.iter_child_nodes(node):
            self._expression(child, part)

    def _take(self, module: str, names: tuple[str, ...], node: ast.stmt | ast.expr, part: _Part) -> None:
        if module.partition(".")[0] in self._foreign:
            part.taken.append(Taken(module=module, names=names, file=self._file, line=node.lineno))


def _bound_modules(tree: ast.Module, foreign: set[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return what the names stand for that nothing but one and the same import binds."""
    bound: dict[str, set[tuple[str, tuple[str, ...]]]] = {}
    others = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    name = alias.asname or alias.name.partition(".")[0]
                    bound.setdefault(name, set()).add((alias.name if alias.asname else name, ()))
            case ast.ImportFrom(module=module, names=names, level=level):
                for alias in names:
                    origin = (module or "", (alias.name,)) if not level else ("", ())
                    bound.setdefault(alias.asname or alias.name, set()).add(origin)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                others.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                others.add(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                others.add(name)
    single = {name: next(iter(origins)) for name, origins in bound.items() if len(origins) == 1 and name not in others}
    return {name: origin for name, origin in single.items() if origin[0].partition(".")[0] in foreign}


def _is_harmless(handler: ast.ExceptHandler) -> bool:
    """Say whether the handler catches nothing that a missing name raises."""
    if handler.type is None:
        return False
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return all(dotted(kind).rpartition(".")[2] in _HARMLESS for kind in kinds)
