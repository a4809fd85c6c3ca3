"""Which process of a node this is, where a launcher has started several of them."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Launcher:
    """A program that starts several processes of one job on a node.

    `rank` is the variable that numbers them from 0 on each node, `identity` are those that tell one start from another
    (the first is set wherever this launcher is at work), `nodes` is the one that counts the nodes.
    """

    rank: str
    identity: tuple[str, ...]
    nodes: str = ""


# The innermost first: torchrun may run in a step of Slurm, whose variables are still there.
# torchrun: torch.distributed.elastic's environment variables; Open MPI: its FAQ, "What environment variables are set";
# Intel MPI and MPICH: Hydra's; Slurm: srun(1), OUTPUT ENVIRONMENT VARIABLES.
LAUNCHERS = (
    Launcher(
        "LOCAL_RANK",
        ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"),
        "GROUP_WORLD_SIZE",
    ),
    Launcher("OMPI_COMM_WORLD_LOCAL_RANK", ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid")),
    Launcher("MPI_LOCALRANKID", ("MPI_LOCALNRANKS", "PMI_PORT")),
    Launcher("MV2_COMM_WORLD_LOCAL_RANK", ("MV2_COMM_WORLD_SIZE",)),
    Launcher("PMI_LOCAL_RANK", ("PALS_APID",)),
    Launcher(
        "SLURM_LOCALID",
        ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT", "SLURM_NODEID"),
        "SLURM_STEP_NUM_NODES",
    ),
    Launcher("LOCAL_RANK", ("MASTER_ADDR", "MASTER_PORT")),
)


@dataclass(frozen=True, slots=True)
class Rank:
    """One of the processes that a launcher has started on this node.

    `number` counts from 0; `key` is the same for all of them, and for no others; `node` is what the node is called
    where the job has more than one, else empty.
    """

    number: int
    key: str
    node: str = ""


def find(environment: Mapping[str, str]) -> Rank | None:
    """Return which process this is, None where no launcher says so."""
    for launcher in LAUNCHERS:
        number = environment.get(launcher.rank, "")
        if launcher.identity[0] in environment and number.isdecimal():
            told = [launcher.rank, *(environment.get(each, "") for each in launcher.identity), _starter(launcher.rank)]
            key = hashlib.sha256("\0".join(told).encode(errors="surrogateescape")).hexdigest()[:24]
            return Rank(int(number), key, _node(environment) if environment.get(launcher.nodes, "1") != "1" else "")
    return None


def _node(environment: Mapping[str, str]) -> str:
    return environment.get("SLURMD_NODENAME") or socket.gethostname()


def _starter(variable: str) -> str:
    """Return which process gave `variable` to this one and its ancestors, with its start, empty where /proc tells not.

    Ids are used again: a default rendezvous is always called `none`, a new Slurm counts its jobs from 1.
    """
    given = f"{variable}={os.environ.get(variable, '')}".encode(errors="surrogateescape")
    pid = os.getppid()
    while pid > 1:
        try:
            if given not in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                break
        except OSError:  # it belongs to another user, as Slurm's own processes do
            break
        pid = int(_facts(pid)[1])
    return f"{pid} {_facts(pid)[19]}" if pid > 1 and _facts(pid) else ""


def _facts(pid: int) -> list[str]:
    """Return the words of `/proc/PID/stat` behind the name: the state, the parent, …, at 19 the start (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2].split()
    except OSError:
        return []
