"""What `--on` names: the engine whose nodes a run is on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from preflight.errors import UserError
from preflight.places.nodes import Nodes

if TYPE_CHECKING:
    from preflight.config import Config
    from preflight.places.engine import Engine


def workers(name: str, config: Config) -> Nodes:
    """Return workers on the nodes that `--on NAME` means, started already; raises UserError where it means none."""
    return Nodes(engine(name, config), config.python)


def engine(name: str, config: Config) -> Engine:
    """Return the engine that `--on NAME` means."""
    if name != "slurm":
        raise UserError(f"--on {name} is no place that preflight knows", fix="Write --on slurm.")
    from preflight.places.slurm import Slurm

    return Slurm(os.environ)
