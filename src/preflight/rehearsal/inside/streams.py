"""Tells which random streams the workers of a DataLoader draw from, so that streams which repeat can be seen.

Events: `drawing` {iterator, pids, loader, place, dataset, method, persistent, grad} at the beginning of each pass that
has workers; `drawing-trained` {iterator} once an optimizer steps on batches of that pass; and from inside the workers,
for the first fetches of a pass, `stream` {worker, workers, seed, pass, fetch, dataset, iterable, place, generators},
where `pass` counts in that process, and `generators` are those that the fetch drew from: {name, module, kind, file,
before, after}, the digests of the state around it, `before` empty for a generator that was not there before the fetch.
"""

import itertools
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, holdings, places, wire

_FETCHES = 2
_PASSES = 4


def install(settings: dict[str, Any]) -> None:  # noqa: ARG001 - each feature is told its settings
    """Watch the workers of each DataLoader from now on."""
    os.register_at_fork(after_in_child=_fetching.forget)
    arrivals.when_imported("torch.utils.data._utils.fetch", _watch_fetching)
    arrivals.when_imported("torch.utils.data.dataloader", _watch_passes)
    arrivals.when_imported("torch.optim.optimizer", _watch_training)


class _Passes:
    """The passes with workers of this process: how many there were, and whose batch the program has in hand."""

    def __init__(self) -> None:
        self.numbers = itertools.count()
        self.of: dict[int, int] = {}
        self.current = -1
        self.trained: set[int] = set()

    def note_training(self, *_: Any) -> None:
        """Tell, once for each pass, that an optimizer steps on what it gave."""
        if self.current >= 0 and self.current not in self.trained:
            self.trained.add(self.current)
            wire.tell("drawing-trained", iterator=self.current)


_passes = _Passes()


def _watch_training(module: ModuleType) -> None:
    module.register_optimizer_step_post_hook(_passes.note_training)


def _watch_passes(module: ModuleType) -> None:
    kind = module._MultiProcessingDataLoaderIter  # noqa: SLF001
    reset, next_data = kind._reset, kind._next_data  # noqa: SLF001

    def _reset(self: Any, loader: Any, *arguments: Any, **more: Any) -> Any:
        number = _passes.of[id(self)] = next(_passes.numbers)
        wire.tell(
            "drawing",
            iterator=number,
            pids=[worker.pid for worker in self._workers],
            loader=id(loader),
            place=places.here(),
            dataset=type(loader.dataset).__name__,
            method=type(self._workers[0]).__name__ if self._workers else "",
            persistent=bool(getattr(loader, "persistent_workers", False)),
            grad=bool(module.torch.is_grad_enabled()),
        )
        return reset(self, loader, *arguments, **more)

    def _next_data(self: Any) -> Any:
        _passes.current = _passes.of.get(id(self), -1)
        return next_data(self)

    kind._reset, kind._next_data = _reset, _next_data  # noqa: SLF001


class _Fetching:
    """The pass that this worker is in: how many it has begun, and how many fetches there were in this one."""

    def __init__(self) -> None:
        self.passes = self.fetches = 0

    def forget(self) -> None:
        """Begin to count anew, in a process that was forked."""
        self.passes = self.fetches = 0

    def begin(self) -> None:
        """Note that a pass begins in this process."""
        self.passes, self.fetches = self.passes + 1, 0

    @property
    def is_watched(self) -> bool:
        """Whether the next fetch is one of those that are looked at."""
        return self.passes <= _PASSES and self.fetches < _FETCHES


_fetching = _Fetching()


def _watch_fetching(module: ModuleType) -> None:
    begin = module._BaseDatasetFetcher.__init__  # noqa: SLF001

    def __init__(self: Any, *arguments: Any, **more: Any) -> None:  # noqa: N807
        _fetching.begin()
        begin(self, *arguments, **more)

    module._BaseDatasetFetcher.__init__ = __init__  # noqa: SLF001
    for kind in (module._MapDatasetFetcher, module._IterableDatasetFetcher):  # noqa: SLF001
        kind.fetch = _watched(kind.fetch, iterable=kind is module._IterableDatasetFetcher)  # noqa: SLF001


def _watched(fetch: Callable[[Any, Any], Any], *, iterable: bool) -> Callable[[Any, Any], Any]:
    def watch(self: Any, index: Any) -> Any:
        worker = sys.modules["torch.utils.data"].get_worker_info() if _fetching.is_watched else None
        if worker is None:
            return fetch(self, index)
        _fetching.fetches += 1
        before = _states(self)
        batch = fetch(self, index)
        _tell(self, worker, before, iterable=iterable)
        return batch

    return watch


States = dict[str, tuple[holdings.Held, str]]


def _states(fetcher: Any) -> States:
    try:
        found = holdings.held({"dataset": fetcher.dataset, "collate_fn": fetcher.collate_fn})
        return {f"{each.module}:{each.name}": (each, holdings.digest(each.generator)) for each in found}
    except Exception as problem:  # noqa: BLE001 - a program must not die of being watched
        wire.tell("unable", feature="streams", why=f"{type(problem).__name__}: {problem}")
        return {}


def _tell(fetcher: Any, worker: Any, before: States, *, iterable: bool) -> None:
    drawn = []
    for key, (each, digest) in _states(fetcher).items():
        earlier, state = before.get(key, (each, ""))
        # A generator that took the place of another one has no state from before.
        state = state if earlier.generator is each.generator else ""
        if digest != state:
            facts = {"name": each.name, "module": each.module, "kind": each.kind, "file": each.file}
            drawn.append({**facts, "before": state, "after": digest})
    wire.tell(
        "stream",
        worker=worker.id,
        workers=worker.num_workers,
        seed=worker.seed,
        **{"pass": _fetching.passes - 1},
        fetch=_fetching.fetches,
        dataset=type(fetcher.dataset).__name__,
        iterable=iterable,
        place=_place_of(fetcher.dataset),
        generators=drawn,
    )


def _place_of(dataset: Any) -> places.Place:
    """Return where the code that makes a sample begins: that of the innermost dataset which is the user's."""
    for _ in range(10):
        for name in ("__getitem__", "__getitems__", "__iter__"):
            code = getattr(getattr(type(dataset), name, None), "__code__", None)
            if code is not None and places.is_own(code.co_filename):
                return {"file": os.path.abspath(code.co_filename), "line": code.co_firstlineno, "function": name}
        dataset = getattr(dataset, "dataset", None)
    return {}
