"""One piece of work in a child process of its own; every way in which the child can end is an `Ending`."""

from __future__ import annotations

import gc
import json
import os
import selectors
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from preflight.isolation import child as inside
from preflight.isolation.child import Work
from preflight.system.kernel import kill_group, nameless_file, process_state
from preflight.system.tail import Tail

# How long a killed child may take to be gone: one that the kernel will not let go of (a dead NFS mount) is left behind.
GRACE = 1.0
_MOST_ANSWER = 64 * 1024 * 1024


class How(StrEnum):
    """The ways in which a child ends."""

    FINISHED = "finished"
    EXITED = "exited"
    SIGNALLED = "signalled"
    DEADLINE = "deadline"
    STUCK = "stuck"
    NOT_STARTED = "not started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a child ended, and what it had said by then.

    `messages` are what it sent; `code` is the exit code or the signal; `state` is the letter of its state when the
    deadline passed; `stack` is what faulthandler wrote; `output` is both of its output streams, the middle left out
    where long.
    """

    how: How
    messages: Sequence[Mapping[str, Any]] = ()
    code: int = 0
    state: str = ""
    stack: str = ""
    output: str = ""
    started: float = 0.0
    seconds: float = 0.0
    deadline: float = 0.0


@dataclass(slots=True)
class _Child:
    key: str
    pid: int
    deadline: float
    answer: int
    trace: int
    stream: int
    pidfd: int
    began: float
    started: float
    output: Tail = field(default_factory=Tail)
    state: str = ""
    killed: float = 0.0


class Children:
    """Children at work, each in a process group and session of its own, watched by one loop.

    `closing` are file descriptors that a child must not keep open.
    """

    def __init__(self, closing: Iterable[int] = ()) -> None:
        self._closing = tuple(closing)
        self._selector = selectors.DefaultSelector()
        self._children: dict[str, _Child] = {}
        self._unstarted: list[tuple[str, Ending]] = []
        self._stuck: list[int] = []

    def __len__(self) -> int:
        return len(self._children) + len(self._unstarted)

    def younger_than(self, seconds: float) -> int:
        """Return how many children have run for less than so long."""
        now = time.monotonic()
        return sum(now - child.began < seconds for child in self._children.values())

    def watch(self, fd: int) -> None:
        """Have `wait` return as soon as there is something to read from `fd`."""
        self._selector.register(fd, selectors.EVENT_READ, None)

    def unwatch(self, fd: int) -> None:
        """Undo `watch`."""
        self._selector.unregister(fd)

    def start(self, key: str, work: Work | Sequence[str], deadline: float) -> None:
        """Start `work` in a fork of this process, or the command `work` in a fresh one, with `deadline` seconds.

        A command finds the file descriptors for its answer and its trace in place of `{answer}` and `{trace}`.
        """
        answer, trace = nameless_file(), nameless_file()
        read, write = os.pipe()
        began, started = time.monotonic(), time.time()
        try:
            if callable(work):
                pid = inside.fork(work, answer, trace, write, deadline, (read, *self._closing))
            else:
                pid = inside.spawn(work, answer, trace, write)
        except OSError as problem:
            for fd in (answer, trace, read, write):
                os.close(fd)
            self._unstarted.append((key, Ending(how=How.NOT_STARTED, output=str(problem), started=started)))
            return
        os.close(write)
        os.set_blocking(read, False)
        pidfd = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
        child = _Child(key, pid, deadline, answer, trace, read, pidfd, began, started)
        self._children[key] = child
        self._selector.register(read, selectors.EVENT_READ, child)
        if pidfd >= 0:
            self._selector.register(pidfd, selectors.EVENT_READ, child)

    def wait(self, timeout: float) -> list[tuple[str, Ending]]:
        """Wait for at most `timeout` seconds; return the endings that came, each with its key."""
        endings, self._unstarted = self._unstarted, []
        for key, _ in self._selector.select(0 if endings else self._patience(timeout)):
            child: _Child | None = key.data
            if child is not None and key.fd == child.stream:
                self._drain(child)
        for child in list(self._children.values()):
            ending = self._look_at(child)
            if ending is not None:
                endings.append((child.key, ending))
        return endings

    def kill(self) -> list[str]:
        """Kill all that still run and return their keys; those which the kernel holds are left behind."""
        keys = list(self._children)
        for child in self._children.values():
            kill_group(child.pid)
        until = time.monotonic() + GRACE
        while self._children and time.monotonic() < until:
            for child in list(self._children.values()):
                if _is_gone(child.pid):
                    self._forget(child)
            time.sleep(0.005)
        for child in list(self._children.values()):
            self._forget(child, reap=False)
        return keys

    def _patience(self, timeout: float) -> float:
        now = time.monotonic()
        ends = [
            (child.killed + GRACE if child.killed else child.began + child.deadline) - now
            for child in self._children.values()
        ]
        if self._children and not hasattr(os, "pidfd_open"):
            ends.append(0.02)
        return max(0.0, min([timeout, *ends]))

    def _look_at(self, child: _Child) -> Ending | None:
        now = time.monotonic()
        if _is_gone(child.pid):
            # The group is killed while the leader is a zombie: its number cannot belong to anybody else yet.
            kill_group(child.pid)
            return self._finish(child)
        if child.killed:
            return self._abandon(child) if now >= child.killed + GRACE else None
        if now >= child.began + child.deadline:
            child.state = process_state(child.pid)
            child.killed = now
            kill_group(child.pid)
        return None

    def _finish(self, child: _Child) -> Ending:
        _, status = os.waitpid(child.pid, 0)
        self._drain(child)
        messages = _messages(child.answer)
        code = os.waitstatus_to_exitcode(status)
        if child.killed:
            how = How.DEADLINE
        elif code < 0:
            how, code = How.SIGNALLED, -code
        elif messages and "end" in messages[-1]:
            how = How.FINISHED
        else:
            how = How.EXITED
        return self._ending(child, how, code, messages)

    def _abandon(self, child: _Child) -> Ending:
        self._stuck.append(child.pid)
        return self._ending(child, How.STUCK, 0, _messages(child.answer), reap=False)

    def _ending(
        self, child: _Child, how: How, code: int, messages: Sequence[Mapping[str, Any]], reap: bool = True
    ) -> Ending:
        ending = Ending(
            how=how,
            messages=messages,
            code=code,
            state=child.state,
            stack=_content(child.trace).decode("utf-8", "replace"),
            output=child.output.text(),
            started=child.started,
            seconds=time.monotonic() - child.began,
            deadline=child.deadline,
        )
        self._forget(child, reap=False)
        return ending

    def _drain(self, child: _Child) -> None:
        # A grandchild may keep the pipe open for ever, so this reads what is there and never waits for the end.
        for _ in range(64):
            try:
                data = os.read(child.stream, 1 << 20)
            except (BlockingIOError, OSError):
                return
            if not data:
                if child.stream in self._selector.get_map():
                    self._selector.unregister(child.stream)
                return
            child.output.add(data)

    def _forget(self, child: _Child, reap: bool = True) -> None:
        if reap:
            os.waitpid(child.pid, 0)
        del self._children[child.key]
        for fd in (child.stream, child.pidfd):
            if fd >= 0 and fd in self._selector.get_map():
                self._selector.unregister(fd)
        for fd in (child.stream, child.pidfd, child.answer, child.trace):
            if fd >= 0:
                os.close(fd)


def run(work: Work, deadline: float) -> Ending:
    """Do one piece of work in a child and wait for its ending."""
    children = Children()
    children.start("", work, deadline)
    while True:
        for _, ending in children.wait(deadline + GRACE):
            return ending


def freeze() -> None:
    """Keep the garbage collector's hands off all that exists, so that children share its pages with their parent.

    What is garbage by now stays: to look for it in all that torch has made takes longer than a fork.
    """
    gc.freeze()


def _is_gone(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _content(fd: int) -> bytes:
    size = min(os.fstat(fd).st_size, _MOST_ANSWER)
    return os.pread(fd, size, 0)


def _messages(fd: int) -> list[Mapping[str, Any]]:
    messages: list[Mapping[str, Any]] = []
    for line in _content(fd).splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            break
        if not isinstance(message, dict):
            break
        messages.append(message)
    return messages
