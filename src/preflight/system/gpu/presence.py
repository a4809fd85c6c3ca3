"""Whether there is a GPU here at all, and how many, told by a look at some files."""

from __future__ import annotations

import functools
import os

from preflight.system.gpu import host


@functools.cache
def is_any_here() -> bool:
    """Tell whether there may be a GPU at all."""
    return bool(host.nodes() or host.loaded_version() or host.amd_devices()[0]) or host.has_nvml()


def count_shown() -> int:
    """Return how many devices the job seems to be shown, by their files; at least 1."""
    devices = [node for node in host.nodes() if node.path[-1].isdecimal()]
    selection = os.environ.get("CUDA_VISIBLE_DEVICES")
    chosen = len(selection.split(",")) if selection else len(devices)
    return max(1, min(chosen, len(devices) or chosen))
