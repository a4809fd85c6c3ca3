"""Children: every way in which one can end, seen without pytest around it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight.isolation.child import Send
from preflight.isolation.children import GRACE, Children, How, run


def said(*messages: dict[str, Any]) -> Callable[[Send], None]:
    """Return work that sends these messages."""

    def work(send: Send) -> None:
        for message in messages:
            send(message)

    return work


def test_finished_child_has_said_all() -> None:
    """Messages arrive in order, with what was printed."""

    def work(send: Send) -> None:
        print("on stdout")
        print("on stderr", file=sys.stderr)
        send({"number": 1})
        send({"number": 2})

    ending = run(work, 10)
    assert ending.how is How.FINISHED
    assert ending.messages == [{"number": 1}, {"number": 2}, {"end": True}]
    assert set(ending.output.split("\n")) >= {"on stdout", "on stderr"}


@pytest.mark.parametrize(
    ("work", "how", "code"),
    [
        (lambda _: os._exit(0), How.EXITED, 0),
        (lambda _: os._exit(7), How.EXITED, 7),
        (lambda _: os.kill(os.getpid(), signal.SIGKILL), How.SIGNALLED, signal.SIGKILL),
        (lambda _: os.abort(), How.SIGNALLED, signal.SIGABRT),
        (lambda _: time.sleep(60), How.DEADLINE, 0),
    ],
)
def test_ending_is_named(work: Callable[[Send], None], how: How, code: int) -> None:
    """Exit codes, signals and deadlines are told apart."""
    ending = run(work, 0.5)
    assert (ending.how, ending.code if how is not How.DEADLINE else 0) == (how, code)


def test_what_was_said_before_a_death_is_kept() -> None:
    """A child that dies after its first words has said them."""

    def work(send: Send) -> None:
        send({"number": 1})
        os.abort()

    assert run(work, 10).messages == [{"number": 1}]


def test_stack_of_a_child_that_hangs_is_there() -> None:
    """The watchdog writes where it was, just before the deadline."""

    def hang_here(_: Send) -> None:
        while True:
            pass

    assert "hang_here" in run(hang_here, 0.6).stack


def test_child_within_a_child() -> None:
    """A child may have children of its own, also while its watchdog is armed."""

    def outer(send: Send) -> None:
        inner = run(said({"inner": True}), 5)
        send({"inner": inner.messages[0], "how": inner.how})

    assert run(outer, 10).messages[0] == {"inner": {"inner": True}, "how": "finished"}


def test_children_do_not_wait_for_each_other() -> None:
    """A slow one and a stuck one cost nobody else anything."""
    children = Children()
    children.start("slow", lambda _: time.sleep(4), 10)
    for number in range(20):
        children.start(f"quick {number}", said(), 10)
    ended: list[str] = []
    while len(children):
        ended += [key for key, _ in children.wait(1)]
    assert ended[-1] == "slow"
    assert len(ended) == 21


def test_command_answers_like_a_fork() -> None:
    """A fresh process finds the descriptors in its arguments."""
    program = 'import os, sys; os.write(int(sys.argv[1]), b\'{"fresh": true}\\n{"end": true}\\n\')'
    children = Children()
    children.start("", [sys.executable, "-c", program, "{answer}", "{trace}"], 20)
    ((_, ending),) = children.wait(20) or children.wait(20)
    assert (ending.how, ending.messages[0]) == (How.FINISHED, {"fresh": True})


def test_killed_children_are_gone() -> None:
    """`kill` ends all at once, also those that block every signal, and returns who they were."""

    def stubborn(_: Send) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(60)

    children = Children()
    for number in range(5):
        children.start(str(number), stubborn, 60)
    began = time.monotonic()
    assert children.kill() == ["0", "1", "2", "3", "4"]
    assert time.monotonic() - began < GRACE + 5
    assert len(children) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="a limit of processes does not bind without a user to bind it to")
def test_child_that_cannot_start_is_an_ending() -> None:
    """Where no process can be had, that is the answer."""
    program = """
import resource
from preflight.isolation.children import run
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
ending = run(lambda send: None, 5)
assert ending.how == "not started", ending
assert "unavailable" in ending.output, ending
"""
    command = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", program]
    if subprocess.run([*command[:-1], "pass"], check=False, capture_output=True).returncode:
        pytest.skip("the interpreter cannot be run by another user here")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_a_child_started_ends_with_it() -> None:
    """Processes that a child leaves in its group do not wait for the end of the run."""

    def work(send: Send) -> None:
        send({"pid": subprocess.Popen(["sleep", "600"]).pid})

    pid = run(work, 10).messages[0]["pid"]
    until = time.monotonic() + 2
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < until:
        time.sleep(0.01)
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] if os.path.exists(f"/proc/{pid}") else "Z"
    assert state == "Z"


def test_no_descriptor_is_leaked() -> None:
    """Fifty children leave as many open files as there were."""
    before = len(os.listdir("/proc/self/fd"))
    children = Children()
    for number in range(50):
        children.start(str(number), said({"x": 1}), 10)
    while len(children):
        children.wait(1)
    del children
    assert len(os.listdir("/proc/self/fd")) <= before + 1
