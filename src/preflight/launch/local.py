"""In the foreground: the launcher becomes the job's supervisor, whose output is live."""

from __future__ import annotations

import os
import signal
import time

from preflight.errors import UserError
from preflight.launch.gate import become
from preflight.launch.ways import Way
from preflight.records.life import host

_PATIENCE = 10.0


class Local(Way):
    """This terminal."""

    __slots__ = ()

    def start(self) -> str:
        """Become the supervisor."""
        become(self.supervisor)

    def stop(self) -> None:
        """Ask the supervisor to end, which asks the job; kill it where it has not ended after ten seconds."""
        record = self.record
        life = record.job or record.launcher
        if life is None or life.is_alive is False:
            return
        if life.is_alive is None:
            where = f"it runs on {life.host}, this is {host()}"
            raise UserError(f"{record.name} cannot be stopped from here: {where}", fix=f"Stop it on {life.host}.")
        os.kill(life.pid, signal.SIGTERM)
        until = time.monotonic() + _PATIENCE
        while life.is_alive and time.monotonic() < until:
            time.sleep(0.05)
        if life.is_alive:
            os.kill(life.pid, signal.SIGKILL)  # the job dies with it
