"""How much a program asks for, as far as its text tells: repetitions, bytes of arrays, bytes of a model's state."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from functools import cached_property

from preflight.system.events import Event
from preflight.system.flow import Flow

FLOAT = 4
# What Adam keeps beside each parameter: two averages.
ADAM = 2
# What makes more than any check should be asked for is a misreading.
_MOST = 1 << 50

_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: lambda left, right: left // right if right else 0,
}
# fmt: off
_SHAPED = frozenset({"zeros", "ones", "empty", "full"})
_DRAWN = frozenset({"rand", "randn"})
_SIZED = frozenset({"normal", "standard_normal", "uniform", "random", "integers", "randint", "random_sample"})
_REMOVES = frozenset({"unlink", "rmtree"})
_WIDTHS = {
    "float64": 8, "double": 8, "int64": 8, "long": 8, "float32": 4, "float": 4, "int32": 4, "float16": 2, "half": 2,
    "bfloat16": 2, "int16": 2, "int8": 1, "uint8": 1, "bool": 1,
}
# fmt: on


class Amounts:
    """Reads numbers out of a program; `value_of` is what the config has under a key."""

    def __init__(self, flow: Flow, value_of: Callable[[tuple[str, ...]], object]) -> None:
        self.flow = flow
        self._value_of = value_of
        self._times: dict[object, int] = {}

    def number(self, node: ast.AST | None, event: Event) -> int | None:
        """Return the whole number that an expression surely is."""
        match node:
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
                sides = self.number(left, event), self.number(right, event)
                return self._result(sign, *sides)
            case ast.Call(func=ast.Name(id="int"), args=[inner]):
                return self.number(inner, event)
        origins = self.flow.origins(node, event)
        values = [self._value_of(each.key) for each in origins if each.key]
        if keyed := {value for value in values if isinstance(value, int) and not isinstance(value, bool)}:
            return keyed.pop() if len(keyed) == 1 else None
        # A key that the config does not have: what the code takes instead counts.
        written = {each.parts[0] for each in origins if each.whole and len(each.parts) == 1 and not each.key}
        only = written.pop() if len(written) == 1 else None
        return int(only) if isinstance(only, str) and only.isdecimal() and len(only) < 16 else None

    @staticmethod
    def _result(sign: ast.operator, left: int | None, right: int | None) -> int | None:
        if left is None or right is None:
            return None
        found = _OPERATORS[type(sign)](left, right)
        return found if abs(found) < _MOST else None

    def repetitions(self, event: Event) -> int:
        """Return how often the program comes to a place at least, by the loops whose length is known."""
        times = math.prod(max(self._length(loop) or 1, 1) for loop in event.loops)
        start = event.loops[0].conditions if event.loops else event.conditions
        for condition in event.conditions[len(start) :]:
            times = times // step if (step := self._step(condition, event)) else 1
        return min(max(times, 1) * self._repetitions_of(event.scopes[0]), _MOST)

    def _repetitions_of(self, function: object) -> int:
        if function not in self._times:
            # A function that calls itself is counted once.
            self._times[function] = 1
            callers = self.flow.callers.get(id(function), [])
            self._times[function] = max((self.repetitions(caller) for caller in callers), default=1)
        return self._times[function]

    def _length(self, loop: Event) -> int | None:
        match loop.node:
            case ast.For(iter=ast.Call(args=[ast.Call() as inner, *_]) as iterated) if self.flow.name(
                iterated, loop
            ) in ("tqdm", "enumerate", "track", "reversed"):
                return self._range(inner, loop)
            case ast.For(iter=ast.Call() as iterated):
                return self._range(iterated, loop)
            case ast.While(test=ast.Compare(ops=[ast.Lt() | ast.LtE()], comparators=[limit])):
                return self.number(limit, loop)
        return None

    def _range(self, node: ast.Call, loop: Event) -> int | None:
        if self.flow.name(node, loop) not in ("range", "trange"):
            return None
        numbers = [self.number(each, loop) for each in node.args]
        match numbers:
            case [int(end)]:
                return end
            case [int(start), int(end), *_]:
                return end - start
        return None

    def _step(self, condition: ast.expr | None, event: Event) -> int | None:
        """Return the n of `epoch % n == 0`."""
        match condition:
            case ast.Compare(left=ast.BinOp(op=ast.Mod(), right=step), ops=[ast.Eq()]):
                return self.number(step, event)
        return None

    # Bytes

    def array(self, node: ast.Call, event: Event) -> int:
        """Return the bytes of the array that a call makes, 0 where that is not known."""
        dimensions = [self.number(each, event) for each in self._shape(node, event)]
        if not dimensions or None in dimensions:
            return 0
        kind = next((each.value for each in node.keywords if each.arg == "dtype"), None)
        name = self.flow.full_name(kind, event.source).rpartition(".")[2] if kind else ""
        width = _WIDTHS.get(name, FLOAT if self.flow.called_name(node, event).startswith("torch.") else 8)
        return min(width * math.prod(each for each in dimensions if each is not None), _MOST)

    def _shape(self, node: ast.Call, event: Event) -> list[ast.expr]:
        name, arguments = self.flow.name(node, event), node.args
        given = next((each.value for each in node.keywords if each.arg in ("size", "shape")), None)
        if given is None and name in _SHAPED | _DRAWN:
            given = arguments[0] if arguments else None
            if len(arguments) > 1 and name != "full" and not isinstance(given, ast.Tuple | ast.List):
                is_torch = self.flow.called_name(node, event).startswith("torch.")
                return list(arguments) if is_torch or name in _DRAWN else arguments[:1]
        elif given is None or name not in _SHAPED | _DRAWN | _SIZED:
            return []
        return list(given.elts) if isinstance(given, ast.Tuple | ast.List) else [given] if given else []

    @cached_property
    def removes(self) -> bool:
        """Whether the program removes files."""
        calls = [event for event in self.flow.events if isinstance(event.node, ast.Call)]
        names = {self.flow.called(event) for event in calls}
        return "os.remove" in names or any(name.rpartition(".")[2] in _REMOVES for name in names)

    @cached_property
    def uses_adam(self) -> bool:
        """Whether every optimizer of the program keeps what Adam keeps."""
        names = {
            self.flow.name(event.node, event)
            for event in self.flow.events
            if isinstance(event.node, ast.Call) and ".optim." in self.flow.called_name(event.node, event)
        }
        return bool(names & {"Adam", "AdamW"}) and "SGD" not in names

    @cached_property
    def state(self) -> int:
        """The bytes of the weights of the layers that the program makes, 0 where one of them is not known."""
        found = [
            self._parameters(event.node, event)
            for event in self.flow.events
            if isinstance(event.node, ast.Call) and self._is_layer(event.node, event)
        ]
        return 0 if None in found else FLOAT * sum(each for each in found if each is not None)

    def _is_layer(self, node: ast.Call, event: Event) -> bool:
        called = self.flow.called_name(node, event)
        known = called.startswith("torch.nn.") and called.count(".") == 2 and called[9].isupper()
        return known or called.startswith(("torchvision.models.", "timm.")) or called.endswith(".from_pretrained")

    def _parameters(self, node: ast.Call, event: Event) -> int | None:
        """Return how many parameters a layer has; None where its size, or the layer, is not known."""
        name = self.flow.name(node, event)
        sizes = [self.number(each, event) for each in node.args[:3]]
        match name, sizes:
            case "Linear", [int(inner), int(outer), *_]:
                return inner * outer
            case "Embedding", [int(rows), int(width), *_]:
                return rows * width
            case (("Conv1d" | "Conv2d" | "Conv3d"), [int(inner), int(outer), int(kernel)]):
                return inner * outer * int(min(kernel, 99) ** int(name[4]))
        # Biases and what normalisation keeps are a small part.
        is_plain = self.flow.called_name(node, event).startswith("torch.nn.") and not name.endswith(_WITH_PARAMETERS)
        return 0 if is_plain else None


_WITH_PARAMETERS = (
    "Linear", "Embedding", "Conv1d", "Conv2d", "Conv3d", "RNN", "LSTM", "GRU", "Transformer", "Attention", "Layer",
    "Encoder", "Decoder", "Parameter", "Bag", "Bilinear",
)  # fmt: skip
