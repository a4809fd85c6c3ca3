"""Asks the program what it was not going to tell, in a run for that alone.

`repeatable` {place, model, equal, far}: the model in eval mode was given one batch twice; `far` is the largest
difference. `independent` {place, model, others, constant, far}: the last sample of a batch was exchanged for another;
whether the outputs of the `others` stayed the same, and whether those of all samples were the same from the start.
`disjoint` {looked, shared, known, place}: at the end, how many samples of a loader that was not learned from are among
those `known` from the others.
`overfit` {losses, steps}: one batch was given again and again; the run ends by that.
"""

# ruff: noqa: SLF001 - batches are repeated where torch hands them out

import atexit
import functools
import hashlib
import itertools
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, guard, hooks, loaders, places, wire

_STEPS = 80
# A loader that is not learned from gives so many batches of a pass.
_FEW = 3
_MOST_SAMPLES = 3000
_PATIENCE = 10.0
_NEAR = {"rtol": 1e-3, "atol": 1e-4}
_kept: dict[int, tuple[Any, places.Place]] = {}
_learned: set[int] = set()
_probed: list[Any] = []
_losses: list[float] = []


def install(settings: dict[str, Any]) -> None:
    """Prepare what `settings["ask"]` names."""
    asked = settings["ask"]
    if "overfit" in asked:
        arrivals.when_imported("torch.utils.data.dataloader", _repeat_batches)
    if {"repeatable", "independent"} & {*asked}:
        arrivals.when_imported("torch", functools.partial(_watch_models, asked))
    if "disjoint" in asked:
        loaders.measures.append(_keep)
        atexit.register(guard.quietly(_tell_shared))
    arrivals.when_imported("torch", _watch_backward)


def _watch_models(asked: list[str], torch: ModuleType) -> None:
    hooks.before_forward(torch, functools.partial(_meet, torch, asked))


def _watch_backward(torch: ModuleType) -> None:
    backward = torch.Tensor.backward

    @functools.wraps(backward)
    def watched(self: Any, *arguments: Any, **named: Any) -> Any:
        if batch := loaders.current():
            _learned.add(batch["loader"])
        _losses.append(float(self.detach().float().mean()))
        return backward(self, *arguments, **named)

    torch.Tensor.backward = watched


def _repeat_batches(module: ModuleType) -> None:
    """Give the first batch of each pass again and again, until the program has learned from it often enough."""
    following = module._BaseDataLoaderIter.__next__

    @functools.wraps(following)
    def again(self: Any) -> Any:
        if len(_losses) >= _STEPS:
            wire.tell("overfit", losses=_losses[:_STEPS], steps=len(_losses))
            sys.stdout.flush()
            os._exit(0)
        if not hasattr(self, "_first"):
            self._first, self._before, self._given = following(self), len(_losses), 0
        self._given += 1
        if self._given > _FEW and len(_losses) == self._before:
            raise StopIteration
        return _copy(self._first)

    module._BaseDataLoaderIter.__next__ = again


def _copy(value: Any) -> Any:
    """Return a batch that the program may change without changing the next."""
    if hasattr(value, "clone"):
        return value.clone()
    if isinstance(value, dict):
        return type(value)({key: _copy(each) for key, each in value.items()})
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_copy, value))
    return type(value)(map(_copy, value)) if isinstance(value, (list, tuple)) else value


def _meet(torch: ModuleType, asked: list[str], module: Any) -> None:
    """Have the outermost module of a training batch probed when it is called next: its arguments are seen then."""
    batch = loaders.current()
    if batch is None or _probed or not torch.is_grad_enabled() or next(module.parameters(), None) is None:
        return
    _probed.append(_Probe(torch, asked, module))


class _Probe:
    """Calls a module with the arguments that it is called with, and with others like them."""

    def __init__(self, torch: ModuleType, asked: list[str], module: Any) -> None:
        self.torch, self.asked = torch, asked
        self.facts = {"place": places.here(), "model": type(module).__name__}
        self.hook = module.register_forward_pre_hook(guard.quietly(self.ask), with_kwargs=True)

    def ask(self, module: Any, arguments: Any, named: Any) -> None:
        """Ask in eval mode, once."""
        self.hook.remove()
        batch = loaders.current()
        self.size = batch["size"] if batch else 0
        with _undisturbed(self.torch, module):
            given = (arguments, named)
            first, second = self.call(module, given), self.call(module, given)
            if first and "repeatable" in self.asked:
                wire.tell("repeatable", equal=self.agree(first, second), far=_far(first, second), **self.facts)
            if first and "independent" in self.asked and self.size > 2:
                changed = self.map(given, lambda tensor: self.torch.cat([tensor[:-1], tensor[:1]]))
                third = self.call(module, changed)
                rest, others = [each[:-1] for each in first], [each[:-1] for each in third]
                constant = all(bool((each == each[:1]).all()) for each in first)
                agree, far = self.agree(rest, others), _far(rest, others)
                wire.tell("independent", others=agree, constant=constant, far=far, **self.facts)

    def call(self, module: Any, given: Any) -> list[Any]:
        """Return the tensors of the output that have a row for each sample."""
        arguments, named = _copy(given)
        return list(self.outputs(module(*arguments, **named)))

    def agree(self, first: list[Any], second: list[Any]) -> bool:
        """Tell whether outputs are the same but for rounding."""
        return all(self.torch.allclose(one, two, **_NEAR) for one, two in zip(first, second, strict=True))

    def outputs(self, value: Any) -> Iterator[Any]:
        """Give the tensors in an output that have a row for each sample."""
        if isinstance(value, self.torch.Tensor):
            if value.dim() and len(value) == self.size and value.is_floating_point():
                yield value
        elif isinstance(value, (dict, list, tuple)):
            for each in value.values() if isinstance(value, dict) else value:
                yield from self.outputs(each)

    def map(self, value: Any, function: Callable[[Any], Any]) -> Any:
        """Return arguments in which the tensors that have a row for each sample are changed."""
        if isinstance(value, self.torch.Tensor):
            return function(value) if value.dim() and len(value) == self.size else value
        if isinstance(value, dict):
            return type(value)({key: self.map(each, function) for key, each in value.items()})
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            return type(value)(self.map(each, function) for each in value)
        return value


def _far(first: list[Any], second: list[Any]) -> float:
    return max(float((one.float() - two.float()).abs().max()) for one, two in zip(first, second, strict=True))


@contextmanager
def _undisturbed(torch: ModuleType, module: Any) -> Iterator[None]:
    """Put the module into eval mode without gradients, and all as it was afterwards."""
    modes = [(each, each.training) for each in module.modules()]
    numpy = sys.modules.get("numpy")
    states = torch.get_rng_state(), random.getstate(), numpy and numpy.random.get_state()
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for each, mode in modes:
            each.training = mode
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        if numpy:
            numpy.random.set_state(states[2])


def _keep() -> dict[str, Any]:
    """Hold on to each loader that gives batches, for the end."""
    for loader, number, place in loaders.seen():
        _kept.setdefault(number, (loader, place))
    return {}


def _tell_shared() -> None:
    learned = [loader for number, (loader, _) in _kept.items() if number in _learned]
    for number, (loader, place) in _kept.items():
        if number in _learned or not learned:
            continue
        seen = {key for each in learned for key in _keys(each)}
        keys = list(_keys(loader))
        wire.tell(
            "disjoint",
            looked=len(keys),
            shared=sum(key in seen for key in keys),
            known=len(seen),
            place=place,
        )


def _keys(loader: Any) -> Iterator[bytes]:
    """Give a hash of the content of each of the first samples of a dataset, labels left out."""
    dataset, until = loader.dataset, time.monotonic() + _PATIENCE
    for index in itertools.islice(range(len(dataset)), _MOST_SAMPLES):
        sample = dataset[index]
        parts = list(sample.values()) if isinstance(sample, dict) else sample
        parts = list(parts) if isinstance(parts, (list, tuple)) else [parts]
        yield hashlib.sha256(max((_content(each) for each in parts), key=len)).digest()
        if time.monotonic() > until:
            return


def _content(value: Any) -> bytes:
    if hasattr(value, "detach"):
        value = value.detach().cpu().contiguous().numpy()
    return bytes(value.tobytes()) if hasattr(value, "tobytes") else repr(value).encode()
