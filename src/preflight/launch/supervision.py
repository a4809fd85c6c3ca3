"""The job and its log: what it prints is kept with its times, what is sent to it reaches it, how it ends is known."""

from __future__ import annotations

import os
import pty
import re
import selectors
import signal
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from preflight.launch.gate import NotStarted, untouched
from preflight.records.folder import Run
from preflight.records.record import now
from preflight.system.kernel import die_with_parent, process_state

_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH")
_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
_BEAT = 10.0
# What children of the job go on holding open is read for so many seconds after it has ended.
_REST = 0.5
# Only a newline ends a line: a progress bar is one.
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a job ended: its exit code as a shell tells it, and the signal that it was asked to end by (0 for none)."""

    code: int
    asked: int = 0


class Log:
    """A file that each line is written to with the time at which it began; a full disk ends the log, not the job."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._half: dict[int, bool] = {}
        self._open = -1

    def say(self, text: str) -> None:
        """Write a line of preflight's own."""
        self.write(-1, f"-- {text}\n".encode(errors="backslashreplace"))

    def write(self, stream: int, data: bytes) -> None:
        """Write what has come from one of the streams; a line that it has only begun goes on with its next piece."""
        stamp = f"{now()} ".encode()
        parts = []
        for line in _LINE.findall(data):
            begun = self._half.get(stream) and self._open == stream
            broken = self._open not in (-1, stream) and self._half.get(self._open)
            parts.append((b"\n" if broken else b"") + (b"" if begun else stamp) + line)
            if broken:
                self._half[self._open] = False
            self._half[stream], self._open = not line.endswith(b"\n"), stream
        with suppress(OSError):
            os.write(self._file, b"".join(parts))

    def close(self) -> None:
        """Be done."""
        os.close(self._file)


def supervise(run: Run, command: Sequence[str], folder: Path, log: Log, *, shown: bool = True) -> Ending:
    """Run `command` in `folder` to its end, its standard input being ours.

    What it prints goes to the log and, where it is to be `shown`, to our own streams, as from a terminal where they are
    one. Signals are passed on to its process group. Raises NotStarted where it cannot be executed.
    """
    job = _Job(run, log, shown)
    with job.listening():
        return job.carry_out(command, folder)


@dataclass(slots=True)
class _Job:
    run: Run
    log: Log
    shown: bool
    process: subprocess.Popen[bytes] | None = None
    asked: int = 0
    _streams: dict[int, int] = field(default_factory=dict)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Pass signals on; what was ignored (`nohup`) is not listened to."""
        before = {}
        for name in _FORWARDED:
            number = getattr(signal, name)
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, self._pass_on)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, _frame: object) -> None:
        if number in _ENDING:
            self.asked = number
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def carry_out(self, command: Sequence[str], folder: Path) -> Ending:
        inner = [self._stream(1), self._stream(2)]
        try:
            # The job dies with its supervisor: it would go on unseen, and write into closed pipes.
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=untouched(os.environ),
                stdout=inner[0],
                stderr=inner[1],
                process_group=0,
                preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - there are no threads
            )
        except OSError as problem:
            raise NotStarted(command[0], problem) from None
        finally:
            for each in inner:
                os.close(each)
        if self.asked:  # while it was starting
            self._pass_on(self.asked, None)
        with _foreground(self.process.pid):
            self._listen()
            code = self._wait()
        return Ending(code=code if code >= 0 else 128 - code, asked=self.asked)

    def _stream(self, number: int) -> int:
        """Return what the job writes to; what comes out of it is shown on our own stream of that number."""
        if self.shown and os.isatty(number):
            outer, inner = pty.openpty()
            with suppress(OSError, termios.error):
                modes = termios.tcgetattr(inner)
                modes[1] &= ~termios.OPOST  # our own terminal does that
                termios.tcsetattr(inner, termios.TCSANOW, modes)
                termios.tcsetwinsize(inner, termios.tcgetwinsize(number))
        else:
            outer, inner = os.pipe()
        self._streams[outer] = number
        return inner

    def _listen(self) -> None:
        """Hear the job until it has closed its streams, or has ended."""
        assert self.process is not None
        beaten = ended = 0.0
        with selectors.DefaultSelector() as selector:
            for outer in self._streams:
                selector.register(outer, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(0.1 if ended else 0.5)
                for key, _ in ready:
                    if not self._hear(key.fd):
                        selector.unregister(key.fd)
                        os.close(key.fd)
                beaten = self._beat(beaten)
                _pause_with(self.process.pid)
                if not ended and self.process.poll() is not None:
                    ended = time.monotonic()
                if ended and (not ready or time.monotonic() > ended + _REST):
                    for left in list(selector.get_map().values()):
                        os.close(left.fd)
                    return

    def _hear(self, outer: int) -> bool:
        try:
            data = os.read(outer, 1 << 16)
        except OSError:  # how a terminal says that nobody writes to it any more
            return False
        self.log.write(self._streams[outer], data)
        left = data if self.shown else b""
        with suppress(OSError):  # nobody looks on any more
            while left:
                left = left[os.write(self._streams[outer], left) :]
        return bool(data)

    def _wait(self) -> int:
        assert self.process is not None
        beaten = 0.0
        while True:
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(_BEAT / 2)
            beaten = self._beat(beaten)

    def _beat(self, beaten: float) -> float:
        if time.monotonic() > beaten + _BEAT:
            self.run.beat()
            return time.monotonic()
        return beaten


@contextmanager
def _foreground(group: int) -> Iterator[None]:
    """Let the job have the terminal, so that it is what Ctrl-C and the keyboard mean."""
    has_terminal = _has_terminal()
    if has_terminal:
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        _hand_over(group)
    try:
        yield
    finally:
        if has_terminal:
            with suppress(OSError):
                os.tcsetpgrp(0, os.getpgrp())


def _has_terminal() -> bool:
    """Tell whether the keyboard means us: not where there is none, nor in the background."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _hand_over(group: int) -> None:
    """Give the terminal to the job, and wake it up should it have asked for it too early."""
    with suppress(OSError):
        os.tcsetpgrp(0, group)
        os.killpg(group, signal.SIGCONT)


def _pause_with(pid: int) -> None:
    """Stop where Ctrl-Z has stopped the job, so that the shell is there again; what wakes us up wakes the job."""
    try:
        is_ours = os.tcgetpgrp(0) == pid
    except OSError:
        return
    if is_ours and process_state(pid) == "T":
        os.tcsetpgrp(0, os.getpgrp())
        os.kill(os.getpid(), signal.SIGSTOP)
        if _has_terminal():
            _hand_over(pid)
        else:  # `bg`
            os.killpg(pid, signal.SIGCONT)
