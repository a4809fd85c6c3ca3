"""What a way of starting a run is, and the four that there are by the name that `--on` knows them by."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from preflight import config as configuration
from preflight.config import Config
from preflight.errors import UserError
from preflight.launch.commands import Commands
from preflight.launch.supervision import Ending
from preflight.records.folder import Run
from preflight.records.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.model import Report
    from preflight.places.workers import Workers

WAYS = {"local": "Local", "tmux": "Tmux", "ssh": "Ssh", "slurm": "Slurm"}


@dataclass(frozen=True, slots=True)
class Way:
    """One run, started or to be started in one way.

    `here` are the sides whose checks are run before the start (none means all), `there` those that the started process
    runs in front of the job (none means no checks). `is_shown` tells whether what the job prints is also what the
    started process prints. `config` holds in the run's checkout once there is one.
    """

    run: Run
    config: Config

    here: ClassVar[tuple[str, ...]] = ()
    there: ClassVar[tuple[str, ...]] = ()
    is_shown: ClassVar[bool] = True

    @property
    def record(self) -> Record:
        """What is known of the run now."""
        return self.run.read()

    @property
    def commands(self) -> Commands:
        """Runs commands, and tells the record of them."""
        return Commands(self.run)

    @property
    def supervisor(self) -> list[str]:
        """The command that is the run, wherever it is started: `preflight job FOLDER`, with this Python."""
        return [sys.executable, "-P", "-m", "preflight", "job", str(self.run.folder)]

    def require(self) -> None:
        """Raise UserError where this way is not open; nothing is started."""

    def start(self) -> str:
        """Start the supervisor and return a line that says as what, or become it."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """Return what the supervisor runs: the job's own command, unless it is elsewhere."""
        return list(self.record.command)

    def workers(self) -> Workers | None:
        """Return the workers, started already, that run the checks of `there`: none where this machine is the job's."""
        return None

    def start_again(self, report: Report, reason: str) -> bool:
        """Have a run whose checks have refused it start again where they will not; tell whether it will.

        `reason` is that of the verdict. The record then says that it is requeued. Raises UserError where the config
        asks for this and it cannot be.
        """
        return False

    def ended(self, ending: Ending) -> dict[str, Any]:
        """Return what is known of the end beyond the exit code: fields of Record, none where that says all."""
        return {}

    def attach(self) -> list[str]:
        """Return the command that shows the job as it runs; raises UserError where it has no terminal of its own."""
        name = self.run.name
        fix = f"Follow its log:\n    preflight logs {shlex.quote(name)} -f"
        raise UserError(f"{name} has no terminal to attach to: it was started with --on {self.record.way}", fix=fix)

    def stop(self) -> None:
        """Ask the job to end; raises UserError where it cannot be reached from here."""
        raise NotImplementedError


def of(run: Run, config: Config) -> Way:
    """Return the way of a run."""
    chosen: type[Way] = find(run.read().way)
    return chosen(run, config)


def find(way: str) -> type[Way]:
    """Return the way of that name: `local`, `tmux`, `slurm`, or `ssh:HOST`; raises UserError for another."""
    name, colon, host = way.partition(":")
    if name not in WAYS or (name == "ssh") != bool(host) or (colon and not host):
        raise UserError(f"--on {way} is no way of starting", fix="Use local, tmux, slurm or ssh:HOST.")
    found: type[Way] = getattr(import_module(f"preflight.launch.{name}"), WAYS[name])
    return found


def config_of(run: Run, root: Path | None = None) -> Config:
    """Return the config that was kept of a run, as it holds in `root`, by default its checkout."""
    record = run.read()
    text = run.config.read_text(encoding="utf-8") if run.config.exists() else ""
    config = configuration.load(Path(record.config) if record.config else None, text=text)
    return replace(config, root=root or Path(record.checkout or record.root))
