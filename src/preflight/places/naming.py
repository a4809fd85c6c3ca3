"""What `--on` names: the engine whose nodes a run is on."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
    return Nodes(_engine(name, config, argv), config.python)


def _engine(name: str, config: Config, argv: Sequence[str]) -> Engine:
    if name != "slurm":
        raise UserError(f"--on {name} is no place that preflight knows", fix="Write --on slurm.")
    if "SLURM_JOB_ID" not in os.environ:
        from preflight.places.allocation import start_again

        start_again(config, argv)
    from preflight.places.slurm import Slurm

    return Slurm(os.environ)
