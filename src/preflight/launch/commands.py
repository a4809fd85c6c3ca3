"""The commands that a launch runs: each is told in the record of its run, and none goes through a shell."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from preflight.errors import UserError
from preflight.records.folder import Run

_LIMIT = 60.0


class CommandFailed(UserError):
    """A command that a launch needs did not do what it is for."""


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs commands for the run that they belong to."""

    run: Run

    def tell(self, words: Sequence[str], code: int, seconds: float) -> None:
        """Note a command that has ended; a record that cannot be written is no reason to end a launch."""
        with suppress(OSError):
            self.run.append("command", words=list(words), exit_code=code, seconds=round(seconds, 3))

    def __call__(
        self, *words: str, given: IO[bytes] | None = None, fine: Collection[int] = (0,), limit: float = _LIMIT
    ) -> str:
        """Return what a command prints, its errors included where it fails; `given` is its standard input.

        Raises CommandFailed where it is not there, takes longer than `limit` seconds, or ends with a code that is not
        `fine`.
        """
        began = time.monotonic()
        try:
            done = subprocess.run(
                words, stdin=given or subprocess.DEVNULL, capture_output=True, timeout=limit, check=False
            )
        except FileNotFoundError:
            raise CommandFailed(f"the command {words[0]} is not there", fix=f"Install {words[0]}.") from None
        except subprocess.TimeoutExpired:
            self.tell(words, -1, time.monotonic() - began)
            raise CommandFailed(f"{words[0]} has not ended after {limit:.0f} s") from None
        except OSError as problem:
            raise CommandFailed(f"{words[0]} cannot be run: {problem.strerror}") from None
        self.tell(words, done.returncode, time.monotonic() - began)
        if done.returncode not in fine:
            said = [line for line in (done.stderr or done.stdout).decode(errors="replace").splitlines() if line.strip()]
            raise CommandFailed(said[-1] if said else f"{words[0]} ended with exit code {done.returncode}")
        return done.stdout.decode(errors="replace")
