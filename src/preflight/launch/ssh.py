"""On another host by ssh: the code goes there over a connection that is kept, and what is hostile goes as data."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import signal
import sys
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, ClassVar

from preflight import writing
from preflight.config import Launch
from preflight.config import Ssh as Settings
from preflight.errors import UserError
from preflight.launch.checkout import CHECKOUT
from preflight.launch.commands import CommandFailed
from preflight.launch.gate import REFUSED, become
from preflight.launch.local import Local
from preflight.launch.supervision import Ending
from preflight.records.folder import RECORD
from preflight.records.states import State

# What ssh itself ends with where it, and not the job, has failed (ssh(1)).
_BROKEN = 255
_TRANSFER = 3600.0


class Ssh(Local):
    """A host; whoever launched listens to it, and is what the record takes for the run."""

    __slots__ = ()
    here: ClassVar[tuple[str, ...]] = ("launch",)  # the host itself runs the others: see `arrival`

    def require(self) -> None:
        """Raise UserError where the host cannot be reached without a question, or has no preflight."""
        try:
            self._there("--version")
        except CommandFailed as problem:
            way = shlex.join([*self._ssh(), "true"])
            fix = f"Let ssh need no password, and set `launch.ssh.python` to a Python there with preflight:\n    {way}"
            raise UserError(f"{self.host}: {problem.message}", fix=fix) from None

    def start(self) -> str:
        """Send the checkout and what is to be done in it, then be the one who listens."""
        name = hashlib.sha256(os.urandom(16)).hexdigest()[:16]
        self.run.know(session=f"{self._settings.folder}/{name}")
        with tempfile.TemporaryFile() as packed:
            self._pack(packed)
            packed.seek(0)
            self._there("job", "--receive", self.record.session, given=packed, limit=_TRANSFER)
        become(self.supervisor)

    def command(self) -> list[str]:
        """Return the ssh that runs the job; with a terminal there where there is one here."""
        terminal = ["-t"] if os.isatty(0) and os.isatty(1) else []
        return [*self._ssh(*terminal), self._words("job", "--run", self.record.session)]

    def ended(self, ending: Ending) -> dict[str, Any]:
        """Fetch the report, end what goes on there where ssh was ended here, tell a refusal from a job's own code."""
        if ending.asked or ending.code == 128 + signal.SIGINT:
            with suppress(UserError):
                self._end()
        elif ending.code == _BROKEN:
            reason = f"ssh failed: the connection to {self.host} broke, or the job itself ended with {_BROKEN}"
            return {"state": State.LOST, "reason": reason}
        with suppress(UserError, ValueError):
            report = self._there("job", "--report", self.record.session)
            writing.replace({self.run.report: report.encode()})
            if ending.code == REFUSED and (verdict := json.loads(report)["verdict"])["exit_code"]:
                return {"state": State.REFUSED, "reason": verdict["reason"], "verdict": verdict["word"]}
        return {}

    def stop(self) -> None:
        """Ask the job on its host to end, and then whoever listens to it here."""
        self._end()
        Local.stop(self)

    @property
    def host(self) -> str:
        """The host, as ssh knows it."""
        return self.record.way.partition(":")[2]

    @property
    def _settings(self) -> Settings:
        return (self.config.launch or Launch()).ssh or Settings()

    def _end(self) -> None:
        self._there("job", "--end", self.record.session)

    def _there(self, *words: str, **more: Any) -> str:
        """Return what a command of preflight there prints."""
        return self.commands(*self._ssh(), self._words(*words), **more)

    def _words(self, *words: str) -> str:
        """Return a command of preflight there, as a shell there reads it: only paths of the config are in it."""
        return shlex.join([self._settings.python or sys.executable, "-P", "-m", "preflight", *words])

    def _ssh(self, *more: str) -> list[str]:
        """Return ssh to the host, over one connection for all that is to be said; it never asks a question."""
        control = Path(tempfile.gettempdir(), f"preflight-ssh-{os.getuid()}")
        with suppress(OSError):
            control.mkdir(mode=0o700, exist_ok=True)
        shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={control}/%C", "-o", "ControlPersist=60"]
        return ["ssh", "-o", "BatchMode=yes", *shared, *more, "--", self.host]

    def _pack(self, file: IO[bytes]) -> None:
        """Write the record, the config and the checkout as a tar, without git's own files and links of this machine."""
        top = self.run.folder / CHECKOUT

        def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
            is_ours = member.issym() and os.path.isabs(member.linkname)
            return None if is_ours or member.name == f"{CHECKOUT}/.git" else member

        with tarfile.open(fileobj=file, mode="w") as tar:
            tar.add(self.run.folder / RECORD, RECORD)
            if self.run.config.exists():
                tar.add(self.run.config, self.run.config.name)
            tar.add(top, CHECKOUT, filter=kept)
            below = os.fsencode(os.path.relpath(self.record.checkout, top))
            member = tarfile.TarInfo("below")
            member.size = len(below)
            tar.addfile(member, io.BytesIO(below))
