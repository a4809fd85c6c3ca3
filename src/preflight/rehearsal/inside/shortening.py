"""The indices of a pass over data, cut to the first ones and the last."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

# How far the end of a sampler is looked for: in batches where it says how many there are, and where it does not.
MOST = 200_000
AHEAD = 10_000
PATIENCE = 2.0
_NOTHING: Any = object()


def length_of(sized: object) -> int | None:
    """Return `len()` of anything; None where it has none, or fails."""
    try:
        return len(sized)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - the program's own call is the one to fail
        return None


class Ends:
    """An iterator over the first of some indices and the last of them, which is all of them where that is all.

    `begin` is called when the first one is asked for, and returns how many are given before the last.
    `total` says how many there are, None where that is not known; `size` how many samples the last one holds, for
    where walking there would take too long. `is_cut` is true once something was left out. `given` holds for each index
    that was asked for and whose batch is still on its way how many samples it names, and whether it is the last.
    The indices of a stream are endless and all alike: the stream itself ends.
    """

    def __init__(
        self,
        indices: Iterable[Any],
        begin: Callable[[], int],
        total: int | None,
        size: int | None,
        *,
        is_stream: bool = False,
    ) -> None:
        # Asked for at once, as torch does: a sampler may draw from a generator here.
        self._indices = iter(indices)
        self._begin, self._total, self._size = begin, total, size
        self._ends = self._of_stream() if is_stream else self._choose()
        self.is_cut = False
        self.given: deque[tuple[int | None, bool]] = deque()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        index, is_last = next(self._ends)
        self.given.append((length_of(index), is_last))
        return index

    def _choose(self) -> Iterator[tuple[Any, bool]]:
        first, count = self._begin(), 0
        for index in islice(self._indices, first):
            count += 1
            yield index, count == self._total
        yield from self._end_of_unknown() if self._total is None else self._end(self._total - count)

    def _of_stream(self) -> Iterator[tuple[Any, bool]]:
        first = self._begin()
        self.is_cut = first < sys.maxsize if self._total is None else self._total > first + 1
        for index in islice(self._indices, first if self.is_cut else None):
            yield index, False
        index = next(self._indices)
        yield (index[: self._size], True) if self._size and isinstance(index, list) else (index, False)

    def _end_of_unknown(self) -> Iterator[tuple[Any, bool]]:
        """Give the last where it is near, else the next: there may be no last."""
        ahead = list(islice(self._indices, AHEAD))
        self.is_cut = len(ahead) > 1
        if ahead:
            yield (ahead[0], False) if len(ahead) == AHEAD else (ahead[-1], True)

    def _end(self, left: int) -> Iterator[tuple[Any, bool]]:
        self.is_cut = left > 1
        if left > 0 and (following := next(self._indices, _NOTHING)) is not _NOTHING:
            final = following if left > MOST else self._walk(following, left)
            if left > 1 and final is following:
                # Too far away: the next one, at the size of the last.
                yield (following[: self._size] if self._size else following), bool(self._size)
            else:
                yield final, True

    def _walk(self, following: Any, left: int) -> Any:
        """Return the last index; the one that follows where the walk takes too long."""
        final, began = following, time.monotonic()
        for number, index in enumerate(islice(self._indices, left - 1)):
            final = index
            if number % 64 == 63 and time.monotonic() - began > PATIENCE:
                return following
        return final
