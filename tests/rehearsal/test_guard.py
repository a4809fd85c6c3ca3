"""What is ours is not where a signal handler of the program's raises: the program is."""

import signal
import time
from typing import Any

import pytest

from preflight.rehearsal.inside import guard


class Died(Exception):
    pass


def test_what_a_handler_raises_is_the_programs() -> None:
    done = []

    def handler(*_: Any) -> None:
        raise Died

    def watch() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        time.sleep(0.05)
        done.append("watched")

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(Died):
            guard.attempt(watch)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert done == ["watched"]
