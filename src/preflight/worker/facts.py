"""What a report tells of its place besides the checks: host, interpreter, packages, commit, GPUs."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from preflight.system import git
from preflight.system.packages import Installed

# Reports are passed around, so only variables that cannot hold a secret are told.
_VARIABLES = (
    "CONDA_DEFAULT_ENV",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "SLURM_JOB_ID",
    "SLURM_JOB_PARTITION",
    "SLURMD_NODENAME",
)


def host(_root: Path) -> Mapping[str, Any]:
    """Return name, system, processors that this process may use, and the harmless environment variables."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return {
        "host": socket.gethostname(),
        "system": f"{os.uname().sysname} {os.uname().release} {os.uname().machine}",
        "processors": processors,
        "variables": variables,
    }


def python(_root: Path) -> Mapping[str, Any]:
    """Return version, path and environment of the job's interpreter."""
    return {"python": platform.python_version(), "interpreter": sys.executable, "prefix": sys.prefix}


def packages(_root: Path) -> Mapping[str, Any]:
    """Return the version of each distribution that the job can import."""
    return {"packages": {each.name: each.version for each in Installed.in_folders(sys.path)}}


def commit(root: Path) -> Mapping[str, Any]:
    """Return the commit of the project and how much is not in it; nothing outside a repository."""
    try:
        top = git.top_of(root)
        repository = git.repository(top) if top is not None else None
    except git.GitError:
        return {}
    if repository is None:
        return {}
    counts = {"changed": len(repository.changed), "untracked": len(repository.untracked)}
    return {"commit": repository.commit, "branch": repository.branch, **counts}


def gpus(root: Path) -> Mapping[str, Any]:
    """Return what the driver says of itself and its devices."""
    from preflight.system.gpu import gather

    return gather.gather(root, start=False).told()


GATHERERS: Mapping[str, Callable[[Path], Mapping[str, Any]]] = {
    each.__name__: each for each in (host, python, packages, commit, gpus)
}
