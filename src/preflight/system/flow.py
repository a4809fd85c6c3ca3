"""Where a program's texts come from: config keys and literals, followed through names, calls and joins."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preflight.system.code import Source, dotted, is_main_guard

ROUNDS = 5
_MOST_ORIGINS = 8
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
# fmt: on

Part = str | tuple[str, ...]
Scopes = tuple[object, ...]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Origin:
    """How a text is put together: keys of the config (tuples) and literal parts; not `whole` where more follows."""

    parts: tuple[Part, ...]
    whole: bool = True

    @property
    def key(self) -> tuple[str, ...]:
        """The config key that this is, wholly; empty where it is something else."""
        only = self.parts[0] if len(self.parts) == 1 and self.whole else ()
        return only if isinstance(only, tuple) else ()


@dataclass(frozen=True, slots=True)
class Event:
    """A node with the functions around it, the file's own scope last."""

    node: ast.AST
    scopes: Scopes
    source: Source
    certain: bool


class Flow:
    """Binds names to origins until nothing new is learnt, function calls included."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.values: dict[tuple[object, str], set[Origin]] = {}
        self.defaults: dict[str, Origin] = {}
        self._depth = 0
        self.modules: dict[tuple[Path, str], str] = {}
        self.functions: dict[str, list[Function]] = {}
        self.events = [event for source in sources for event in _events(source)]
        for event in self.events:
            self._learn_name(event)
        for _ in range(ROUNDS):
            known = sum(map(len, self.values.values()))
            for event in self.events:
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
                starts = [
                    each for each in event.node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"
                ]
                self.functions.setdefault(event.node.name, []).extend(starts)

    def called(self, event: Event) -> str:
        """Return the full name of what is called: `numpy.load` for `np.load`."""
        assert isinstance(event.node, ast.Call)
        return self.full_name(event.node.func, event.source)

    def name(self, node: ast.Call, event: Event) -> str:
        """Return the last part of the name of what is called."""
        return self.full_name(node.func, event.source).rpartition(".")[2]

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
        return set(sorted(found, key=str)[:_MOST_ORIGINS])

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
            return _cut(base)
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
            case ast.Attribute(attr="get", value=base), [ast.Constant(value=str(key)), *default]:
                found = self.below(self.origins(base, event), key).union(
                    *(self.origins(each, event) for each in default)
                )
            case ast.Name(id="getattr"), [base, ast.Constant(value=str(key)), *_]:
                found = self.below(self.origins(base, event), key)
            case _ if name in _JOINS and len(arguments) + bool(receiver) > 1:
                found = _joined([*([receiver] if receiver else []), *arguments])
            case _ if name in _SAME or name in _BELOW:
                found = receiver or (arguments[0] if arguments else set())
                found = found if name in _SAME else _cut(found)
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
        return self.receiver(node, event) or (self.origins(node.args[0], event) if node.args else set())

    def arguments(self, node: ast.Call, event: Event) -> set[Origin]:
        """Return all that stands between the brackets without a keyword."""
        return {each for argument in node.args for each in self.origins(argument, event)}

    def own_functions(self, node: ast.Call, event: Event) -> list[Function]:
        """Return the project's functions that a call may mean, `__init__` for a class."""
        name = self.name(node, event)
        found = self.functions.get(name, [])
        is_method = isinstance(node.func, ast.Attribute) and not self._is_module(node.func.value, event)
        return found if not is_method or len(found) == 1 else []

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
                self._put(target, found if isinstance(iterated, ast.List | ast.Tuple) else _cut(found), event)
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
                    self._put(each, _cut(found), event)

    def _bind_arguments(self, node: ast.Call, event: Event) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            self._note_default(node, event)
        for function in self.own_functions(node, event):
            names = [each.arg for each in [*function.args.posonlyargs, *function.args.args]]
            if names[:1] in (["self"], ["cls"]):
                names = names[1:]
            for name, argument in zip(names, node.args, strict=False):
                self._add(function, name, self.origins(argument, event))
            for keyword in node.keywords:
                self._add(function, keyword.arg or "", self.origins(keyword.value, event))

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


def _events(source: Source) -> Iterator[Event]:
    """Yield every node of a file, outer ones first."""
    waiting: list[tuple[ast.AST, Scopes, bool]] = [(source.tree, (source.path,), True)]
    while waiting:
        node, scopes, certain = waiting.pop()
        yield Event(node, scopes, source, certain)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            scopes = (node, *scopes)
        unsure = isinstance(node, ast.If) and not is_main_guard(node.test)
        certain = certain and not unsure and not isinstance(node, ast.Try | ast.IfExp)
        waiting += [(child, scopes, certain) for child in reversed(list(ast.iter_child_nodes(node)))]


def _cut(origins: set[Origin]) -> set[Origin]:
    return {replace(origin, whole=False) for origin in origins}


def _concatenated(pieces: Sequence[set[Origin]]) -> set[Origin]:
    """Return every text that the pieces can make; an unknown piece ends it."""
    found = {Origin(())}
    for piece in pieces:
        found = {
            longer if not left.whole else Origin(_merged(left.parts, right.parts), right.whole)
            for left in found
            for right in sorted(piece, key=str)[:_MOST_ORIGINS] or [Origin((), whole=False)]
            for longer in [left]
        }
    return {origin for origin in found if origin.parts}


def _joined(pieces: Sequence[set[Origin]]) -> set[Origin]:
    between: list[set[Origin]] = []
    for piece in pieces:
        between += [piece, {Origin(("/",))}]
    return _concatenated(between[:-1])


def _merged(left: tuple[Part, ...], right: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the parts of both; literal texts side by side become one, without a double slash."""
    if left and right and isinstance(left[-1], str) and isinstance(right[0], str):
        return (*left[:-1], (left[-1] + right[0]).replace("//", "/"), *right[1:])
    return (*left, *right)


def _subscript(flow: Flow, node: ast.Subscript, event: Event) -> set[Origin]:
    match node.slice:
        case ast.Constant(value=str(name)):
            return flow.below(flow.origins(node.value, event), name)
    return _cut(flow.origins(node.value, event))


def _operation(flow: Flow, node: ast.BinOp, event: Event) -> set[Origin]:
    sides = [flow.origins(node.left, event), flow.origins(node.right, event)]
    if isinstance(node.op, ast.Add):
        return _concatenated(sides)
    return _joined(sides) if isinstance(node.op, ast.Div) else set()


def _formatted(flow: Flow, node: ast.JoinedStr, event: Event) -> set[Origin]:
    pieces = [each.value if isinstance(each, ast.FormattedValue) else each for each in node.values]
    return _concatenated([flow.origins(each, event) for each in pieces])


def _either(flow: Flow, node: ast.BoolOp | ast.IfExp, event: Event) -> set[Origin]:
    values = node.values if isinstance(node, ast.BoolOp) else [node.body, node.orelse]
    return {each for value in values for each in flow.origins(value, event)}


def _elements(flow: Flow, node: ast.List | ast.Tuple, event: Event) -> set[Origin]:
    return {each for element in node.elts for each in flow.origins(element, event)}


def _comprehension(flow: Flow, node: ast.ListComp | ast.GeneratorExp, event: Event) -> set[Origin]:
    return _cut(flow.origins(node.elt, event))


_RULES: dict[type[ast.AST], Callable[[Flow, Any, Event], set[Origin]]] = {
    ast.Constant: lambda _flow, node, _event: {Origin((node.value,))} if isinstance(node.value, str) else set(),
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
