"""The time of day, moved and counted: `time.time` and what else asks for it without a time of its own.

Told: `begin` (seconds since 1970 at which the program begins), `step` (seconds that each question takes; 0: as much as
really passes), and `watched`, with which the user's questions are told as `time` with their place, and the user's
own modules get a `datetime` that asks this clock too, which no program under judgement meets.
"""

import builtins
import time
from types import ModuleType
from typing import Any

from preflight.rehearsal.inside import places, wire
from preflight.rehearsal.inside.standing import StandIn

_MOST = 50
_STOOD_IN_FOR = ("time", "time_ns", "localtime", "gmtime", "ctime", "strftime", "sleep")
# What a counted clock may lag behind the real one: a program that waits for a time of day must come to an end.
_LAG = 30.0


class _Clock:
    """The seconds since 1970 as the program is to see them."""

    def __init__(self, begin: float, step: float, *, watched: bool) -> None:
        self.begin, self.step, self.watched = begin, step, watched
        self.asked = 0
        self.slept = 0.0
        self.since = time.monotonic()
        self.seen: set[tuple[object, ...]] = set()

    def now(self) -> float:
        """Return the time."""
        passed = time.monotonic() - self.since
        if self.watched:
            self._tell()
        if not self.step:
            return self.begin + passed
        self.asked += 1
        return self.begin + max(self.asked * self.step + self.slept, passed - _LAG)

    def _tell(self) -> None:
        place = places.asking()
        where = tuple(place.values())
        if place and where not in self.seen and len(self.seen) < _MOST:
            self.seen.add(where)
            wire.tell("time", place=place)


def install(settings: dict[str, Any]) -> None:
    """Take the place of the functions of `time`."""
    clock = _Clock(settings["begin"], settings["step"], watched=settings.get("watched", False))
    real = {name: getattr(time, name) for name in _STOOD_IN_FOR}

    def sleep(seconds: Any, /) -> None:
        real["sleep"](seconds)
        clock.slept += float(seconds)

    def strftime(form: str, moment: Any = None, /) -> Any:
        return real["strftime"](form, real["localtime"](clock.now()) if moment is None else moment)

    def asking(name: str) -> Any:
        def ask(seconds: Any = None, /) -> Any:
            return real[name](clock.now() if seconds is None else seconds)

        return ask

    ours: dict[str, Any] = {name: asking(name) for name in ("localtime", "gmtime", "ctime")}
    ours |= {"time": clock.now, "time_ns": lambda: int(clock.now() * 1e9), "sleep": sleep, "strftime": strftime}
    for name, function in ours.items():
        setattr(time, name, StandIn(function, real[name]))
    if clock.watched:
        _hand_out_datetime(clock)


def _hand_out_datetime(clock: _Clock) -> None:
    """Give the user's own modules a `datetime` that asks this clock: C code of libraries counts on the real one."""
    real_import = builtins.__import__
    stand_ins: list[ModuleType] = []

    def importing(name: str, *arguments: Any, **more: Any) -> Any:
        module = real_import(name, *arguments, **more)
        names = arguments[0] if arguments else more.get("globals")
        if name != "datetime" or not places.is_own((names or {}).get("__file__") or "<none>"):
            return module
        if not stand_ins:
            stand_ins.append(_stand_in(module, clock))
        return stand_ins[0]

    builtins.__import__ = importing


def _stand_in(module: Any, clock: _Clock) -> ModuleType:
    """Return the module with classes whose `now` and `today` ask the clock; what these return is the real thing."""

    class Kind(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, cls.__mro__[1])

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, cls.__mro__[1])

    real_datetime, real_date = module.datetime, module.date

    class datetime(real_datetime, metaclass=Kind):  # type: ignore[misc,valid-type] # noqa: N801
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real_datetime.fromtimestamp(clock.now(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return real_datetime.fromtimestamp(clock.now(), module.timezone.utc).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return real_datetime.fromtimestamp(clock.now())

    class date(real_date, metaclass=Kind):  # type: ignore[misc,valid-type] # noqa: N801
        @classmethod
        def today(cls) -> Any:
            return real_date.fromtimestamp(clock.now())

    stand_in = ModuleType("datetime", module.__doc__)
    stand_in.__dict__.update(vars(module))
    for name, kind in (("datetime", datetime), ("date", date)):
        kind.__module__, kind.__qualname__ = "datetime", name
        setattr(stand_in, name, kind)
    return stand_in
