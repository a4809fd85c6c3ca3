"""Which lines of the user's code draw from a global generator that has not been seeded.

The lines are stepped through and the states of the generators compared from one to the next, so that a draw is found
whichever library makes it. Told: `sources`. Tells `draw` {source, place} once for each line.
"""

import ctypes
import sys
import threading
import time
import zlib
from collections.abc import Callable
from types import CodeType, FrameType, ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, places, wire
from preflight.rehearsal.inside.standing import StandIn

_MOST = 50
# Stepping through a long loop of the user's takes time; what is unseeded shows early.
_PATIENCE = 10.0
_SEEDERS = {
    "random": ("random", ("seed", "setstate")),
    "numpy": ("numpy.random", ("seed", "set_state")),
    "torch": ("torch", ("manual_seed", "set_rng_state", "seed")),
}


class _Generator:
    """One global generator: its state in short, and whether the program has seeded it."""

    def __init__(self, source: str, digest: Callable[[], object]) -> None:
        self.source, self.digest = source, digest
        self.is_seeded = False
        self.last = digest()

    def has_moved(self) -> bool:
        """Tell whether the state is another than at the last call."""
        before, self.last = self.last, self.digest()
        return before != self.last


class _Watch:
    """Steps through the user's lines."""

    def __init__(self) -> None:
        self.generators: list[_Generator] = []
        self.own: dict[CodeType, bool] = {}
        self.seen: set[tuple[object, ...]] = set()
        self.place: dict[str, Any] = {}
        self.until = time.monotonic() + _PATIENCE

    def enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Trace a frame of the user's (sys.settrace)."""
        code = frame.f_code
        if code not in self.own:
            self.own[code] = places.is_own(code.co_filename)
        if not self.own[code] or time.monotonic() > self.until:
            return None
        return self.step(frame, event, argument)

    def step(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Blame the line before this one for what has moved; where one returns, its caller's line goes on."""
        for generator in self.generators:
            if not generator.is_seeded and generator.has_moved() and self.place:
                self._tell(generator.source)
        here: FrameType | None = frame.f_back if event == "return" else frame
        while here is not None and not self.own.get(here.f_code, False):
            here = here.f_back
        if here is not None:
            self.place = places.of_frame(here)
        return self.step

    def _tell(self, source: str) -> None:
        where = (source, *self.place.values())
        if where not in self.seen and len(self.seen) < _MOST:
            self.seen.add(where)
            wire.tell("draw", source=source, place=self.place)


def install(settings: dict[str, Any]) -> None:
    """Watch the generators of `sources` once their modules are there; to be installed after `generators`."""
    watch = _Watch()
    for source in settings["sources"]:

        def welcome(module: ModuleType, source: str = source) -> None:
            generator = _Generator(source, _DIGESTS[source](module))
            _hear_of_seeding(module, _SEEDERS[source][1], generator)
            watch.generators.append(generator)

        if source in _SEEDERS:
            arrivals.when_imported(_SEEDERS[source][0], welcome)
    threading.settrace(watch.enter)
    sys.settrace(watch.enter)


def _hear_of_seeding(module: Any, names: tuple[str, ...], generator: _Generator) -> None:
    for name in names:
        real = getattr(module, name)

        def seeding(*arguments: Any, real: Any = real, **more: Any) -> Any:
            generator.is_seeded = True
            return real(*arguments, **more)

        setattr(module, name, StandIn(seeding, real))


def _of_random(random: Any) -> Callable[[], object]:
    # The state behind the head of the object: its index and its 624 words (CPython, Modules/_randommodule.c). A tuple
    # of them, which `getstate` makes, takes ten times as long.
    address = id(random._inst) + object.__basicsize__  # noqa: SLF001
    return lambda: zlib.crc32(ctypes.string_at(address, 625 * 4))


def _of_numpy(module: Any) -> Callable[[], object]:
    generator = module.mtrand._rand._bit_generator  # noqa: SLF001
    address = generator.ctypes.state_address
    # struct mt19937_state { uint32_t key[624]; int pos; } (numpy/random/src/mt19937)
    return lambda: zlib.crc32(ctypes.string_at(address, 625 * 4))


def _of_torch(torch: Any) -> Callable[[], object]:
    generator = torch.random.default_generator
    return lambda: zlib.crc32(ctypes.string_at((state := generator.get_state()).data_ptr(), state.numel()))


_DIGESTS: dict[str, Callable[[Any], Callable[[], object]]] = {
    "random": _of_random,
    "numpy": _of_numpy,
    "torch": _of_torch,
}
