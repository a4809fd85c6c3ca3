"""What a program does that its machine must allow: paths that it reads and writes, variables, CUDA."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from preflight.system.code import Source, ends_program
from preflight.system.flow import LISTS, Event, Flow, Origin

# Calls by the last part of their name; paths are their arguments, or what a method is called on.
# fmt: off
_OPENS = frozenset({"open", "File", "ZipFile", "memmap"})
_READS = LISTS | {
    "load", "loadtxt", "genfromtxt", "fromfile", "read_csv", "read_parquet", "read_json", "read_pickle", "read_excel",
    "read_feather", "read_table", "read_text", "read_bytes", "load_file", "safe_open", "imread", "ImageFolder",
    "DatasetFolder", "load_from_disk", "from_file", "open_dataset", "open_zarr", "read_image", "read_hdf", "scan_csv",
    "scan_parquet", "open_memmap", "loadmat",
}
_WRITES = frozenset({
    "save", "savez", "savez_compressed", "savetxt", "save_file", "save_pretrained", "savefig", "save_to_disk", "imsave",
    "to_csv", "to_parquet", "to_json", "to_pickle", "to_feather", "to_excel", "write_text", "write_bytes", "imwrite",
    "makedirs", "mkdir", "touch", "SummaryWriter", "FileHandler", "RotatingFileHandler", "save_image", "write_csv",
    "CSVLogger", "TensorBoardLogger", "ModelCheckpoint", "save_checkpoint", "save_model", "write_parquet", "savemat",
    "dump",
})
_WRITTEN_KEYWORDS = frozenset({
    "output_dir", "out_dir", "log_dir", "logdir", "logging_dir", "save_dir", "default_root_dir", "dirpath",
})
_COPIES = frozenset({"copy", "copy2", "copyfile", "copytree", "move"})
_TESTS = LISTS | {"exists", "isdir", "is_dir"}
_CUDA = frozenset({"cuda", "cuda:0", "gpu"})
_OFFLINE = frozenset({"offline", "disabled"})
# fmt: on


class Act(StrEnum):
    """What the program does with a path."""

    READ = "read"
    WRITE = "write"
    HOLD = "hold open"
    FRESH = "refuse where something is there"
    FETCH = "fetch by name"


@dataclass(frozen=True, slots=True)
class Use:
    """One thing done with one path; `call` is the function, `unless` the config keys that switch it off where true.

    `certain` is false under a condition or in a `try`.
    """

    act: Act
    origin: Origin
    call: str
    file: Path
    line: int
    certain: bool = True
    unless: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a program does that its machine must allow.

    `calls` are the full names of what it calls, those that are told to stay offline left out; `variables` those of the
    environment that it cannot do without; `defaults` the texts that options of its command line have; `cuda` whether it
    computes there without asking if it can.
    """

    uses: tuple[Use, ...]
    calls: frozenset[str]
    variables: tuple[str, ...]
    defaults: dict[str, Origin]
    cuda: bool


def read_behaviour(sources: Iterable[Source]) -> Behaviour:
    """Return what the files do, as far as reading them tells."""
    flow = Flow(list(sources))
    calls = [event for event in flow.events if isinstance(event.node, ast.Call)]
    return Behaviour(
        uses=tuple(dict.fromkeys(use for event in flow.events for use in _uses(flow, event))),
        calls=frozenset(flow.called(event) for event in calls if not _is_offline(event.node)),
        variables=_variables(flow),
        defaults=flow.defaults,
        cuda=_uses_cuda(flow, calls),
    )


def _uses(flow: Flow, event: Event) -> Iterator[Use]:
    match event.node:
        case ast.Call():
            yield from _uses_of_call(flow, event, event.node)
        case ast.If(body=body) if ends_program(body):
            yield from _refusals(flow, event, event.node)
        case ast.ListComp(elt=ast.Call() as held) | ast.DictComp(value=ast.Call() as held):
            if flow.name(held, event) in _OPENS:
                yield from _each(Act.HOLD, flow.subject(held, event), event, "open")


def _uses_of_call(flow: Flow, event: Event, node: ast.Call) -> Iterator[Use]:
    full, name = flow.called(event), flow.name(node, event)
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    subject = flow.subject(node, event)
    is_own = bool(flow.own_functions(node, event))
    if name in _OPENS:
        yield from _each(_opening(node, keywords), subject, event, full)
    elif name == "from_pretrained":
        yield from _each(Act.FETCH, flow.arguments(node, event), event, full)
    elif name in _COPIES and len(node.args) == 2:
        yield from _each(Act.READ, flow.origins(node.args[0], event), event, full)
        yield from _each(Act.WRITE, flow.origins(node.args[1], event), event, full)
    elif name in _READS and not is_own:
        yield from _each(Act.READ, subject, event, full)
    elif name in _WRITES and not is_own:
        yield from _each(Act.WRITE, flow.arguments(node, event) | subject, event, full)
        if name in ("makedirs", "mkdir") and "exist_ok" not in keywords and event.certain:
            yield from _each(Act.FRESH, subject, event, full)
    if "download" in keywords:
        yield from _each(
            Act.WRITE, flow.arguments(node, event) | flow.origins(keywords.get("root"), event), event, full
        )
    for keyword in sorted(_WRITTEN_KEYWORDS & keywords.keys() if not is_own else ()):
        yield from _each(Act.WRITE, flow.origins(keywords[keyword], event), event, full)


def _refusals(flow: Flow, event: Event, node: ast.If) -> Iterator[Use]:
    """Yield what must not be there: `if os.listdir(path) and not overwrite: raise …`."""
    conditions = [node.test]
    if isinstance(node.test, ast.BoolOp):
        conditions = node.test.values if isinstance(node.test.op, ast.And) else []
    switches = [each.operand for each in conditions if isinstance(each, ast.UnaryOp) and isinstance(each.op, ast.Not)]
    unless = tuple(sorted(origin.key for each in switches for origin in flow.origins(each, event)))
    for each in conditions:
        for origin in _wanted_absent(flow, event, each):
            yield Use(Act.FRESH, origin, "if", event.source.path, node.lineno, unless=unless)


def _wanted_absent(flow: Flow, event: Event, condition: ast.expr) -> set[Origin]:
    match condition:
        case ast.Compare(left=left, ops=[ast.Gt() | ast.NotEq()], comparators=[ast.Constant(value=0)]):
            return _wanted_absent(flow, event, left)
        case ast.Call(func=ast.Name(id="len" | "any" | "list" | "next"), args=[inner, *_]):
            return _wanted_absent(flow, event, inner)
        case ast.Call() if flow.name(condition, event) in _TESTS:
            return flow.subject(condition, event)
    return set()


def _each(act: Act | None, origins: Iterable[Origin], event: Event, call: str) -> Iterator[Use]:
    line = getattr(event.node, "lineno", 0)
    if act:
        for origin in sorted(origins, key=str):
            yield Use(act, origin, call, event.source.path, line, event.certain)


def _opening(node: ast.Call, keywords: dict[str | None, ast.expr]) -> Act | None:
    """Return what `open` does by its mode; None where that cannot be told."""
    is_method = isinstance(node.func, ast.Attribute) and node.func.attr == "open"
    texts = [each for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    mode = keywords.get("mode", texts[-1] if texts and (len(node.args) > 1 or is_method) else None)
    if mode is None:
        return Act.READ if len(node.args) < 2 else None
    letters = mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else ""
    if not letters or not set(letters) <= set("rwaxbt+U"):
        return None if is_method or not letters else Act.READ
    return Act.WRITE if set(letters) & set("wax+") else Act.READ


def _variables(flow: Flow) -> tuple[str, ...]:
    """Return the variables that are surely read by `os.environ["NAME"]` and not set by the program."""
    read: dict[str, None] = {}
    written: set[str] = set()
    for event in flow.events:
        match event.node:
            case ast.Subscript(value=base, slice=ast.Constant(value=str(name)), ctx=context):
                if flow.full_name(base, event.source) == "os.environ":
                    if not isinstance(context, ast.Load):
                        written.add(name)
                    elif event.certain:
                        read[name] = None
            case ast.Call(args=arguments, keywords=keywords) if flow.called(event).startswith("os.environ."):
                written |= {keyword.arg for keyword in keywords if keyword.arg}
                written |= {str(each.value) for each in arguments[:1] if isinstance(each, ast.Constant)}
    return tuple(name for name in read if name not in written)


def _uses_cuda(flow: Flow, calls: Iterable[Event]) -> bool:
    """Tell whether a call names CUDA and none asks whether it is there."""
    calls = list(calls)
    if any(flow.called(event).endswith("cuda.is_available") for event in calls):
        return False
    return any(event.certain and _names_cuda(event.node, flow.called(event)) for event in calls)


def _names_cuda(node: ast.AST, called: str) -> bool:
    assert isinstance(node, ast.Call)
    name = called.rpartition(".")[2]
    if name == "cuda" and not node.args:
        return True
    keywords = [each.value for each in node.keywords if each.arg in ("device", "device_type")]
    named = [*keywords, *(node.args if name in ("to", "device") else [])]
    return any(isinstance(each, ast.Constant) and each.value in _CUDA for each in named)


def _is_offline(node: ast.AST) -> bool:
    keywords = node.keywords if isinstance(node, ast.Call) else []
    return any(
        each.arg == "mode" and isinstance(each.value, ast.Constant) and each.value.value in _OFFLINE
        for each in keywords
    )
