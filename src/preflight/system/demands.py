"""What a program asks of its machine besides files: variables, commands, ports, memory, workers, CUDA."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from preflight.system.amounts import Amounts
from preflight.system.events import Event
from preflight.system.flow import Flow
from preflight.system.strings import Origin

# fmt: off
_RUNS = frozenset({"run", "call", "check_call", "check_output", "Popen"})
_POOLS = frozenset({"ThreadPoolExecutor", "ProcessPoolExecutor", "Pool", "ThreadPool", "set_num_threads"})
_BUILDERS = ("torch.utils.cpp_extension.load", "torch.compile", "pyximport.install", "triton.")
_CUDA = frozenset({"cuda", "cuda:0", "gpu"})
_OFFLINE = frozenset({"offline", "disabled"})
# fmt: on
_COMMAND = re.compile(r"[A-Za-z][\w.+-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What a program asks of its machine besides files.

    `calls` are the full names of what it calls, those that are told to stay offline left out; `variables` those of the
    environment that it cannot do without; `commands` are what it runs for sure. `ports` are where it listens. `array`
    is the largest that it makes, in bytes; `workers` and `threads` are how many of them it starts, `batches` the bytes
    of what the workers hold ready, 0 where that is not known. `cuda` tells whether it computes there without asking if
    it can, `builds` whether it compiles and loads code.
    """

    calls: frozenset[str]
    variables: tuple[str, ...]
    commands: tuple[str, ...]
    ports: tuple[Origin, ...]
    array: int
    workers: int
    threads: int
    batches: int
    cuda: bool
    builds: bool


def read_demands(flow: Flow, amounts: Amounts) -> Demands:
    """Return what the program asks for, as far as reading it tells."""
    calls = [event for event in flow.events if isinstance(event.node, ast.Call)]
    names = frozenset(flow.called(event) for event in calls if not _is_offline(event.node))
    loaders = [event for event in calls if flow.called(event).rpartition(".")[2] == "DataLoader"]
    return Demands(
        calls=names,
        variables=_variables(flow),
        commands=tuple(dict.fromkeys(name for event in calls for name in _commands(flow, event))),
        ports=tuple(dict.fromkeys(origin for event in flow.events for origin in _ports(flow, event))),
        array=max((_array(amounts, event) for event in calls if flow.is_certain(event)), default=0),
        workers=max((_given(amounts, event, "num_workers") for event in loaders), default=0),
        threads=max((_threads(flow, amounts, event) for event in calls), default=0),
        batches=max((_batches(flow, amounts, event) for event in loaders), default=0),
        cuda=_uses_cuda(flow, calls),
        builds=any(name.startswith(_BUILDERS) for name in names)
        or ("ctypes.CDLL" in names and any(name.startswith("tempfile.") for name in names)),
    )


# Commands and ports


def _commands(flow: Flow, event: Event) -> Iterator[str]:
    node = event.node
    assert isinstance(node, ast.Call)
    full = flow.called(event)
    is_run = full.startswith("subprocess.") and full.rpartition(".")[2] in _RUNS
    if flow.is_certain(event) and node.args and (is_run or full in ("os.system", "os.popen")):
        first = node.args[0]
        words = first.elts[:1] if isinstance(first, ast.List | ast.Tuple) else [first]
        for origin in (each for word in words for each in flow.origins(word, event)):
            text = origin.parts[0] if isinstance(origin.parts[0], str) else ""
            name, space, _ = text.partition(" ")
            if _COMMAND.fullmatch(name) and (space or (origin.whole and len(origin.parts) == 1)):
                yield name


def _ports(flow: Flow, event: Event) -> Iterator[Origin]:
    """Yield where the program listens: for its other processes, or as a server."""
    match event.node:
        case ast.Assign(targets=[ast.Subscript(value=base, slice=ast.Constant(value="MASTER_PORT"))], value=value):
            if flow.full_name(base, event.source) == "os.environ":
                yield from _sorted(flow.origins(value, event))
        case ast.Call() as node:
            for keyword in node.keywords:
                if keyword.arg == "MASTER_PORT":
                    yield from _sorted(flow.origins(keyword.value, event))
                if keyword.arg == "init_method":
                    yield from _sorted(_after_host(flow.origins(keyword.value, event)))
            yield from _ports_of_call(flow, node, event)


def _ports_of_call(flow: Flow, node: ast.Call, event: Event) -> Iterator[Origin]:
    match flow.called(event), node.args:
        case "os.environ.setdefault", [ast.Constant(value="MASTER_PORT"), value]:
            yield from _sorted(flow.origins(value, event))
        case full, [_, port, *_] if full.endswith(".TCPStore"):
            yield from _sorted(flow.origins(port, event))
        case full, [ast.Tuple(elts=[_, port]), *_] if full.endswith((".bind", "HTTPServer", "TCPServer")):
            yield from _sorted(flow.origins(port, event))


def _after_host(origins: Iterable[Origin]) -> set[Origin]:
    """Return the port of `tcp://host:port`."""
    found = set()
    for origin in origins:
        *before, last = origin.parts
        if origin.whole and before and isinstance(before[-1], str) and before[-1].endswith(":"):
            found.add(Origin((last,)))
        elif origin.whole and not before and isinstance(last, str) and (port := last.rpartition(":")[2]).isdecimal():
            found.add(Origin((port,)))
    return found


def _sorted(origins: Iterable[Origin]) -> list[Origin]:
    return sorted((each for each in origins if each.whole and len(each.parts) == 1), key=str)


# Memory and workers


def _array(amounts: Amounts, event: Event) -> int:
    assert isinstance(event.node, ast.Call)
    return amounts.array(event.node, event)


def _given(amounts: Amounts, event: Event, *names: str) -> int:
    assert isinstance(event.node, ast.Call)
    values = [each.value for each in event.node.keywords if each.arg in names]
    return max((amounts.number(value, event) or 0 for value in values), default=0)


def _threads(flow: Flow, amounts: Amounts, event: Event) -> int:
    assert isinstance(event.node, ast.Call)
    if flow.called(event).rpartition(".")[2] not in _POOLS:
        return 0
    first = amounts.number(event.node.args[0], event) if event.node.args else 0
    return max(first or 0, _given(amounts, event, "max_workers", "processes"))


def _batches(flow: Flow, amounts: Amounts, event: Event) -> int:
    """Return the bytes of the batches that all workers hold ready, by the arrays that `__getitem__` makes."""
    samples = [
        amounts.array(each.node, each)
        for each in flow.events
        if isinstance(each.node, ast.Call) and getattr(each.scopes[0], "name", "") == "__getitem__"
    ]
    size = _given(amounts, event, "batch_size") or 1
    ahead = _given(amounts, event, "prefetch_factor") or 2
    return max(samples, default=0) * size * ahead * _given(amounts, event, "num_workers")


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
                    elif flow.is_certain(event):
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
    return any(flow.is_certain(event) and _names_cuda(event.node, flow.called(event)) for event in calls)


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
