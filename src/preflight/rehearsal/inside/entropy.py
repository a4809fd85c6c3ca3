"""What the kernel calls random, made a function of a salt: `os.urandom`, and all in Python that is seeded from it.

`numpy.random.default_rng()`, `random.Random()`, `secrets` and `uuid.uuid4` draw from it. Told: `salt`, and `watched`,
with which each `draw` that the user's code brings about is told with its place.
"""

import hashlib
import os
import sys
from types import FrameType, ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, identity, places, wire
from preflight.rehearsal.inside.standing import StandIn

_MOST = 50


class _Entropy:
    """Takes the place of `os.urandom`."""

    def __init__(self, salt: int, *, watched: bool) -> None:
        self.salt, self.watched = salt, watched
        self.drawn = 0
        self.seen: set[tuple[object, ...]] = set()

    def __call__(self, size: int, /) -> bytes:
        self.drawn += 1
        if self.watched:
            self._tell()
        text = f"{self.salt} {identity.name()} {self.drawn}"
        return hashlib.shake_128(text.encode()).digest(size)

    def restart(self) -> None:
        """Begin anew in a forked process, whose name is another one."""
        self.drawn = 0

    def _tell(self) -> None:
        place = places.asking()
        where = tuple(place.values())
        if place and where not in self.seen and len(self.seen) < _MOST:
            self.seen.add(where)
            wire.tell("draw", source="entropy", through=_library(), place=place)


def _library() -> str:
    """Return the module of a library through which the user's code came here; empty where no Python module is."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001
    name = ""
    while frame is not None and not places.is_own(frame.f_code.co_filename):
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith("preflight."):
            name = module
        frame = frame.f_back
    return name


def install(settings: dict[str, Any]) -> None:
    """Have all entropy come from the salt."""
    identity.name()
    entropy = _Entropy(settings["salt"], watched=settings.get("watched", False))
    os.urandom = StandIn(entropy, os.urandom)
    os.register_at_fork(after_in_child=entropy.restart)

    def welcome(module: ModuleType) -> None:
        _take_random(module, entropy)

    arrivals.when_imported("random", welcome)


def _take_random(random: Any, entropy: _Entropy) -> None:
    """Have generators that are made without a seed take theirs from `os.urandom`: in C they ask the kernel."""
    if not hasattr(random, "_inst"):
        return
    original = random.Random.seed

    def seed(self: Any, a: Any = None, version: int = 2) -> None:
        original(self, int.from_bytes(entropy(32), "little") if a is None else a, version)

    random.Random.seed = seed
    random._urandom = os.urandom  # noqa: SLF001
    random.seed = random._inst.seed  # noqa: SLF001
