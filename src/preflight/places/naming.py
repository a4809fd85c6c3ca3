"""What `--on` names: the engine whose nodes a run is on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from preflight.errors import UserError
from preflight.places.nodes import Nodes

TYPE_CHECKING = False
if TYPE_CHECKING:  # workers are to be started before what these bring is loaded
    from preflight.config import Config
    from preflight.places.engine import Engine


def early(name: str) -> Nodes | None:
    """Return workers on the nodes of this job, if that is what `--on NAME` means: they begin while the config is read.

    Whoever has nodes at hand loses nothing where the config then names another interpreter.
    """
    if name != "slurm" or "SLURM_JOB_ID" not in os.environ:
        return None
    from preflight.places.slurm import Slurm

    return Nodes(Slurm(os.environ))


def workers(name: str, config: Config, argv: Sequence[str], begun: Nodes | None) -> Nodes:
    """Return workers on the nodes that `--on NAME` means, started already; `begun` are those that `early` gave.

    Where it means a job of Slurm and there is none, this process becomes one that asks for it and runs `preflight run
    ARGV` there. Raises UserError where the name means nothing.
    """
    if begun is not None and begun.python == config.python:
        return begun
    if begun is not None:
        begun.close()
        return Nodes(begun.engine, config.python)
    there = config.launch.ssh.python if config.launch and config.launch.ssh and name != "slurm" else ""
    return Nodes(_engine(name, config, argv), there or config.python)


def _engine(name: str, config: Config, argv: Sequence[str]) -> Engine:
    if name == "slurm":
        from preflight.places.allocation import start_again

        start_again(config, argv)
    kind, _, rest = name.partition(":")
    if kind not in ("ssh", "hosts") or kind == name:
        fix = "Write --on slurm, --on ssh:HOST,HOST or --on hosts:FILE."
        raise UserError(f"--on {name} is no place that preflight knows", fix=fix)
    from preflight.places.hosts import Hosts, read_hosts

    return Hosts(read_hosts(rest if kind == "ssh" else _text_of(rest)))


def _text_of(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError as problem:
        raise UserError(f"the hostfile {file} cannot be read: {problem.strerror}") from None
