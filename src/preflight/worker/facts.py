"""What a report tells of its place besides the checks: host, interpreter, packages, commit, GPUs, data."""

from __future__ import annotations

import os
import platform
import resource
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from preflight.config import Config, label
from preflight.system import disk, files, git, limits
from preflight.system.outline import outline
from preflight.system.packages import Installed

# Reports are passed around, so only variables that cannot hold a secret are told.
_VARIABLES = (
    *("CONDA_DEFAULT_ENV", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHASHSEED", "LD_LIBRARY_PATH", "TMPDIR"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING", "CUDA_HOME", "CUBLAS_WORKSPACE_CONFIG"),
    *("PYTORCH_CUDA_ALLOC_CONF", "NCCL_DEBUG", "NCCL_IB_DISABLE", "NCCL_P2P_DISABLE", "NCCL_SOCKET_IFNAME"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM"),
    *("HF_HOME", "HF_HUB_OFFLINE", "TORCH_HOME", "WANDB_MODE", "LANG", "LC_ALL", "WORLD_SIZE"),
    *("SLURM_JOB_ID", "SLURM_JOB_PARTITION", "SLURMD_NODENAME"),
)


def host(config: Config) -> Mapping[str, Any]:
    """Return name, system, processors that this process may use, its limits, mounts and harmless variables."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return {
        "host": socket.gethostname(),
        "system": f"{os.uname().sysname} {os.uname().release} {os.uname().machine}",
        "processors": processors,
        "limits": _limits(),
        "variables": variables,
        "mounts": _mounts(config),
        "clock": time.time(),
    }


def python(_config: Config) -> Mapping[str, Any]:
    """Return version, path and environment of the job's interpreter."""
    return {"python": platform.python_version(), "interpreter": sys.executable, "prefix": sys.prefix}


def packages(_config: Config) -> Mapping[str, Any]:
    """Return the version of each distribution that the job can import."""
    return {"packages": {each.name: each.version for each in Installed.in_folders(sys.path)}}


def commit(config: Config) -> Mapping[str, Any]:
    """Return the commit of the project and how much is not in it; nothing outside a repository."""
    try:
        top = git.top_of(config.root)
        repository = git.repository(top) if top is not None else None
    except git.GitError:
        return {}
    if repository is None:
        return {}
    counts = {"changed": len(repository.changed), "untracked": len(repository.untracked)}
    return {"commit": repository.commit, "branch": repository.branch, **counts}


def gpus(config: Config) -> Mapping[str, Any]:
    """Return what the driver says of itself and its devices."""
    from preflight.system.gpu import gather

    return gather.gather(config.root, start=False).told()


def data(config: Config) -> Mapping[str, Any]:
    """Return the outlines of what the config names as data in this machine's files, and of its locks."""
    entries = [entry for entry in config.data if entry.local or entry.manifest]
    outlines = {
        label(entry): outline(
            files.resolve(entry.local or entry.manifest, config.root), entry.files.glob if entry.files else "**/*"
        )
        for entry in entries
    }
    named = config.packages.lock if config.packages else ()
    return {"data": outlines, "locks": {name: outline(files.resolve(name, config.root)) for name in named}}


def _mounts(config: Config) -> Mapping[str, str]:
    """Return on which kind of file system, from where, each path of the config lies, going by its name alone."""
    paths = [*(each.local for each in config.data), *(each.path for each in config.paths)]
    found = {path: disk.mount_above(files.resolve(path, config.root)) for path in paths if path}
    return {path: f"{mount.type} from {mount.device}" for path, mount in found.items()}


def _limits() -> Mapping[str, int]:
    """Return the limits of this process by the names of the config; what has no limit is -1."""
    soft = {"nofile": resource.RLIMIT_NOFILE, "processes": resource.RLIMIT_NPROC, "stack": resource.RLIMIT_STACK}
    room = limits.shared_memory()
    found = {name: resource.getrlimit(number)[0] for name, number in soft.items()}
    return {"ram": limits.memory().value, **found, **({"shm": room.total} if room else {})}


GATHERERS: Mapping[str, Callable[[Config], Mapping[str, Any]]] = {
    each.__name__: each for each in (host, python, packages, commit, gpus, data)
}
