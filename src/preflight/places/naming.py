"""What `--on` names: the engine whose nodes a run is on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from preflight.errors import UserError
from preflight.places.nodes import Nodes

if TYPE_CHECKING:
    from preflight.config import Config
    from preflight.places.engine import Engine


def workers(name: str, config: Config, argv: Sequence[str]) -> Nodes:
    """Return workers on the nodes that `--on NAME` means, started already.

    Where it means a job of Slurm and there is none, this process becomes one that asks for it and runs `preflight run
    ARGV` there. Raises UserError where the name means nothing.
    """
    engine = _engine(name, config, argv)
    there = config.launch.ssh.python if config.launch and config.launch.ssh and name != "slurm" else ""
    return Nodes(engine, there or config.python)


def _engine(name: str, config: Config, argv: Sequence[str]) -> Engine:
    kind, colon, rest = name.partition(":")
    if colon and kind in ("ssh", "hosts"):
        from preflight.places.hosts import Hosts, read_hosts

        return Hosts(read_hosts(rest if kind == "ssh" else _text_of(rest)))
    if name != "slurm":
        fix = "Write --on slurm, --on ssh:HOST,HOST or --on hosts:FILE."
        raise UserError(f"--on {name} is no place that preflight knows", fix=fix)
    if "SLURM_JOB_ID" not in os.environ:
        from preflight.places.allocation import start_again

        start_again(config, argv)
    from preflight.places.slurm import Slurm

    return Slurm(os.environ)


def _text_of(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError as problem:
        raise UserError(f"the hostfile {file} cannot be read: {problem.strerror}") from None
