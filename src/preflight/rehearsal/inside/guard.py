"""Keeps what is ours from raising into the program: a program must not die of being watched."""

import functools
import signal
from collections.abc import Callable
from typing import Any

from preflight.rehearsal.inside import wire


def attempt(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call `function` and return what it does; None where it raises, which is told and not passed on.

    What the program's own handler of a signal raises meanwhile is passed on, once `function` has been called anew:
    torch's of SIGCHLD does so when a worker dies.
    """
    try:
        return function(*arguments, **named)
    except Exception as problem:  # noqa: BLE001
        if not _is_of_handler(problem):
            return _tell(function, problem)
        raised = problem
    try:
        function(*arguments, **named)
    except Exception as problem:  # noqa: BLE001
        _tell(function, problem)
    raise raised


def _tell(function: Callable[..., Any], problem: Exception) -> None:
    named_one = getattr(function, "func", function)  # of a partial
    why = f"{named_one.__name__}: {type(problem).__name__}: {problem}"
    wire.tell("unable", feature=named_one.__module__.rpartition(".")[2], why=why)


def _is_of_handler(problem: Exception) -> bool:
    """Tell whether a handler of a signal was at work where this was raised."""
    handlers = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()} - {None}
    step = problem.__traceback__
    while step is not None:
        if step.tb_frame.f_code in handlers:
            return True
        step = step.tb_next
    return False


def quietly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` as one that is only attempted."""

    @functools.wraps(function)
    def quiet(*arguments: Any, **named: Any) -> Any:
        return attempt(function, *arguments, **named)

    return quiet


def before(function: Callable[..., Any], watch: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, before which `watch` is attempted with the same arguments."""

    @functools.wraps(function)
    def watched(*arguments: Any, **named: Any) -> Any:
        attempt(watch, *arguments, **named)
        return function(*arguments, **named)

    return watched
