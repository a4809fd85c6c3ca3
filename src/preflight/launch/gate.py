"""The gate: a report that decides whether a job starts, and the job in the place of this process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from preflight.errors import UserError
from preflight.system.kernel import release_orphans

# What `env`, `nohup` and `timeout` exit with as well where they do not start the command: coreutils' manual.
REFUSED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127


class NotStarted(UserError):
    """The command cannot be executed; `exit_code` is what a shell would say."""

    def __init__(self, command: str, problem: OSError) -> None:
        super().__init__(f"{command} cannot be started: {problem.strerror}", fix=_fix(command, problem))
        self.exit_code = NOT_FOUND if isinstance(problem, FileNotFoundError) else NOT_EXECUTABLE


def become(command: Sequence[str]) -> NoReturn:
    """Execute `command` in the place of this process, as if preflight had never been there.

    The process id, the standard streams, limits and whatever was ignored (`nohup`) stay; what Python changed is changed
    back. Raises NotStarted where it cannot be executed.
    """
    environment = untouched(os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    release_orphans()
    for name in ("SIGPIPE", "SIGXFSZ"):
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], list(command), environment)  # noqa: S606 - there is no shell
    except OSError as problem:
        raise NotStarted(command[0], problem) from None


def untouched(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` without the LC_CTYPE that Python sets where the locale is C (PEP 538)."""
    try:
        given = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return dict(environment)
    added = not any(each.startswith(b"LC_CTYPE=") for each in given)
    return {name: value for name, value in environment.items() if not (added and name == "LC_CTYPE")}


def _fix(command: str, problem: OSError) -> str:
    if isinstance(problem, FileNotFoundError):
        return "Correct its name, or the PATH." if os.sep not in command else "Correct its path."
    if isinstance(problem, PermissionError):
        return "Make it executable (chmod +x), or put its interpreter in front of it."
    return "Put its interpreter in front of it, or a line with #! at its top."
