"""The inside of a child process: how it is started, and how it sends what it has to say before it leaves."""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from preflight.system.kernel import die_with_parent

Send = Callable[[Mapping[str, Any]], None]
Work = Callable[[Send], None]

# The exit code of a child that could not deliver its answer.
UNDELIVERED = 86


class _Watchdog:
    """Writes the stack of this process shortly before its deadline.

    A thread in C does it, so it comes even where a loop holds the interpreter and blocks all signals. The lock that
    this thread holds is copied by a fork and never given back there, so no fork may happen while it is armed.
    """

    trace = -1
    until = 0.0

    @classmethod
    def arm(cls) -> None:
        if cls.trace >= 0:
            faulthandler.dump_traceback_later(max(0.05, cls.until - 0.25 - time.monotonic()), file=cls.trace)

    @classmethod
    def disarm(cls) -> None:
        if cls.trace >= 0:
            faulthandler.cancel_dump_traceback_later()


def answer(work: Work, answer_fd: int, trace_fd: int, deadline: float) -> NoReturn:
    """Do `work` in this process and leave, its messages written to `answer_fd`: what a child does, forked or fresh."""
    faulthandler.enable(file=trace_fd)
    _Watchdog.trace, _Watchdog.until = trace_fd, time.monotonic() + deadline
    _Watchdog.arm()

    def send(message: Mapping[str, Any]) -> None:
        data = json.dumps(message, default=str).encode() + b"\n"
        while data:
            data = data[os.write(answer_fd, data) :]

    code = 0
    try:
        work(send)
        _Watchdog.disarm()
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)
        send({"end": True})
    except BaseException:  # noqa: BLE001 - whatever it is, the process ends here
        code = UNDELIVERED
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def fork(  # noqa: PLR0913, PLR0917 - the ends of four pipes
    work: Work, answer_fd: int, trace_fd: int, output: int, deadline: float, closing: Iterable[int]
) -> int:
    """Start `work` in a fork of this process, in a session of its own; return the process id."""
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)
    with warnings.catch_warnings():
        # Python 3.12 warns where there are threads; the stage has judged whether those matter (`stage.fork_hazard`).
        warnings.simplefilter("ignore", DeprecationWarning)
        _Watchdog.disarm()
        pid = os.fork()
    if pid:
        _Watchdog.arm()
        return pid
    try:
        gc.enable()
        sys.dont_write_bytecode = True
        os.setsid()
        die_with_parent(signal.SIGKILL)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        for fd in closing:
            os.close(fd)
        _redirect(output)
        answer(work, answer_fd, trace_fd, deadline)
    finally:
        os._exit(70)


def _redirect(output: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(null)
    os.close(output)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - they live as long as the process
    sys.stdout = open(1, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115


def spawn(command: Sequence[str], answer_fd: int, trace_fd: int, output: int) -> int:
    """Start a command in a fresh process, descriptors in place of `{answer}` and `{trace}`; return its id."""
    names = {"{answer}": str(answer_fd), "{trace}": str(trace_fd)}
    process = subprocess.Popen(
        [names.get(word, word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(answer_fd, trace_fd),
        start_new_session=True,
    )
    process.returncode = 0  # this module reaps it; the object must not
    return process.pid


def _flush(stream: Any) -> None:
    with suppress(OSError, ValueError, AttributeError):
        stream.flush()
