"""A job of Slurm's made for one run: the command starts again in what salloc gives it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

from preflight.config import Config
from preflight.errors import UserError
from preflight.places.slurm_options import as_written, options_in, words

_PATIENCE = 30.0


def start_again(config: Config, argv: Sequence[str]) -> NoReturn:
    """Become salloc with the options of `launch.slurm`, which runs `preflight run ARGV` on what it is given.

    salloc waits as long as the queue does, passes the exit code on, and gives the nodes back. Raises UserError where
    the config asks for nothing, for an option that sbatch has not, and where Slurm's commands are not there.
    """
    launch = config.launch
    if launch is None or not launch.slurm:
        fix = "Run it in a job, or say in the config what to ask for:\n    salloc --nodes=4 preflight run --on slurm"
        raise UserError("this is no job of Slurm, and the config has no `launch.slurm` to ask for one", fix=fix)
    where = f"{launch.at}.slurm"
    known = {name: options_in(_help(name)) for name in ("sbatch", "salloc")}
    asked = words(as_written(launch.slurm, config.text), known["sbatch"], where)
    options = [word for word in asked if word.partition("=")[0].removeprefix("--") in known["salloc"]]
    again = [sys.executable, "-P", "-m", "preflight", "run", *argv]
    os.execvp("salloc", ["salloc", *options, *again])  # noqa: S606 - no shell is wanted


def _help(command: str) -> str:
    try:
        told = subprocess.run([command, "--help"], capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError) as problem:
        reason = getattr(problem, "strerror", None) or "it does not answer"
        raise UserError(f"{command} cannot be used: {reason}", fix="Load Slurm's commands.") from None
    return told.stdout
