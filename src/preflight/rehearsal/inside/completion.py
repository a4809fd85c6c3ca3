"""The order in which results of parallel work are handed over, where the program takes them as they come.

Told: `salt` (1: as they were asked for, 2: the other way round), and `watched`, with which `completion` {function,
place} is told. It covers `concurrent.futures.as_completed` and `imap_unordered` of pools of `multiprocessing`.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, places, wire

_NUMBER = "_preflight_number"
_numbers = itertools.count()


def install(settings: dict[str, Any]) -> None:
    """Take the place of these functions once their modules are there."""
    backwards, watched = settings["salt"] == 2, settings.get("watched", False)

    def tell(function: str) -> None:
        if watched and (place := places.asking()):
            wire.tell("completion", function=function, place=place)

    def welcome_futures(module: ModuleType) -> None:
        _take_futures(module, tell, backwards=backwards)

    def welcome_pool(module: ModuleType) -> None:
        _take_pool(module, tell, backwards=backwards)

    arrivals.when_imported("concurrent.futures", welcome_futures)
    arrivals.when_imported("multiprocessing.pool", welcome_pool)


def _take_futures(module: Any, tell: Callable[[str], None], *, backwards: bool) -> None:
    future = module._base.Future  # noqa: SLF001
    real_start = future.__init__

    def start(self: Any) -> None:
        real_start(self)
        setattr(self, _NUMBER, next(_numbers))

    def as_completed(fs: Iterable[Any], timeout: float | None = None) -> Iterator[Any]:
        tell("as_completed")
        futures = sorted(set(fs), key=lambda each: getattr(each, _NUMBER, 0), reverse=backwards)
        if backwards:
            module.wait(futures, timeout)
        for each in futures:
            module.wait([each], timeout)
            yield each

    future.__init__ = start
    module.as_completed = as_completed


def _take_pool(module: Any, tell: Callable[[str], None], *, backwards: bool) -> None:
    def imap_unordered(self: Any, func: Any, iterable: Iterable[Any], chunksize: int = 1) -> Iterator[Any]:
        tell("imap_unordered")
        results = self.imap(func, iterable, chunksize)
        return iter(list(results)[::-1]) if backwards else results

    module.Pool.imap_unordered = imap_unordered
