"""In a tmux session of its own server: it survives the terminal, has this environment, and can be attached to."""

from __future__ import annotations

import hashlib
import os

from preflight.errors import UserError
from preflight.launch.local import Local

_SESSION = "job"
# The first that executes a command of several words without a shell, and that is still packaged anywhere.
_OLDEST = 3


class Tmux(Local):
    """A session that can be left and attached to."""

    __slots__ = ()

    def require(self) -> None:
        """Raise UserError where there is no tmux, or an old one."""
        version = self.commands("tmux", "-V").strip().rpartition(" ")[2]
        major = version.partition(".")[0]
        if major.isdigit() and int(major) < _OLDEST:
            raise UserError(f"tmux {version} is too old", fix=f"Install tmux {_OLDEST}.0 or later.")

    def start(self) -> str:
        """Start a server of its own, since one that runs already has an environment of another day."""
        server = f"preflight-{hashlib.sha256(os.fsencode(self.run.folder)).hexdigest()[:12]}"
        self.run.know(session=server)
        size = ("-x", "200", "-y", "50")
        # In `/`, since tmux would expand `#{…}` in a folder's name; the supervisor goes where it belongs by itself.
        words = ("new-session", "-d", "-s", _SESSION, *size, "-c", "/", "--", *self.supervisor)
        self.commands("tmux", "-L", server, *words)
        return "in a tmux session; `preflight attach` shows it, Ctrl-b d leaves it"

    def attach(self) -> list[str]:
        """Return the command that shows the session; without TMUX, lest tmux take it for a session in a session."""
        return ["env", "-u", "TMUX", "tmux", "-L", self.record.session, "attach-session", "-t", _SESSION]
