"""The process that has imported what the experiment imports, as its parent sees it: facts, deaths, new starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from preflight.system.kernel import nameless_file
from preflight.system.modules import Imported, Outcome

BOOT = str(Path(__file__).with_name("boot.py"))
# A module that has hung is killed a moment after its deadline, when the watchdog inside has written the stack.
_GRACE = 0.3
_FORK_HOSTILE = ("jax", "tensorflow", "ray")


class Stage:
    """Imports modules in order in a fresh interpreter, and starts anew without a module that killed or hung it.

    `imports` are the modules, each with the seconds that it may take; other modules may take `deadline` seconds.
    `imported` holds how each import went, as soon as it is known; `ready` is true once all are. `lines` of the
    process that are not about imports (the frames of its session) are returned by `read`; `heard` is when the last
    came.
    """

    def __init__(self, imports: Mapping[str, float], root: Path, deadline: float, *, lent: str = "") -> None:
        self.imported: dict[str, Imported] = {}
        self.ready = False
        self.gone = ""
        self._imports = dict(imports)
        self._deadline = deadline
        self._root, self._lent = root, lent
        self._current = ("", 0.0, 0)
        self._rest = b""
        self.heard = time.monotonic()
        self._begin()

    def _begin(self) -> None:
        lethal = {name for name, facts in self.imported.items() if facts.outcome in (Outcome.DIED, Outcome.HUNG)}
        words = [f"{name}={seconds}" for name, seconds in self._imports.items() if name not in lethal]
        self._trace, self._output = nameless_file(), nameless_file()
        self.fd, facts = os.pipe()
        orders, self._orders = os.pipe()
        arguments = [self._lent, str(self._root), str(self._trace), str(facts), str(orders), *words]
        self._process = subprocess.Popen(
            [sys.executable, BOOT, "stage", *arguments],
            cwd=self._root,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            pass_fds=(self._trace, facts, orders),
            start_new_session=True,
        )
        os.close(facts)
        os.close(orders)
        os.set_blocking(self.fd, False)

    @property
    def pid(self) -> int:
        """The process id of the stage that lives now."""
        return self._process.pid

    def order(self, line: bytes) -> None:
        """Send one line to the stage; it waits for it once it is ready."""
        try:
            while line:
                line = line[os.write(self._orders, line) :]
        except BrokenPipeError:
            pass

    def read(self) -> bytes:
        """Take what the stage has said, when `fd` is readable and now and then; return what is not about imports."""
        from ast import literal_eval

        others = b""
        while True:
            try:
                data = os.read(self.fd, 1 << 20)
            except BlockingIOError:
                break
            if not data:
                self._ended()
                return others
            self.heard = time.monotonic()
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                if line.startswith(b"{"):
                    self._learn(literal_eval(line.decode()))
                else:
                    others += line + b"\n"
        name, since, _ = self._current
        seconds = self._imports.get(name, self._deadline)
        if name and time.monotonic() > since + seconds + _GRACE:
            self._replace(Imported(name=name, outcome=Outcome.HUNG, seconds=seconds, **self._remains()))
        return others

    def give_up(self, why: str) -> None:
        """Kill the stage and never mind what it had to do."""
        self.gone = why
        self.close()

    def close(self) -> None:
        """Kill the stage and all that it started in its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        for fd in (self.fd, self._orders, self._trace, self._output):
            os.close(fd)

    def _learn(self, facts: Mapping[str, Any]) -> None:
        if "importing" in facts:
            self._current = (facts["importing"], time.monotonic(), facts["output_from"])
        elif "imported" in facts:
            self._current, (name, _, start) = ("", 0.0, 0), self._current
            output = os.pread(self._output, 20_000, start).decode("utf-8", "replace")
            self.imported[name] = Imported.from_facts(
                {**facts, **_story(facts.get("chain", ())), "name": name, "output": output}
            )
        elif "ready" in facts:
            self.ready = True

    def _ended(self) -> None:
        code = self._process.wait()
        name, since, _ = self._current
        if name:
            died: dict[str, Any] = {"signal": -code} if code < 0 else {"exit_code": code}
            self._replace(
                Imported(name=name, outcome=Outcome.DIED, seconds=time.monotonic() - since, **died, **self._remains())
            )
        else:
            self.ready = True
            self.give_up(f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}")

    def _remains(self) -> dict[str, Any]:
        start = self._current[2]
        return {
            "traceback": os.pread(self._trace, 1 << 20, 0).decode("utf-8", "replace"),
            "output": os.pread(self._output, 20_000, start).decode("utf-8", "replace"),
        }

    def _replace(self, last: Imported) -> None:
        self.imported[last.name] = last
        self._current = ("", 0.0, 0)
        self._rest = b""
        self.close()
        self._begin()


def _story(chain: Sequence[tuple[str, str, Sequence[tuple[str, int, str]]]]) -> dict[str, Any]:
    """Return error, traceback, file and line of what an import raised, the sources read here and not in the stage."""
    if not chain:
        return {}
    import linecache

    lines: list[str] = []
    for kind, message, frames in reversed(chain):
        if lines:
            lines.append("\nThen:\n")
        for file, line, function in frames:
            source = linecache.getline(file, line).strip()
            lines.append(f'  File "{file}", line {line}, in {function}\n' + (f"    {source}\n" if source else ""))
        lines.append(f"{kind}: {message}\n")
    kind, message, frames = chain[0]
    file, line, _ = frames[-1] if frames else ("", 0, "")
    return {"error": f"{kind}: {message}", "traceback": "".join(lines), "file": file, "line": line}


def fork_hazard() -> str:
    """Return why a fork of this process could not work, empty where it can; to be asked in the stage.

    Threads of Python's and runtimes that do not survive a fork count; the pools of OpenBLAS do not (it has handlers
    for fork).
    """
    if sys.platform == "darwin":
        return "a fork is unsafe on macOS once frameworks are loaded"
    threads = len(sys._current_frames()) - 1  # noqa: SLF001 - `threading` may not be loaded
    if threads > 0:
        return f"{threads} threads run after the imports"
    for name in _FORK_HOSTILE:
        if name in sys.modules:
            return f"{name} does not survive a fork"
    torch = sys.modules.get("torch")
    if torch is not None and getattr(getattr(torch, "cuda", None), "is_initialized", bool)():
        return "the imports initialised CUDA"
    return ""
