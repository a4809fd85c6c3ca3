"""What is ours is not where a signal handler of the program's raises: the program is."""

import signal
import threading
import time
from typing import Any

import pytest

from preflight.rehearsal.inside import guard, wire


class Died(Exception):
    pass


def handler(*_: Any) -> None:
    raise Died


def test_what_a_handler_raises_is_the_programs() -> None:
    done = []

    def watch() -> None:
        time.sleep(0.05)
        done.append("watched")

    over = threading.Event()
    # The kernel gives the signal to any thread of the process; Python runs the handler in this one.
    other = threading.Thread(target=over.wait)
    other.start()
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Died):
            guard.attempt(watch)
    finally:
        signal.signal(signal.SIGALRM, before)
        over.set()
        other.join()
    assert done == ["watched"]


def test_what_a_watch_raises_by_itself_is_told_and_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(wire, "tell", lambda kind, **facts: told.append(f"{kind}: {facts['why']}"))

    def watch() -> None:
        raise Died("of itself")

    assert guard.attempt(watch) is None
    assert told == ["unable: watch: Died: of itself"]
