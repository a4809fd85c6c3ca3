"""Keeps what is ours from raising into the program: a program must not die of being watched."""

import functools
import signal
from collections.abc import Callable
from typing import Any

from preflight.rehearsal.inside import wire

# Handlers of these raise into whatever runs (torch's of SIGCHLD does when a worker dies): that is to be the program.
_RAISING = (signal.SIGALRM, signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def attempt(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call `function` and return what it does; None where it raises, which is told and not passed on.

    A signal that comes meanwhile is handled after it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _RAISING)
    try:
        return _attempt(function, *arguments, **named)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _attempt(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    try:
        return function(*arguments, **named)
    except Exception as problem:  # noqa: BLE001
        named_one = getattr(function, "func", function)  # of a partial
        why = f"{named_one.__name__}: {type(problem).__name__}: {problem}"
        wire.tell("unable", feature=named_one.__module__.rpartition(".")[2], why=why)
        return None


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
