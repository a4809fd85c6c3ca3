"""What the experiment's own config says of the machine that it wants: the device, the workers, the processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# Where frameworks keep what is meant for the whole run; `device` below anything else may be that of one part.
_RUN = {"", "args", "config", "experiment", "fabric", "general", "hardware", "run", "runtime", "system"}
_RUN |= {"train", "trainer", "training", "training_args", "training_arguments"}
_DEVICE = {"device", "accelerator", "device_type"}
_WITHOUT_GPU = {"no_cuda": True, "use_cpu": True, "cpu": True, "use_cuda": False, "use_gpu": False, "cuda": False}
_WORKERS = {"num_workers", "n_workers", "dataloader_num_workers", "loader_workers", "data_workers", "workers_per_gpu"}
_PROCESSES = {"gpus", "num_gpus", "n_gpus", "devices", "nproc_per_node", "world_size"}
_NODES = {"num_nodes", "nnodes", "n_nodes"}


def cpu_setting(experiment: Mapping[str, Any]) -> str:
    """Return `device: cpu` or the like where the run as a whole is told to use no GPU, else nothing."""
    of_the_run = [(key, name, value) for key, name, value in _settings(experiment) if _is_of_the_run(key)]
    said = [(f"{key}: {value}", _says_cpu(name, value)) for key, name, value in of_the_run]
    telling = [(text, says_cpu) for text, says_cpu in said if says_cpu is not None]
    return telling[0][0] if telling and all(says_cpu for _, says_cpu in telling) else ""


def worker_setting(experiment: Mapping[str, Any]) -> tuple[str, int]:
    """Return the key and number of the most worker processes that a data loader is to have; `("", 0)` for none."""
    found = [(key, value) for key, name, value in _settings(experiment) if name in _WORKERS and _is_number(value)]
    return max(found, key=lambda each: each[1], default=("", 0))


def wants_several_processes(experiment: Mapping[str, Any]) -> bool:
    """Tell whether the run is to be more than one process that talk to each other."""
    return any(_is_number(value) and value > 1 for _, name, value in _settings(experiment) if name in _PROCESSES)


def node_setting(experiment: Mapping[str, Any]) -> int:
    """Return how many machines the run is to be spread over, 1 where nothing says so."""
    return max([value for _, name, value in _settings(experiment) if name in _NODES and _is_number(value)], default=1)


def _settings(node: Any, above: str = "") -> Iterator[tuple[str, str, Any]]:
    """Give each single value with its dotted key and the key's last word."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            key = f"{above}.{name}" if above else str(name)
            yield key, str(name).lower(), value
            yield from _settings(value, key)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _settings(value, f"{above}[{index}]")


def _is_of_the_run(key: str) -> bool:
    return key.rpartition(".")[0].lower() in _RUN


def _says_cpu(name: str, value: Any) -> bool | None:
    """Return None for a setting that says nothing about the device."""
    if name in _DEVICE and isinstance(value, str) and value.lower() not in ("auto", ""):
        return value.lower().partition(":")[0] == "cpu"
    if name in _WITHOUT_GPU and isinstance(value, bool):
        return value is _WITHOUT_GPU[name] or None
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
