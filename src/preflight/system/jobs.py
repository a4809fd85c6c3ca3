"""Which part of a job this process is, as the launcher that started it tells by variables."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class _Launcher:
    """The variables of one launcher: `rank` and `ranks` number its processes, `node` and `nodes` its nodes.

    It is at work where `rank` (or else `node`) is set and all of `identity` is; `identity` tells one start of a job
    from another.
    """

    rank: str = ""
    ranks: str = ""
    node: str = ""
    nodes: str = ""
    identity: tuple[str, ...] = ()
    restarts: str = ""


# The innermost first, as in `launch.ranks`, which has the sources. Kubeflow's PyTorchJob sets PET_* for torchrun; an
# indexed Job of Kubernetes tells the index, and not how many there are.
_LAUNCHERS = (
    _Launcher("RANK", "WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", ("TORCHELASTIC_RUN_ID",)),
    _Launcher("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", identity=("PMIX_NAMESPACE",)),
    _Launcher("PMI_RANK", "PMI_SIZE", identity=("PMI_SIZE",)),
    _Launcher(
        "SLURM_PROCID",
        "SLURM_STEP_NUM_TASKS",
        "SLURM_NODEID",
        "SLURM_STEP_NUM_NODES",
        ("SLURM_JOB_ID", "SLURM_STEP_ID"),
        "SLURM_RESTART_COUNT",
    ),
    _Launcher("RANK", "WORLD_SIZE", "PET_NODE_RANK", "PET_NNODES", ("PET_NNODES",)),
    _Launcher("RANK", "WORLD_SIZE", identity=("MASTER_ADDR", "MASTER_PORT")),
    _Launcher(node="JOB_COMPLETION_INDEX"),
)
# Each names the node that a process is on better than its host's name does: Slurm's, and what a pod is often told.
_NODES = ("SLURMD_NODENAME", "NODE_NAME")


def part(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what is known of this process in its job, empty where no launcher tells.

    `node` is the name of its node; `number` counts this process from 0 among `of` (0 where nobody tells) of the `kind`,
    `rank` or `node`; `nodes` is the number of nodes, 0 where unknown; `job` tells one start from another.
    """
    for each in _LAUNCHERS:
        number = _number(environment, each.rank or each.node)
        if number is None or not all(name in environment for name in each.identity):
            continue
        names = (*each.identity, each.restarts) if each.restarts else each.identity
        return {
            "node": node(environment),
            "kind": "rank" if each.rank else "node",
            "number": number,
            "of": _number(environment, each.ranks if each.rank else each.nodes) or 0,
            "nodes": _number(environment, each.nodes) or 0,
            "node_number": _number(environment, each.node),
            "job": " ".join(environment.get(name, "") for name in names),
        }
    return {}


def of_node(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same for a process that stands for all of its node."""
    return {**told, "kind": "node", "number": told["node_number"], "of": told["nodes"]}


def node(environment: Mapping[str, str]) -> str:
    """Return what the node is called that this process is on."""
    return next((environment[name] for name in _NODES if environment.get(name)), "") or socket.gethostname()


def _number(environment: Mapping[str, str], name: str) -> int | None:
    told = environment.get(name, "") if name else ""
    return int(told) if told.isdecimal() else None
