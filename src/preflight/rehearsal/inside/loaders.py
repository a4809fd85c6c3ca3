"""Shortens each pass over a torch DataLoader to its first batches and its last, and tells what it hands out.

`loader` {loader, place, dataset, length, shown, batch_size, samples, last, drop_last, workers, context, iterable,
persistent}: a DataLoader before its first pass, or when its length is asked for. `length` is the true number of its
batches and `last` the number of samples in the last of them, both null where that is not known; `shown` is the number
that a pass is cut to.
`pass` {loader, number, shown} · `batch` {loader, pass, index, size, last, asked, waited, …}: one was handed out, for
which the program had asked at `asked` and `waited` so many seconds; what other features measure is among it ·
`pass-end` {loader, number, batches, asked, waited} · `fetched` {dataset, size, seconds}: a worker has made a batch.
"""

# ruff: noqa: N807, SLF001 - what torch keeps to itself is where a pass can be cut, by methods of the same names
import functools
import itertools
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from types import FrameType, ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, callers, frameworks, guard, places, wire
from preflight.rehearsal.inside.shortening import Ends, length_of

# Each returns facts that are told with every batch.
measures: list[Callable[[], dict[str, Any]]] = []
# They ask how long a loader is in order to draw a bar, and do not count on the answer.
_BARS = {"alive_progress", "fastprogress", "progressbar", "rich", "tqdm"}
_EVERY = 200
_in_hands: list[dict[str, Any]] = []
_numbers = itertools.count(1)
_covered: set[type] = set()
_watched: "weakref.WeakKeyDictionary[Any, _Watched]" = weakref.WeakKeyDictionary()
_first = 3
_whole: set[str] = set()


def install(settings: dict[str, Any]) -> None:
    """Cut to `settings["batches"]` and the last, except what is made at a place in `settings["whole"]`; `*` is all."""
    global _first  # noqa: PLW0603
    _first = settings.get("batches", 3)
    _whole.update(settings.get("whole", ()))
    arrivals.when_imported("torch.utils.data.dataloader", _patch)
    arrivals.when_imported("torch.utils.data._utils.fetch", _patch_fetching)
    frameworks.install(settings)


def seen() -> list[tuple[Any, int, places.Place]]:
    """Return each DataLoader that is there and gave batches, with its number and where it was first used."""
    return [(loader, watched.number, watched.place) for loader, watched in list(_watched.items())]


def current() -> dict[str, Any] | None:
    """Return the facts of the batch that the program has in its hands, as `batch` tells them; None without one."""
    return _in_hands[-1] if _in_hands else None


def is_asked(number: int) -> bool:
    """Tell whether the program has asked how long the loader of that number is."""
    return any(watched.number == number and watched.is_asked for watched in list(_watched.values()))


class _Watched:
    """What is known of one DataLoader, and how far its passes went."""

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.place = places.here()
        at = f"{os.path.abspath(self.place.get('file', ''))}:{self.place.get('line')}"
        self.first = sys.maxsize if _whole & {at, "*"} else _first
        self.passes = 0
        self.is_asked = self.is_told = self.was_finished = False
        self.facts: dict[str, Any] = {}

    def look(self, loader: Any, sampler: Any) -> None:
        """Find out how long the loader is, once."""
        if self.facts:
            return
        is_stream = bool(getattr(loader, "_dataset_kind", 0))
        samples = length_of(loader.dataset)
        last = _size_of_last(loader, samples, is_stream)
        length = _batches_of_stream(loader, samples) if is_stream else length_of(sampler)
        self.facts = {
            "loader": self.number,
            "place": self.place,
            "dataset": type(loader.dataset).__name__,
            "length": length,
            "batch_size": getattr(loader.batch_sampler, "batch_size", loader.batch_size),
            "samples": samples,
            "last": last,
            "drop_last": bool(getattr(loader.batch_sampler, "drop_last", loader.drop_last)),
            "workers": loader.num_workers,
            "context": _context(loader),
            "iterable": is_stream,
            "persistent": bool(loader.persistent_workers),
        }

    def begin(self) -> int:
        """Count a pass; return how many batches it shows before the last."""
        if self.was_finished and not self.is_asked and not _is_distributed():
            self.first = min(1, self.first)
        self.passes += 1
        self.tell()
        wire.tell("pass", loader=self.number, number=self.passes, shown=self.shown)
        return self.first

    def tell(self) -> None:
        """Tell of the loader, once: before its first pass, or when the program asks how long it is."""
        if not self.is_told:
            self.is_told = True
            wire.tell("loader", **self.facts, shown=self.shown)

    @property
    def shown(self) -> int | None:
        """How many batches a pass has; None where the program cannot know that either."""
        length = self.facts.get("length")
        return None if length is None else min(length, self.first + 1)


class _Shortened:
    """The index sampler of one iterator of a DataLoader, in the place of the true one."""

    def __init__(self, sampler: Any, watched: _Watched, loader: Any) -> None:
        self._sampler, self.watched = sampler, watched
        # A loader with persistent workers holds its iterator, and is not to be kept alive by it.
        self.loader = weakref.ref(loader) if loader.persistent_workers else lambda: loader
        watched.look(loader, sampler)
        self.ends: Ends | None = None
        self.heir: Any = None
        # What is left of the true pass, where the program counts its batches itself.
        self.left: int | None = None
        self.number = self.handed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self).get("_sampler"), name)

    def __len__(self) -> int:
        shown = self.watched.shown
        return len(self._sampler) if shown is None else shown

    def __iter__(self) -> Ends:
        """Begin a pass; torch asks twice for the first one with workers, and takes the second."""
        facts = self.watched.facts
        self.ends = Ends(self._sampler, self._begin, facts["length"], facts["last"], is_stream=facts["iterable"])
        return self.ends

    def _begin(self) -> int:
        first = self.watched.begin()
        self.number, self.handed = self.watched.passes, 0
        return first

    def hand_out(self, batch: Any, asked: float) -> None:
        """Tell of a batch that the program gets now."""
        waited = time.monotonic() - asked
        given = self.ends.given if self.ends else None
        named, is_last = given.popleft() if given else (None, False)
        size = _size_of(batch) if named is None or self.watched.facts["iterable"] else named
        facts = {
            "loader": self.watched.number,
            "pass": self.number,
            "index": self.handed,
            "size": size,
            "last": is_last,
            "asked": asked,
            "waited": waited,
        }
        _hold(self, facts)
        if self.handed < _EVERY or self.handed % _EVERY == 0 or is_last:
            for measure in measures:
                facts.update(measure())
            wire.tell("batch", **facts)
        self.handed += 1
        if self.left is not None:
            self.left -= 1

    def finish(self, asked: float) -> None:
        """Tell that the program has seen the end of a pass."""
        _hold(self, None)
        self.watched.was_finished = True
        facts = {"number": self.number, "batches": self.handed, "asked": asked, "waited": time.monotonic() - asked}
        wire.tell("pass-end", loader=self.watched.number, **facts)

    def has_more(self) -> bool:
        """Tell whether the true pass would go on here."""
        return self.ends is not None and self.ends.is_cut and self.left != 0


def _patch(module: ModuleType) -> None:
    loader, iterator = module.DataLoader, module._BaseDataLoaderIter
    sampler_of, length, create, following = (
        loader._index_sampler.fget,
        loader.__len__,
        loader.__init__,
        iterator.__next__,
    )

    @functools.wraps(create)
    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        create(self, *arguments, **named)
        guard.attempt(_watch, self)
        guard.attempt(_cover, type(self), loader)

    @functools.wraps(following)
    def __next__(self: Any) -> Any:
        short = getattr(self, "_index_sampler", None)
        if not isinstance(short, _Shortened):
            return following(self)
        if short.heir is not None:
            return next(short.heir)
        asked = time.monotonic()
        try:
            batch = _following(self, short, following)
        except StopIteration:
            guard.attempt(short.finish, asked)
            if not guard.attempt(_must_go_on, short, sys._getframe(1)):
                raise
        else:
            guard.attempt(short.hand_out, batch, asked)
            return batch
        _go_on(self, short, loader)
        return __next__(self)

    loader.__init__, loader.__len__, iterator.__next__ = __init__, _limited(length), __next__
    loader._index_sampler = property(lambda self: _shorten(self, sampler_of(self)))


def _patch_fetching(module: ModuleType) -> None:
    for fetcher in (module._MapDatasetFetcher, module._IterableDatasetFetcher):
        fetcher.fetch = _timed(fetcher.fetch)


def _timed(fetch: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @functools.wraps(fetch)
    def timed(self: Any, index: Any) -> Any:
        if sys.modules["torch.utils.data"].get_worker_info() is None:
            return fetch(self, index)
        began = time.monotonic()
        batch = fetch(self, index)
        seconds = time.monotonic() - began
        wire.tell("fetched", dataset=type(self.dataset).__name__, size=length_of(index), seconds=seconds)
        return batch

    return timed


def _following(iterator: Any, short: _Shortened, following: Callable[[Any], Any]) -> Any:
    if short.left == 0:
        raise StopIteration
    return following(iterator)


def _watch(loader: Any) -> _Watched:
    if loader not in _watched:
        _watched[loader] = _Watched()
    return _watched[loader]


def _shorten(loader: Any, sampler: Any) -> Any:
    watched = guard.attempt(_watch, loader)
    short = watched and guard.attempt(_Shortened, sampler, watched, loader)
    return sampler if short is None else short


def _limited(length: Callable[[Any], int]) -> Callable[[Any], int]:
    """Return a `__len__` that agrees with what a pass shows."""

    @functools.wraps(length)
    def __len__(self: Any) -> int:
        whole = length(self)
        return guard.attempt(_limit, self, whole, sys._getframe(1).f_globals.get("__name__", "")) or whole

    return __len__


def _limit(loader: Any, whole: int, asking: str) -> int:
    watched = _watch(loader)
    watched.is_asked |= asking.partition(".")[0] not in _BARS
    shown = getattr(loader, "_index_sampler").watched.shown  # noqa: B009 - a property that is ours
    watched.tell()
    return min(whole, watched.first + 1 if shown is None else shown)


def _cover(kind: type, loader: type) -> None:
    """Limit the length that a kind of loader gives in its own way, as one that repeats its sampler for ever does."""
    for each in kind.__mro__[: kind.__mro__.index(loader)]:
        if "__len__" in vars(each) and each not in _covered:
            _covered.add(each)
            each.__len__ = _limited(each.__len__)  # type: ignore[attr-defined]


def _must_go_on(short: _Shortened, frame: FrameType) -> bool:
    return short.loader() is not None and short.has_more() and callers.would_fail(frame)


def _go_on(iterator: Any, short: _Shortened, loader: Any) -> None:
    """Let an iterator whose program counts its batches itself give as many as it truly would."""
    length = short.watched.facts["length"]
    left = None if length is None else length - short.handed
    short.watched.is_asked = True
    if length is not None:
        short.watched.first = sys.maxsize
    if iterator._num_workers == 0:
        iterator._reset(short.loader())
    else:
        # Its workers have gone with the end of the pass, unless they persist.
        heir = loader.__iter__(short.loader())
        short.heir = None if heir is iterator else heir
    (short.heir or iterator)._index_sampler.left = left


def _hold(short: _Shortened, facts: dict[str, Any] | None) -> None:
    _in_hands[:] = [each for each in _in_hands[-8:] if each["loader"] != short.watched.number]
    if facts is not None:
        _in_hands.append(facts)


def _size_of_last(loader: Any, samples: int | None, is_stream: bool) -> int | None:
    sampler = loader.batch_sampler
    size: int | None = loader.batch_size
    if is_stream:
        # How workers share a stream is the dataset's own business.
        count = None if loader.num_workers else samples
    else:
        count = length_of(sampler.sampler) if type(sampler).__name__ == "BatchSampler" else None
        size = getattr(sampler, "batch_size", None)
    if not count or not size:
        return None
    return size if loader.drop_last or getattr(sampler, "drop_last", False) else count % size or size


def _batches_of_stream(loader: Any, samples: int | None) -> int | None:
    if samples is None or not loader.batch_size:
        return samples
    return int(samples // loader.batch_size if loader.drop_last else -(-samples // loader.batch_size))


def _size_of(batch: Any) -> int | None:
    """Return how many samples a batch holds, by the first tensor or array in it."""
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, (list, tuple)):
        return next((size for size in map(_size_of, batch) if size is not None), None)
    shape = getattr(batch, "shape", None)
    return int(shape[0]) if shape else None


def _context(loader: Any) -> str | None:
    if not loader.num_workers:
        return None
    if loader.multiprocessing_context is not None:
        return str(loader.multiprocessing_context.get_start_method())
    processes = sys.modules["multiprocessing"]
    return str(processes.get_start_method(allow_none=True) or processes.get_all_start_methods()[0])


def _is_distributed() -> bool:
    """Tell whether other ranks must see as many batches."""
    distributed = sys.modules.get("torch.distributed")
    return os.environ.get("WORLD_SIZE", "1") != "1" or bool(
        distributed and distributed.is_available() and distributed.is_initialized()
    )
