"""Whether the program can learn from what it does: its losses, what they are made of, and what gets a gradient.

`loss` {number, value, dtype, place, batch, entropy, classes, mean, samples, labels}: a backward pass from one number.
Where a cross entropy is found in its graph, `entropy` is its node, `classes` how many it tells apart, `mean` its mean
over the `samples` that have a label, and `labels` the first few distinct ones.
`optimizer` {optimizer, steps, parameters, unreached, zero, left, strays, rates, place}: at the end, what an optimizer
had to step: how many parameters; the names of those that never got a gradient though a module of the user's own that
holds them was called with gradients on, or `None` where no parameter ever got one; whether all gradients were 0 in the
first steps; how many never got one and are a replaced layer's (`left`), and the names of the new one's (`strays`).
`labels` {loader, sampled, labels}: at the end, labels from all over a dataset that gave batches of one class, one or
two of them.
"""

import atexit
import functools
import gc
import math
import sys
import time
import weakref
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, guard, hooks, loaders, places, wire

_MOST_LOSSES = 300
_MOST_NODES = 400
_FEW = 5
_MOST_SAMPLES = 400
_PATIENCE = 2.0
_number = 0
_called: dict[int, Any] = {}
_optimizers: dict[int, "_Stepped"] = {}
_stepped: list["_Stepped"] = []
_suspects: dict[int, Any] = {}


class _Stepped:
    """What one optimizer was seen to do."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = weakref.ref(optimizer)
        self.kind = type(optimizer).__name__
        self.steps = 0
        self.place = places.here()
        self.reached: set[int] = set()
        self.is_zero = True
        self.rates: set[float] = set()
        self.parameters: list[int] = []
        self.names: dict[int, str] = {}
        self.left: list[int] = []
        self.strays: list[str] = []

    def begin(self) -> None:
        """Note that a step begins."""
        self.steps += 1
        self.look()
        # An optimizer that is made in a function is gone at the end of the program: now and then is early enough.
        if not self.steps & (self.steps - 1):
            self.remember()

    def look(self) -> None:
        """See which parameters have a gradient: before a step, and after it where a closure computes them."""
        for group in self.optimizer().param_groups:  # type: ignore[union-attr]
            self.rates.add(float(group.get("lr", 0)))
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                self.reached.add(id(parameter))
                if self.is_zero:
                    self.is_zero = not parameter.grad.is_sparse and not bool(parameter.grad.any())

    def remember(self) -> None:
        """Note what there is to step, and what it is called."""
        if (optimizer := self.optimizer()) is None:
            return
        parameters = [each for group in optimizer.param_groups for each in group["params"] if each.requires_grad]
        self.parameters = [id(each) for each in parameters]
        modules = [module for each in _called.values() if (module := each()) is not None]
        names = _names(modules)
        self.names = {each: names[each] for each in self.parameters if each in names}
        rest = [each for each in parameters if id(each) not in self.reached and id(each) not in names]
        if rest and self.reached and self.steps > 1:
            left = [each for each in rest if type(each).__name__ == "Parameter" and not _is_held(each)]
            strays = [each for each in _strays(modules) if id(each) in names] if left else []
            # A layer stands in the place of another of its kind; anything else may be on purpose.
            if sorted(each.dim() for each in left) == sorted(each.dim() for each in strays):
                self.left, self.strays = [id(each) for each in left], [names[id(each)] for each in strays]

    def tell(self) -> None:
        """Tell what was seen of it."""
        self.remember()
        unreached = [self.names[each] for each in self.parameters if each not in self.reached and each in self.names]
        wire.tell(
            "optimizer",
            optimizer=self.kind,
            steps=self.steps,
            parameters=len(self.parameters),
            unreached=unreached if self.reached else None,
            zero=bool(self.reached) and self.is_zero,
            left=sum(each not in self.reached for each in self.left),
            strays=self.strays,
            rates=sorted(self.rates)[-_FEW:],
            place=self.place,
        )


def install(_: dict[str, Any]) -> None:
    """Watch backward passes, steps of optimizers and calls of modules."""
    arrivals.when_imported("torch", _watch)
    atexit.register(guard.quietly(_tell_optimizers))
    atexit.register(guard.quietly(_tell_labels))


def _watch(torch: ModuleType) -> None:
    backward = torch.Tensor.backward
    look = guard.quietly(_look_at_loss)

    @functools.wraps(backward)
    def watched(self: Any, *arguments: Any, **named: Any) -> Any:
        look(self)
        return backward(self, *arguments, **named)

    torch.Tensor.backward = watched
    hooks.around_step(torch, "pre", lambda optimizer: _stepped_by(optimizer).begin())
    hooks.around_step(torch, "post", lambda optimizer: _stepped_by(optimizer).look())
    hooks.before_forward(torch, functools.partial(_look_at_module, torch))


def _look_at_module(torch: ModuleType, module: Any) -> None:
    known = _called.get(id(module))
    if (known is None or known() is not module) and torch.is_grad_enabled():
        _called[id(module)] = weakref.ref(module)


def _stepped_by(optimizer: Any) -> _Stepped:
    stepped = _optimizers.get(id(optimizer))
    if stepped is None or stepped.optimizer() is not optimizer:
        stepped = _optimizers[id(optimizer)] = _Stepped(optimizer)
        _stepped.append(stepped)
    return stepped


def _look_at_loss(loss: Any) -> None:
    global _number  # noqa: PLW0603
    _number += 1
    if _number > _MOST_LOSSES or loss.numel() != 1:
        return
    facts = _entropy(loss.grad_fn)
    batch = loaders.current()
    if len(facts.get("labels", ())) == 1 and batch is not None:
        _suspects.update({number: loader for loader, number, _ in loaders.seen() if number == batch["loader"]})
    wire.tell(
        "loss",
        number=_number,
        value=_plain(float(loss.detach())),
        dtype=str(loss.dtype).removeprefix("torch."),
        place=places.here(),
        batch=batch,
        **facts,
    )


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _nodes(node: Any) -> Iterator[Any]:
    """Give the nodes of a graph from its end on, breadth first."""
    waiting, seen = [node], {node}
    while waiting and len(seen) < _MOST_NODES:
        node = waiting.pop(0)
        yield node
        for each, _ in node.next_functions:
            if each is not None and each not in seen:
                seen.add(each)
                waiting.append(each)


def _entropy(node: Any) -> dict[str, Any]:
    """Return what the first cross entropy of a graph compares; nothing where there is none."""
    for each in _nodes(node) if node is not None else ():
        name = type(each).__name__.rstrip("0")
        if name in {"NllLossBackward", "NllLoss2DBackward"}:
            scores, target = each._saved_self.detach(), each._saved_target  # noqa: SLF001 - torch's own name for it
            kept = target[target != each._saved_ignore_index]  # noqa: SLF001
            if not kept.numel():
                return {}
            known = scores.movedim(1, -1)[target != each._saved_ignore_index]  # noqa: SLF001
            mean = -known.gather(-1, kept.unsqueeze(-1)).float().mean() if scores.dim() > 1 else math.nan
            return _facts(name, scores.shape[1] if scores.dim() > 1 else 0, float(mean), kept)
        if name == "BinaryCrossEntropyWithLogitsBackward":
            scores, target = each._saved_self.detach(), each._saved_target  # noqa: SLF001
            mean = (scores.clamp(min=0) - scores * target + (1 + (-scores.abs()).exp()).log()).float().mean()
            return _facts(name, 2, float(mean), target)
    return {}


def _facts(name: str, classes: int, mean: float, labels: Any) -> dict[str, Any]:
    return {
        "entropy": name.removesuffix("Backward"),
        "classes": classes,
        "mean": _plain(mean),
        "samples": labels.numel(),
        "labels": labels.detach().unique()[:_FEW].tolist(),
    }


def _tell_optimizers() -> None:
    for stepped in _stepped:
        stepped.tell()


def _is_held(parameter: Any) -> bool:
    """Tell whether a module, or anything else, holds a parameter by a name."""
    return any(isinstance(each, dict) and _named(each, parameter) for each in gc.get_referrers(parameter))


def _named(names: dict[Any, Any], parameter: Any) -> bool:
    # A group of an optimizer holds a list, and its state has the parameter as a key.
    return any(value is parameter for name, value in names.items() if isinstance(name, str))


def _strays(modules: list[Any]) -> list[Any]:
    """Return the parameters of these modules that have a gradient now, and are in no optimizer that has stepped."""
    alive = [optimizer for each in _stepped if (optimizer := each.optimizer()) is not None]
    known = {id(each) for optimizer in alive for group in optimizer.param_groups for each in group["params"]}
    return [
        each
        for module in modules
        for each in module.parameters(recurse=False)
        if each.grad is not None and id(each) not in known
    ]


def _names(modules: list[Any]) -> dict[int, str]:
    """Return the names of the parameters whose own modules were called and belong to code of the user's."""
    inner = {id(each) for module in modules for each in module.modules() if each is not module}
    called = {id(each) for each in modules}
    names: dict[int, str] = {}
    for root in (each for each in modules if id(each) not in inner):
        parts = dict(root.named_modules())
        for path, module in parts.items():
            if id(module) in called and _is_own(path, parts):
                for name, parameter in module.named_parameters(recurse=False):
                    names.setdefault(id(parameter), f"{path}.{name}".lstrip("."))
    return names


def _is_own(path: str, parts: dict[str, Any]) -> bool:
    """Tell whether the innermost module on a path that is not torch's comes from a file of the user's."""
    while True:
        kind = type(parts[path])
        if not kind.__module__.startswith("torch."):
            return places.is_own(getattr(sys.modules.get(kind.__module__), "__file__", None) or "<none>")
        if not path:
            return True
        path = path.rpartition(".")[0]


def _tell_labels() -> None:
    """Look at more labels of a dataset whose batches had one: few batches may have one by chance."""
    for number, loader in _suspects.items():
        distinct, began = set(), time.monotonic()
        # Evenly from all over it: what is sorted by class shows the next one.
        indices = range(0, len(loader.dataset), max(1, len(loader.dataset) // _MOST_SAMPLES))
        for index in indices:
            sample = loader.dataset[index]
            label = list(sample.values())[-1] if isinstance(sample, dict) else sample[-1]
            distinct.add(int(label))
            if len(distinct) > 1 or time.monotonic() - began > _PATIENCE:
                break
        wire.tell("labels", loader=number, sampled=len(indices), labels=sorted(distinct))
