"""This machine as a place: a worker in a process of its own, heard over its standard output."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from preflight.errors import UserError
from preflight.places.engine import Gone
from preflight.system.kernel import adopt_orphans, children_of, kill_group, process_state
from preflight.worker.stage import BOOT
from preflight.worker.wire import Message, Reader

TYPE_CHECKING = False
if TYPE_CHECKING:  # the worker is to be started before what these bring is loaded
    from preflight.config import Config

# What preflight needs at the place; where the job's interpreter is another one, these are lent to it and nothing else
# is.
_LENT = (
    "preflight",
    "pytest",
    "_pytest",
    "py",
    "pluggy",
    "iniconfig",
    "packaging",
    "yaml",
    "psutil",
    "pynvml",
    "pygments",
)
_SILENCE = 30.0
# pytest.ExitCode.INTERNAL_ERROR and USAGE_ERROR, without importing pytest into the command.
_OUR_MISTAKES = (3, 4)


class Local:
    """A worker on this machine.

    Iterating `messages` ends when the worker has said all, has died, or has been silent for too long; `last_words`
    says how it ended where it did not end well.
    """

    names: Sequence[str] = ("local",)
    engine = None

    def __init__(self, python: str = "") -> None:
        """Start the worker in the interpreter `python`, by default this one; raises UserError where that cannot be."""
        self.python = python
        if python and not _is_this(python):
            _ask_version(python)
        adopt_orphans()
        self._strangers = set(children_of(os.getpid()))
        self.last_words = ""
        self._closed = False
        self._lent = lent_to(python)
        try:
            self._process = subprocess.Popen(
                [python or sys.executable, BOOT, "worker", self._lent, "local"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as problem:
            raise UserError(
                f"the job's interpreter {python or sys.executable} cannot be started: {problem.strerror}",
                where="preflight.python",
            ) from None

    def ask(self, request: Mapping[str, Any]) -> None:
        """Send the request, once."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once; `messages` tells
            self._process.stdin.write(json.dumps({**request, "lent": self._lent}).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def gone(self) -> Mapping[str, Gone]:
        """What became of the worker, where it did not end well."""
        from preflight.model import Presence

        return {"local": Gone(Presence.LOST, self.last_words)} if self.last_words else {}

    def messages(self, config: Config) -> Iterator[tuple[str, Message] | None]:
        """Yield what the worker says, and None at least every 0.2 s; it may be silent as long as a check may last."""
        patience = longest_deadline(config) + _SILENCE
        reader = Reader()
        errors = b""
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None
        assert stderr is not None
        with selectors.DefaultSelector() as selector:
            for stream in (stdout, stderr):
                selector.register(stream, selectors.EVENT_READ)
            heard = time.monotonic()
            while True:
                ready = selector.select(0.2)
                ended = self._process.poll() is not None
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 20)
                    if not data:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is stderr:
                        errors = (errors + data)[-8000:]
                    else:
                        heard = time.monotonic()
                        for name, message in reader.feed(data):
                            if message["kind"] == "end":
                                self.last_words = internal(message["exit_code"], errors)
                                return
                            yield name, message
                yield None
                if ended and not ready:
                    self.last_words = _last_words(self._process.returncode, errors)
                    return
                if time.monotonic() > heard + patience:
                    self.last_words = f"the worker has been silent for {time.monotonic() - heard:.0f} s"
                    return

    def close(self) -> None:
        """End the worker and everything that it started; what the kernel holds is left behind."""
        assert self._process.stdin is not None
        if self._closed:
            return
        self._closed = True
        with suppress(BrokenPipeError):
            self._process.stdin.close()  # a living worker takes this as the order to kill its children
        try:
            self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            kill_group(self._process.pid)
        until = time.monotonic() + 1.0
        while (left := self._left()) and time.monotonic() < until:
            for pid in left:
                kill_group(pid)
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.01)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _left(self) -> list[int]:
        """Return the processes that came to this one since the worker started, and that the kernel would let go."""
        found = set(children_of(os.getpid())) - self._strangers
        return [pid for pid in found if process_state(pid) != "D"]


def longest_deadline(config: Config) -> float:
    """Return how many seconds a single check may take."""
    entries = (config.imports, config.data, config.paths)
    return max([config.deadline, *(entry.deadline or 0 for group in entries for entry in group)])


def internal(code: int, errors: bytes = b"") -> str:
    """Return what to say of pytest's own exit code: most are told by the results."""
    if code not in _OUR_MISTAKES:
        return ""
    said = [line for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
    return f"its pytest session failed with exit code {code}" + (f": {said[-1].strip()}" if said else "")


def _last_words(code: int, errors: bytes) -> str:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"left with exit code {code}"
    said = [line for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
    return f"the worker {how}" + (f": {said[-1].strip()}" if said else "")


def _is_this(python: str) -> bool:
    # Not resolved: a virtual environment's interpreter is a link to the one that it was made from.
    return os.path.abspath(python) == os.path.abspath(sys.executable)


def _ask_version(python: str) -> None:
    """Raise UserError where the job's interpreter does not start, or is too old for the checks."""
    program = "import sys; print(*sys.version_info[:2])"
    try:
        said = subprocess.run([python, "-c", program], capture_output=True, text=True, timeout=30, check=True).stdout
        major, minor = map(int, said.split())
    except (OSError, ValueError, subprocess.SubprocessError) as problem:
        reason = getattr(problem, "strerror", None) or "it does not answer"
        raise UserError(f"the job's interpreter {python} cannot be used: {reason}", where="preflight.python") from None
    if (major, minor) < (3, 11):
        message = f"{python} is Python {major}.{minor}; preflight's checks need 3.11 or later"
        raise UserError(message, where="preflight.python")


def lent_to(python: str) -> str:
    """Return where the modules lie that the interpreter `python` is lent, as `name=folder` lines."""
    from importlib.util import find_spec

    names = _LENT if python and not _is_this(python) else _LENT[:1]
    specs = {name: find_spec(name) for name in names}
    return "\n".join(
        f"{name}={Path(spec.origin).parents[_depth(spec)]}" for name, spec in specs.items() if spec and spec.origin
    )


def _depth(spec: Any) -> int:
    return 1 if spec.submodule_search_locations is not None else 0
