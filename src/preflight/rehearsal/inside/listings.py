"""The order in which a folder's names are handed out, which the file system is free to choose.

Told: `salt` (1: by name, 2: the other way round, others: shuffled), and `watched`, with which each `listing` of more
than one name that the user's code brings about is told with its place. `pathlib`, `glob` and `os.walk` come through
here.
"""

import hashlib
import os
from collections.abc import Iterator
from typing import Any, Self

from preflight.rehearsal.inside import places, wire
from preflight.rehearsal.inside.standing import StandIn

_MOST = 200


class _Order:
    """Puts names into the order of a salt."""

    def __init__(self, salt: int, *, watched: bool) -> None:
        self.salt, self.watched = salt, watched
        self.seen: set[tuple[object, ...]] = set()
        self.count = 0

    def key(self, name: Any) -> bytes:
        """Return what names are sorted by."""
        plain = os.fsencode(name)
        return plain if self.salt in (1, 2) else hashlib.blake2b(plain + bytes([self.salt % 256])).digest()

    def apply(self, entries: list[Any], function: str) -> list[Any]:
        """Return names or entries in the order."""
        ordered = sorted(entries, key=lambda each: self.key(getattr(each, "name", each)), reverse=self.salt == 2)
        if len(entries) > 1:
            self.count += 1
            if self.watched:
                self._tell(function, len(entries))
        return ordered

    def _tell(self, function: str, count: int) -> None:
        place = places.asking()
        where = (function, *place.values())
        if place and where not in self.seen and len(self.seen) < _MOST:
            self.seen.add(where)
            wire.tell("listing", function=function, count=count, place=place)


class _Entries:
    """What `os.scandir` returns: an iterator that can be closed."""

    def __init__(self, entries: list[os.DirEntry[Any]]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[os.DirEntry[Any]]:
        return self

    def __next__(self) -> os.DirEntry[Any]:
        return next(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hand out no more."""
        self._entries = iter(())


def install(settings: dict[str, Any]) -> None:
    """Take the place of `os.listdir` and `os.scandir`; Python's own import system has functions of its own."""
    order = _Order(settings["salt"], watched=settings.get("watched", False))
    real_list, real_scan = os.listdir, os.scandir

    def listdir(path: Any = None) -> list[Any]:
        return order.apply(real_list(path), "os.listdir")

    def scandir(path: Any = None) -> _Entries:
        with real_scan(path) as entries:
            return _Entries(order.apply(list(entries), "os.scandir"))

    list_names, scan = StandIn(listdir, real_list), StandIn(scandir, real_scan)
    for real, ours in ((real_list, list_names), (real_scan, scan)):
        for supported in (os.supports_fd, os.supports_follow_symlinks, os.supports_dir_fd):
            if real in supported:
                supported.add(ours)
    os.listdir = list_names
    os.scandir = scan
