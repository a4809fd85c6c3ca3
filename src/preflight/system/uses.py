"""What a program does with paths: which it reads, writes, holds open, fetches, and wants not to be there."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from preflight.system.amounts import ADAM, Amounts
from preflight.system.code import ends_program
from preflight.system.events import Event
from preflight.system.flow import LISTS, Flow
from preflight.system.strings import Origin

# Calls by the last part of their name; paths are their arguments, or what a method is called on.
# fmt: off
_OPENS = frozenset({"open", "File", "ZipFile", "memmap"})
_READS = LISTS | {
    "load", "loadtxt", "genfromtxt", "fromfile", "read_csv", "read_parquet", "read_json", "read_pickle", "read_excel",
    "read_feather", "read_table", "read_text", "read_bytes", "load_file", "safe_open", "imread", "ImageFolder",
    "DatasetFolder", "load_from_disk", "from_file", "open_dataset", "open_zarr", "read_image", "read_hdf", "scan_csv",
    "scan_parquet", "open_memmap", "loadmat", "connect",
    "urlopen", "urlretrieve", "create_engine",
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
_MAKES_FOLDERS = frozenset({"makedirs", "mkdir"})
# What makes another name of a file, but the same one each time.
_SAME_FILE = frozenset({"with_suffix", "with_name", "with_stem", "dirname"})
# How many files are there at once where the program removes those that it does not need any more.
_KEPT = 2
_COPIES = frozenset({"copy", "copy2", "copyfile", "copytree", "move"})
_TESTS = LISTS | {"exists", "isdir", "is_dir"}
# Beside what the call is about: the keyword or the place of the name that a hub has.
_FETCHES = {"from_pretrained": "", "load_dataset": "path", "hf_hub_download": "repo_id", "snapshot_download": "repo_id"}
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
    """One thing done with one path; `call` is the function.

    It is done where each config key of `when` is true and none of `unless`; `certain` is false under any other
    condition and in a `try`. `times` is how many files of that name are made, `size` the bytes of each, 0 where that
    cannot be told.
    """

    act: Act
    origin: Origin
    call: str
    file: Path
    line: int
    certain: bool = True
    when: tuple[tuple[str, ...], ...] = ()
    unless: tuple[tuple[str, ...], ...] = ()
    times: int = 1
    size: int = 0


def read_uses(flow: Flow, amounts: Amounts) -> tuple[Use, ...]:
    """Return what the program does with paths, as far as reading it tells."""
    return tuple(dict.fromkeys(use for event in flow.events for use in _uses(flow, amounts, event)))


def _uses(flow: Flow, amounts: Amounts, event: Event) -> Iterator[Use]:
    match event.node:
        case ast.Call():
            for use in _uses_of_call(flow, event, event.node):
                yield _measured(use, amounts, event, event.node) if use.act is Act.WRITE else use
        case ast.If(body=body) if ends_program(body):
            yield from _refusals(flow, event, event.node)
        case ast.ListComp(elt=ast.Call() as held) | ast.DictComp(value=ast.Call() as held):
            if flow.name(held, event) in _OPENS:
                yield from _each(flow, Act.HOLD, flow.subject(held, event), event, "open")


def _measured(use: Use, amounts: Amounts, event: Event, node: ast.Call) -> Use:
    """Add how many files are made, and how large they are."""
    name = use.call.rpartition(".")[2]
    called = {each.func.attr for each in ast.walk(node) if isinstance(each, ast.Call) and hasattr(each.func, "attr")}
    varies = not use.origin.whole and not called & _SAME_FILE and name not in _MAKES_FOLDERS
    times = amounts.repetitions(event) if varies else 1
    times = min(times, _KEPT) if amounts.removes else times
    size = 0
    if name == "save":
        states = sum(isinstance(each, ast.Attribute) and each.attr == "state_dict" for each in ast.walk(node))
        size = amounts.state * (1 + (ADAM if states > 1 and amounts.uses_adam else 0)) if states else 0
        arrays = (amounts.array(each, event) for each in ast.walk(node) if isinstance(each, ast.Call))
        size = max(size, *arrays, 0)
    return replace(use, times=times, size=size)


def _uses_of_call(flow: Flow, event: Event, node: ast.Call) -> Iterator[Use]:
    full, name = flow.called(event), flow.name(node, event)
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    subject = flow.subject(node, event)
    is_own = bool(flow.own_functions(node, event))
    if name in _OPENS:
        yield from _each(flow, _opening(node, keywords), subject, event, full)
    elif name in _FETCHES:
        fetched = flow.origins(keywords.get(_FETCHES[name]), event) or flow.arguments(node, event, first=True)
        yield from _each(flow, Act.FETCH, fetched, event, full)
    elif name in _COPIES and len(node.args) == 2:
        yield from _each(flow, Act.READ, flow.origins(node.args[0], event), event, full)
        yield from _each(flow, Act.WRITE, flow.origins(node.args[1], event), event, full)
    elif name in _READS and not is_own:
        yield from _each(flow, Act.READ, subject, event, full)
    elif name in _WRITES and not is_own:
        yield from _each(flow, Act.WRITE, flow.arguments(node, event) | subject, event, full)
        if name in _MAKES_FOLDERS and "exist_ok" not in keywords and flow.is_certain(event):
            yield from _each(flow, Act.FRESH, subject, event, full)
    if "download" in keywords:
        yield from _each(
            flow, Act.WRITE, flow.arguments(node, event) | flow.origins(keywords.get("root"), event), event, full
        )
    for keyword in sorted(_WRITTEN_KEYWORDS & keywords.keys() if not is_own else ()):
        yield from _each(flow, Act.WRITE, flow.origins(keywords[keyword], event), event, full)


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


def _each(flow: Flow, act: Act | None, origins: Iterable[Origin], event: Event, call: str) -> Iterator[Use]:
    """Yield what is done with each; a condition that is nothing but a config key is kept as that key."""
    line = getattr(event.node, "lineno", 0)
    keys = [{origin.key for origin in flow.origins(test, event)} if test else set() for test in flow.conditions(event)]
    certain = all(len(found) == 1 and () not in found for found in keys)
    when = tuple(key for found in keys for key in found) if certain else ()
    if act:
        for origin in sorted(origins, key=str):
            yield Use(act, origin, call, event.source.path, line, certain, when)


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
