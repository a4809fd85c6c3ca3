"""The facts of this machine's GPUs, gathered from its driver, its kernel, its files and the environment."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from preflight.system.gpu import build, host, library, nvml
from preflight.system.gpu.facts import Device, Driver, Gpus, Process, read
from preflight.system.gpu.selection import VARIABLES
from preflight.system.origins import SearchPath

# The first PID namespace has this inode (the kernel's PROC_PID_INIT_INO); in any other one, numbers may mean others.
_FIRST_NAMESPACE = "pid:[4026531836]"


def gather(root: Path, *, start: bool = True) -> Gpus:
    """Return all that a project in `root` can see without importing torch or computing.

    With `start` the CUDA driver library is started too, where there is a device that it could show.
    """
    answers, devices = nvml.ask_all()
    path = SearchPath.of(root)
    nodes, loaded, switches = host.nodes(), host.loaded_version(), host.switches()
    amd, amd_usable = host.amd_devices()
    if answers["driver"] == Driver.ABSENT and (nodes or loaded):
        answers["driver"] = Driver.NOT_LOADED
    known = {os.getpid(), *_worker()}
    seen = {
        "devices": tuple(_with_names(device, known) for device in devices),
        "loaded": loaded,
        "nodes": nodes,
        "cards": host.cards(),
        "kernel_modules": host.kernel_modules(),
        "switches": switches,
        "fabric_manager": host.fabric_manager_runs() if switches else None,
        "xids": host.xids() if nodes else None,
        "library": library.start() if start and (devices or nodes) else None,
        "build": build.read_build(path),
        "other_framework": build.other_framework(path),
        "binding": build.deprecated_binding(),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "container": host.container(),
        "amd": amd,
        "amd_usable": amd_usable,
    }
    return read(Gpus, {**answers, **seen})


def _with_names(device: Device, own: Collection[int]) -> Device:
    if not device.processes:
        return device
    return replace(device, processes=tuple(_named(each, own) for each in device.processes))


def _named(process: Process, own: Collection[int]) -> Process:
    """Name a process where its number surely means the same to the driver and to us.

    Within a container the driver may count as its host does: there, a number counts only if that process has a device
    of NVIDIA's open.
    """
    if not _is_same_process(process.pid):
        return process
    import psutil

    try:
        found = psutil.Process(process.pid)
        mine = process.pid in own or any(parent.pid in own for parent in found.parents())
        return replace(process, name=found.name(), user=found.username(), own=mine)
    except (psutil.Error, KeyError, OSError):
        return process


def _is_same_process(pid: int) -> bool:
    try:
        if os.readlink("/proc/self/ns/pid") == _FIRST_NAMESPACE:
            return True
        folder = f"/proc/{pid}/fd"
        return any(_target(f"{folder}/{name}").startswith("/dev/nvidia") for name in os.listdir(folder))
    except OSError:
        return False


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _worker() -> set[int]:
    """Return the worker of this run, which has made itself known: whatever it started is ours."""
    worker = os.environ.get("PREFLIGHT_WORKER", "")
    return {int(worker)} if worker.isdecimal() else set()
