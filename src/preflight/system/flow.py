"""Where a program's texts come from: config keys, variables and literals, followed through names, calls and joins."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from preflight.system.code import Source, dotted
from preflight.system.events import Conditions, Event, Scopes, events_of
from preflight.system.strings import MOST_ORIGINS, Origin, Part, Variable, concatenated, cut, joined, without_beginnings

ROUNDS = 5
_DEEPEST = 30

# Calls by the last part of their name.
# fmt: off
LISTS = frozenset({"glob", "iglob", "rglob", "iterdir", "listdir", "scandir", "walk"})
_SAME = frozenset({
    "Path", "PurePath", "PosixPath", "str", "fspath", "expandvars", "expanduser", "abspath", "realpath", "normpath",
    "sorted", "list", "tuple", "set", "reversed", "iter", "tqdm", "resolve", "absolute", "as_posix", "as_uri", "strip",
    "rstrip", "lstrip", "to_absolute_path",
})
_JOINS = frozenset({"join", "joinpath", "Path", "PurePath"})
_BELOW = LISTS - {"listdir"} | {"dirname", "with_suffix", "with_name", "enumerate"}
_HOOKS = frozenset({
    "setup", "prepare_data", "forward", "training_step", "validation_step", "test_step", "train_dataloader",
    "val_dataloader", "test_dataloader", "configure_optimizers",
})
# fmt: on

# What may give a name a value.
_BINDING = (ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.For, ast.comprehension, ast.Return, ast.Call)
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Flow:
    """Binds names to origins until nothing new is learnt, function calls included."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.values: dict[tuple[object, str], set[Origin]] = {}
        self.defaults: dict[str, Origin] = {}
        self._depth = 0
        self._ways: dict[Function, Conditions] = {}
        self.modules: dict[tuple[Path, str], str] = {}
        self.functions: dict[str, list[Function]] = {}
        self._methods: set[Function] = set()
        self._own_modules = _modules_of([source.path for source in sources])
        self.events = [event for source in sources for event in events_of(source)]
        for event in self.events:
            self._learn_name(event)
        binding = [event for event in self.events if isinstance(event.node, _BINDING)]
        for _ in range(ROUNDS):
            known = sum(map(len, self.values.values()))
            for event in binding:
                self._learn_values(event)
            if sum(map(len, self.values.values())) == known:
                break

    def _learn_name(self, event: Event) -> None:
        match event.node:
            case ast.Import():
                for alias in event.node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    self.modules[event.source.path, name] = alias.name if alias.asname else name
            case ast.ImportFrom():
                for alias in event.node.names:
                    self.modules[event.source.path, alias.asname or alias.name] = f"{event.node.module}.{alias.name}"
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.functions.setdefault(event.node.name, []).append(event.node)
            case ast.ClassDef():
                methods = [each for each in event.node.body if isinstance(each, Function)]
                self._methods |= set(methods)
                starts = [each for each in methods if each.name == "__init__"]
                self.functions.setdefault(event.node.name, []).extend(starts)

    def called(self, event: Event) -> str:
        """Return the full name of what is called: `numpy.load` for `np.load`."""
        assert isinstance(event.node, ast.Call)
        return self.full_name(event.node.func, event.source)

    def called_name(self, node: ast.Call, event: Event) -> str:
        """Return the full name of what a call within `event` calls."""
        return self.full_name(node.func, event.source)

    def name(self, node: ast.Call, event: Event) -> str:
        """Return the last part of the name of what is called."""
        return self.called_name(node, event).rpartition(".")[2]

    def full_name(self, node: ast.expr, source: Source) -> str:
        """Return the dotted name of `node` with what the file's imports say of its first part."""
        first, dot, rest = dotted(node).partition(".")
        if not first and isinstance(node, ast.Attribute):
            return f".{node.attr}"
        return self.modules.get((source.path, first), first) + dot + rest

    # Where texts come from

    def origins(self, node: ast.AST | None, event: Event) -> set[Origin]:
        """Return what `node` may stand for."""
        rule = _RULES.get(type(node)) if node else None
        if rule is None or self._depth > _DEEPEST:
            return set()
        self._depth += 1
        found = rule(self, node, event)
        self._depth -= 1
        return set(sorted(without_beginnings(found), key=str)[:MOST_ORIGINS])

    def look_up(self, name: str, scopes: Scopes) -> set[Origin]:
        """Return what a name is bound to in the innermost scope that knows it."""
        return next((found for scope in scopes if (found := self.values.get((scope, name)))), set())

    def attribute(self, node: ast.Attribute, event: Event) -> set[Origin]:
        """Return what `self.name`, `path.parent` or `config.key` is."""
        if dotted(node.value) == "self" and (found := self.values.get(("self", node.attr))):
            return found
        if self._is_module(node.value, event):
            return set()
        base = self.origins(node.value, event)
        if node.attr in ("parent", "parents") and base:
            return cut(base)
        if not base or any(origin.key for origin in base):
            return self.below(base, node.attr)
        return base if node.attr == "path" else set()

    def below(self, base: set[Origin], name: str) -> set[Origin]:
        """Return the config key that `base[name]` or `base.name` is; an unknown base counts as the whole config."""
        keys = [origin.key for origin in base if origin.key]
        return {Origin(((*key, name),)) for key in keys or [()]}

    def returned(self, node: ast.Call, event: Event) -> set[Origin]:
        """Return what a call gives back, as far as it is a path."""
        name = self.name(node, event)
        arguments = [self.origins(each, event) for each in node.args]
        receiver = self.receiver(node, event)
        found: set[Origin] = set()
        match node.func, node.args:
            case _ if part := _surroundings(self.called_name(node, event), node.args):
                found = {Origin((part,))}
            case ast.Attribute(attr="get", value=base), [ast.Constant(value=str(key)), *default]:
                found = self.below(self.origins(base, event), key).union(
                    *(self.origins(each, event) for each in default)
                )
            case ast.Name(id="getattr"), [base, ast.Constant(value=str(key)), *_]:
                found = self.below(self.origins(base, event), key)
            case _ if name in _JOINS and len(arguments) + bool(receiver) > 1:
                found = joined([*([receiver] if receiver else []), *arguments])
            case _ if name in _SAME or name in _BELOW:
                found = receiver or (arguments[0] if arguments else set())
                found = found if name in _SAME else cut(found)
            case _:
                for function in self.own_functions(node, event):
                    found |= self.values.get((function, "return"), set())
        return found

    def receiver(self, node: ast.Call, event: Event) -> set[Origin]:
        """Return the path that a method is called on."""
        if not isinstance(node.func, ast.Attribute) or self._is_module(node.func.value, event):
            return set()
        return self.origins(node.func.value, event)

    def _is_module(self, node: ast.expr, event: Event) -> bool:
        return (event.source.path, dotted(node).partition(".")[0]) in self.modules

    def subject(self, node: ast.Call, event: Event) -> set[Origin]:
        """Return what a call is about: what its method is called on, else its first argument."""
        name, found = self.name(node, event), self.receiver(node, event)
        if name in ("glob", "rglob") and node.args and found:
            return joined([found, *([{Origin(("**",))}] if name == "rglob" else []), self.origins(node.args[0], event)])
        return found or (self.origins(node.args[0], event) if node.args else set())

    def arguments(self, node: ast.Call, event: Event, *, first: bool = False) -> set[Origin]:
        """Return all that stands between the brackets without a keyword, or the first of it."""
        return {each for argument in node.args[: 1 if first else None] for each in self.origins(argument, event)}

    def own_functions(self, node: ast.Call, event: Event) -> list[Function]:
        """Return the project's functions that a call may mean, `__init__` for a class."""
        first, _, name = self.called_name(node, event).rpartition(".")
        if self._is_foreign(node.func, event, first.partition(".")[0] or name):
            return []
        found = self.functions.get(name, [])
        is_method = isinstance(node.func, ast.Attribute) and not self._is_module(node.func.value, event)
        found = [each for each in found if each.name == "__init__" or (each in self._methods) == is_method]
        return found if not is_method or len(found) == 1 else []

    # How the program comes to a place

    @cached_property
    def callers(self) -> dict[int, list[Event]]:
        """The calls of each of the project's functions, by its identity."""
        found: dict[int, list[Event]] = {}
        for event in self.events:
            if isinstance(event.node, ast.Call):
                for function in self.own_functions(event.node, event):
                    if function not in event.scopes:
                        found.setdefault(id(function), []).append(event)
        return found

    @cached_property
    def _mentioned(self) -> set[str]:
        nodes = [event.node for event in self.events]
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}

    def conditions(self, event: Event) -> Conditions:
        """Return what must hold for the program to come to a place, by the easiest of the ways that are known."""
        function = event.scopes[0]
        return self._conditions_of(function) + event.conditions if isinstance(function, Function) else event.conditions

    def _conditions_of(self, function: Function) -> Conditions:
        """Return what must hold for the program to come to a function."""
        if function not in self._ways:
            # Where functions call each other in a circle, that is no way to come to them.
            self._ways[function] = (None,)
            # The library that the program uses calls what overrides a method of it; what has a name of its own, nobody.
            is_called = function.name in _HOOKS or function.name.startswith("__") or function.decorator_list
            is_one = len(self.functions[function.name]) == 1 and function.name in self._mentioned
            ways = [self.conditions(caller) for caller in self.callers.get(id(function), [])]
            self._ways[function] = min(ways, key=len, default=() if is_called or is_one else (None,))
        return self._ways[function]

    def is_certain(self, event: Event) -> bool:
        """Tell whether the program comes to a place without a condition."""
        return not self.conditions(event)

    def _is_foreign(self, function: ast.expr, event: Event, module: str) -> bool:
        """Tell whether a function is one of a module that is not the project's."""
        is_imported = (event.source.path, dotted(function).partition(".")[0]) in self.modules
        return is_imported and module not in {"None", *self._own_modules}

    # What binds a name

    def _learn_values(self, event: Event) -> None:
        match event.node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(target, value, event)
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
                self._bind(target, value, event)
            case ast.For(target=target, iter=iterated) | ast.comprehension(target=target, iter=iterated):
                found = self.origins(iterated, event)
                self._put(target, found if isinstance(iterated, ast.List | ast.Tuple) else cut(found), event)
            case ast.Return(value=ast.expr() as value):
                self._add(event.scopes[0], "return", self.origins(value, event))
            case ast.Call():
                self._bind_arguments(event.node, event)

    def _bind(self, target: ast.expr, value: ast.expr, event: Event) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for each, part in zip(target.elts, value.elts, strict=True):
                self._bind(each, part, event)
        else:
            self._put(target, self.origins(value, event), event)

    def _put(self, target: ast.expr, found: set[Origin], event: Event) -> None:
        match target:
            case ast.Name(id=name):
                self._add(event.scopes[0], name, found)
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                self._add("self", name, found)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                for each in targets:
                    self._put(each, cut(found), event)

    def _bind_arguments(self, node: ast.Call, event: Event) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            self._note_default(node, event)
        for function in self.own_functions(node, event):
            names = [each.arg for each in [*function.args.posonlyargs, *function.args.args]]
            if names[:1] in (["self"], ["cls"]):
                names = names[1:]
            for name, argument in zip(names, node.args, strict=False):
                self._add(function, name, self.origins(argument, event))
            given = {keyword.arg for keyword in node.keywords}
            rest = [*names[len(node.args) :], *(each.arg for each in function.args.kwonlyargs)]
            for keyword in node.keywords:
                found = self.origins(keyword.value, event)
                if keyword.arg:
                    self._add(function, keyword.arg, found)
                elif any(origin.key for origin in found):
                    for name in (each for each in rest if each not in given):
                        self._add(function, name, self.below(found, name))

    def _note_default(self, node: ast.Call, event: Event) -> None:
        """Learn the default of an option: `add_argument("--data-dir", default="data")`."""
        flags = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        names = [flag.lstrip("-").replace("-", "_") for flag in flags if flag.startswith("--")] or flags
        for keyword in node.keywords:
            if keyword.arg == "default" and names:
                self.defaults.update((names[0], origin) for origin in self.origins(keyword.value, event))

    def _add(self, scope: object, name: str, found: set[Origin]) -> None:
        if found:
            self.values.setdefault((scope, name), set()).update(found)


def _modules_of(files: Sequence[Path]) -> set[str]:
    """Return by which first names the project's own modules may be imported."""
    if not files:
        return set()
    files = [file.absolute() for file in files]
    top = Path(os.path.commonpath([file.parent for file in files]))
    return {top.name, *(part for file in files for part in file.relative_to(top).with_suffix("").parts)}


def _subscript(flow: Flow, node: ast.Subscript, event: Event) -> set[Origin]:
    match node.slice:
        case ast.Constant(value=str(name)) if flow.full_name(node.value, event.source) == "os.environ":
            return {Origin((Variable(name),))}
        case ast.Constant(value=str(name)):
            return flow.below(flow.origins(node.value, event), name)
    return cut(flow.origins(node.value, event))


def _operation(flow: Flow, node: ast.BinOp, event: Event) -> set[Origin]:
    sides = [flow.origins(node.left, event), flow.origins(node.right, event)]
    if isinstance(node.op, ast.Add):
        return concatenated(sides)
    return joined(sides) if isinstance(node.op, ast.Div) else set()


def _formatted(flow: Flow, node: ast.JoinedStr, event: Event) -> set[Origin]:
    pieces = [each.value if isinstance(each, ast.FormattedValue) else each for each in node.values]
    return concatenated([flow.origins(each, event) for each in pieces])


def _either(flow: Flow, node: ast.BoolOp | ast.IfExp, event: Event) -> set[Origin]:
    values = node.values if isinstance(node, ast.BoolOp) else [node.body, node.orelse]
    return {each for value in values for each in flow.origins(value, event)}


def _elements(flow: Flow, node: ast.List | ast.Tuple, event: Event) -> set[Origin]:
    return {each for element in node.elts for each in flow.origins(element, event)}


def _comprehension(flow: Flow, node: ast.ListComp | ast.GeneratorExp, event: Event) -> set[Origin]:
    return cut(flow.origins(node.elt, event))


def _surroundings(called: str, arguments: Sequence[ast.expr]) -> Part | None:
    """Return what a call takes from the user's surroundings: `os.environ.get("NAME", "default")`, the home folder."""
    match arguments:
        case [] if called == "pathlib.Path.home":
            return "~"
        case [] if called == "tempfile.gettempdir":
            return Variable("TMPDIR", "/tmp")  # noqa: S108
        case [ast.Constant(value=str(name)), *rest] if called in ("os.environ.get", "os.getenv"):
            default = rest[0].value if rest and isinstance(rest[0], ast.Constant) else ""
            return Variable(name, default if isinstance(default, str) else "")
    return None


def _constant(node: ast.Constant) -> set[Origin]:
    return {Origin((str(node.value),))} if type(node.value) in (str, int) else set()


_RULES: dict[type[ast.AST], Callable[[Flow, Any, Event], set[Origin]]] = {
    ast.Constant: lambda _flow, node, _event: _constant(node),
    ast.Name: lambda flow, node, event: flow.look_up(node.id, event.scopes),
    ast.Attribute: lambda flow, node, event: flow.attribute(node, event),
    ast.Subscript: _subscript,
    ast.BinOp: _operation,
    ast.JoinedStr: _formatted,
    ast.BoolOp: _either,
    ast.IfExp: _either,
    ast.List: _elements,
    ast.Tuple: _elements,
    ast.ListComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.Call: lambda flow, node, event: flow.returned(node, event),
}
