"""What stands in for a function that is written in C: like one, it does not bind to an object whose class has it."""

from collections.abc import Callable
from typing import Any


class StandIn:
    """Calls `function` in the place of `real`, and is pickled by the name of that."""

    def __init__(self, function: Callable[..., Any], real: Any) -> None:
        self.__wrapped__ = real
        self.__name__ = self.__qualname__ = getattr(real, "__name__", "")
        self.__module__ = getattr(real, "__module__", "") or ""
        self.__doc__ = real.__doc__
        self._call = function

    def __call__(self, *arguments: Any, **more: Any) -> Any:  # noqa: D102 - it is the function itself
        return self._call(*arguments, **more)

    def __reduce__(self) -> str:
        return self.__qualname__
