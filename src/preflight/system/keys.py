"""The keys of its YAML config that a program reads, and the parts of it that the program passes on whole."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflight.system.code import Source, dotted
from preflight.system.events import Event
from preflight.system.flow import Flow
from preflight.system.strings import Origin

Key = tuple[str, ...]

WHOLE = Origin(((),))
_LOADS = re.compile(r"(?:(?:ruamel\.)?o?yaml|omegaconf\.OmegaConf)\.\w*load(?:_all)?")
# fmt: off
_SAME = frozenset({
    "create", "EasyDict", "edict", "Munch", "munchify", "Box", "DotMap", "Namespace", "SimpleNamespace", "dict",
    "deepcopy", "copy",
})
_HARMLESS = frozenset({
    "print", "pprint", "info", "debug", "dumps", "dump", "safe_dump", "to_yaml", "save", "len", "bool", "isinstance",
    "str", "repr", "type",
})
_GETTERS = frozenset({"get", "pop", "setdefault"})
_ASKERS = frozenset({"getattr", "hasattr"})
_METHODS = frozenset({"items", "keys", "values", "update", "copy", "popitem", "clear", "__dict__"})
_FOLLOWED = (ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.Return, ast.BoolOp, ast.IfExp, ast.UnaryOp,
             ast.FormattedValue, ast.Expr, ast.If, ast.While, ast.Assert, ast.BinOp)
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a program reads of its config: each key with its first place, how often, and what it passes on whole."""

    places: Mapping[Key, tuple[Path, int]]
    counts: Mapping[Key, int]
    passed_on: frozenset[Key]

    def knows(self, key: Key) -> bool:
        """Say whether the key, one below it, or a part of the config around it is read or may be."""
        below = any(read[: len(key)] == key for read in self.places)
        return below or any(key[: len(part)] == part for part in self.passed_on)


def read_keys(sources: Sequence[Source], experiment: Mapping[str, Any], file: str) -> Reading | None:
    """Return which keys of the config `file` are read; None where the program does not surely read that file alone."""
    if not any(b"load" in ast.dump(source.tree).encode() for source in sources):
        return None
    flow = ConfigFlow(sources)
    if not reads_one(flow, Path(file).name):
        return None
    matched = _matched(flow)
    places = {(*key, name): place for key in matched for name, place in _declared(flow).items()}
    counts: dict[Key, int] = {}
    passed_on: set[Key] = set()
    for event in flow.events:
        for key in _keys_read(flow, event):
            places.setdefault(key, (event.source.path, getattr(event.node, "lineno", 0)))
            counts[key] = counts.get(key, 0) + 1
        for part in _let_go(flow, event, matched):
            passed_on |= {key for key in _keys_of(flow, part, event) if _is_mapping(experiment, key)}
    return Reading(places=places, counts=counts, passed_on=frozenset(passed_on))


class ConfigFlow(Flow):
    """Follows the loaded config alone: what has another origin is no part of it."""

    def below(self, base: set[Origin], name: str) -> set[Origin]:
        """Return the key below the parts of the config alone."""
        return {Origin(((*origin.key, name),)) for origin in base if origin.key or origin == WHOLE}

    def attribute(self, node: ast.Attribute, event: Event) -> set[Origin]:
        """Let `config.key` be the key."""
        base = self.origins(node.value, event)
        return self.below(base, node.attr) if WHOLE in base else super().attribute(node, event)

    def returned(self, node: ast.Call, event: Event) -> set[Origin]:
        """Let what loads YAML return the config, and what copies it the same."""
        if is_load(self, node, event):
            return {WHOLE}
        if isinstance(node.func, ast.Attribute) and node.func.attr in _GETTERS - {"get"} and node.args:
            name = node.args[0]
            base = self.origins(node.func.value, event)
            return self.below(base, name.value) if isinstance(name, ast.Constant) and type(name.value) is str else set()
        if self.name(node, event) in _SAME:
            spread = [keyword.value for keyword in node.keywords if keyword.arg is None]
            return {origin for each in [*node.args, *spread] for origin in self.origins(each, event)}
        return super().returned(node, event)

    def origins(self, node: ast.AST | None, event: Event) -> set[Origin]:
        """Let `{**defaults, **config}` and `defaults | config` be the config."""
        match node:
            case ast.Dict(keys=names, values=values):
                spread = [value for name, value in zip(names, values, strict=True) if name is None]
            case ast.BinOp(op=ast.BitOr(), left=left, right=right):
                spread = [left, right]
            case _:
                return super().origins(node, event)
        return {origin for each in spread for origin in super(ConfigFlow, self).origins(each, event)}


def is_load(flow: Flow, node: ast.Call, event: Event) -> bool:
    """Say whether the call loads YAML."""
    return _LOADS.fullmatch(flow.called_name(node, event)) is not None


def _matched(flow: Flow) -> set[Key]:
    """Return the parts of the config whose keys are compared with names that the program declares."""
    found = set()
    for event in flow.events:
        match event.node:
            case (
                ast.For(iter=ast.Call(func=ast.Attribute(value=base)), body=[ast.If(test=test), *_])
                | ast.comprehension(iter=ast.Call(func=ast.Attribute(value=base)), ifs=[test, *_])
            ) if _asks_for_name(test):
                found |= _keys_of(flow, base, event)
    return found


def _asks_for_name(test: ast.expr) -> bool:
    """Say whether a condition is `name in …` or `hasattr(…, name)`."""
    match test:
        case ast.Compare(left=ast.Name(), ops=[ast.In()]) | ast.Call(func=ast.Name(id="hasattr")):
            return True
    return False


def _declared(flow: Flow) -> dict[str, tuple[Path, int]]:
    """Return the fields of the program's dataclasses and the options of its command line."""
    found: dict[str, tuple[Path, int]] = {}
    for event in flow.events:
        match event.node:
            case ast.ClassDef(decorator_list=[_, *_], body=body):
                fields = [each for each in body if isinstance(each, ast.AnnAssign)]
                found |= {dotted(each.target): (event.source.path, each.lineno) for each in fields}
            case ast.Call(func=ast.Attribute(attr="add_argument"), args=arguments):
                for flag in (each.value for each in arguments if isinstance(each, ast.Constant)):
                    name = str(flag).lstrip("-").replace("-", "_")
                    found[name] = (event.source.path, event.node.lineno)
    return found


def reads_one(flow: Flow, file: str) -> bool:
    """Say whether the program loads YAML at one place, once, and names no other YAML file that it opens."""
    calls = [(event, event.node) for event in flow.events if isinstance(event.node, ast.Call)]
    loads = [event for event, node in calls if is_load(flow, node, event)]
    if len(loads) != 1:
        return False
    around = loads[0].scopes[0]
    if sum(1 for event, node in calls if around in flow.own_functions(node, event)) > 1:
        return False
    opened = [text.value for _, node in calls for text in node.args if isinstance(text, ast.Constant)]
    return all(Path(text).name == file for text in opened if isinstance(text, str) and text.endswith((".yaml", ".yml")))


def _keys_of(flow: Flow, node: ast.AST, event: Event) -> set[Key]:
    return {origin.key for origin in flow.origins(node, event) if origin.key or origin == WHOLE}


def _keys_read(flow: Flow, event: Event) -> set[Key]:
    match event.node:
        case ast.Attribute(attr=name) if name in _GETTERS | _METHODS:
            return set()
        case ast.Subscript() | ast.Attribute():
            return _keys_of(flow, event.node, event) - {()}
        case ast.Call(func=ast.Attribute(attr=name)) if name in _GETTERS:
            return _keys_of(flow, event.node, event) - {()}
        case ast.Call(func=ast.Name(id="getattr" | "hasattr"), args=[base, ast.Constant(value=str(name)), *_]):
            return {(*key, name) for key in _keys_of(flow, base, event)}
        case ast.Compare(left=ast.Constant(value=str(name)), ops=[ast.In() | ast.NotIn()], comparators=[base]):
            return {(*key, name) for key in _keys_of(flow, base, event)}
    return set()


def _let_go(flow: Flow, event: Event, matched: set[Key]) -> Iterator[ast.expr]:
    """Yield the expressions in a node that cannot be followed any further from there."""
    node = event.node
    match node:
        case ast.Call():
            yield from _let_go_by_call(flow, node, event)
        case ast.Subscript(value=base, slice=index):
            yield from [] if isinstance(index, ast.Constant) else [base]
        case ast.Attribute(value=base, attr=name):
            is_matched = name == "items" and _keys_of(flow, base, event) & matched
            yield from [base] if name in _METHODS and not is_matched else []
        case ast.Dict(keys=names, values=values):
            yield from (value for name, value in zip(names, values, strict=True) if name is not None)
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=comparators):
            yield from [] if isinstance(left, ast.Constant) else comparators
        case ast.keyword() | ast.Compare():
            return
        case _ if not isinstance(node, _FOLLOWED):
            yield from (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))


def _let_go_by_call(flow: Flow, node: ast.Call, event: Event) -> Iterator[ast.expr]:
    name = flow.name(node, event)
    constant = [isinstance(each, ast.Constant) for each in node.args]
    if name in _ASKERS:
        yield from [] if constant[1:2] == [True] else node.args[:1]
    elif isinstance(node.func, ast.Attribute) and name in _GETTERS:
        yield from [] if constant[:1] == [True] else [node.func.value]
    elif name not in _SAME | _HARMLESS and not flow.own_functions(node, event):
        yield from node.args
        is_noted = flow.called_name(node, event) == "wandb.init"
        yield from (keyword.value for keyword in node.keywords if keyword.arg and not is_noted)
    if name not in _SAME:
        yield from (keyword.value for keyword in node.keywords if keyword.arg is None)


def value_at(experiment: Mapping[str, Any], key: Sequence[str]) -> Any:
    """Return what stands under a key of a config; None where there is nothing."""
    value: Any = experiment
    for step in key:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _is_mapping(experiment: Mapping[str, Any], key: Key) -> bool:
    return isinstance(value_at(experiment, key), Mapping)
