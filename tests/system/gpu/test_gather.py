"""All facts together, on this machine as it is and before a driver of our own."""

import os
from pathlib import Path
from typing import Any

import pytest

from preflight.system.gpu import gather
from preflight.system.gpu.facts import Driver


def test_this_machine_as_it_is(monkeypatch: Any) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    gpus = gather.gather(Path())
    assert gpus.selection == ""
    assert gpus.driver is Driver.ANSWERS or gpus.error
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gather.gather(Path(), start=False).selection is None


def test_a_driver_of_two_devices(in_world: Any, nvidia_driver: Any) -> None:
    gpus = in_world(nvidia_driver(2) + "; export SLURM_GPUS_ON_NODE=2 SECRET=x", gather.gather, Path())
    assert gpus.driver is Driver.ANSWERS
    assert (gpus.version, gpus.cuda) == ("580.159.04", (13, 0))
    assert [device.index for device in gpus.devices] == [0, 1]
    assert gpus.library is not None
    assert gpus.library.code == 0
    assert gpus.environment["SLURM_GPUS_ON_NODE"] == "2"
    assert "SECRET" not in gpus.environment


def test_the_library_is_not_started_unasked(in_world: Any, nvidia_driver: Any) -> None:
    assert in_world(nvidia_driver(1, cuda="hang"), gather.gather, Path(), start=False).library is None


@pytest.mark.usefixtures("no_gpu")
def test_device_files_without_the_library(in_world: Any) -> None:
    setup = "mount -t tmpfs none /dev/shm; mount --bind /dev/shm /dev; : > /dev/nvidia0; : > /dev/nvidia1"
    gpus = in_world(setup, gather.gather, Path())
    assert gpus.driver is Driver.NOT_LOADED
    assert [node.path for node in gpus.nodes] == ["/dev/nvidia0", "/dev/nvidia1"]


def test_processes_are_named_and_ours_are_known(in_world: Any, nvidia_driver: Any) -> None:
    """In the first PID namespace, or where a process has a device open, a number names who it is."""
    held = {"nvmlDeviceGetComputeRunningProcesses": f"{os.getpid()}:1000 999999:2000"}
    setup = nvidia_driver(1, answers={0: held})
    (device,) = in_world(setup, gather.gather, Path()).devices
    mine, gone = device.processes
    assert (mine.pid, mine.memory, mine.own) == (os.getpid(), 1000, False)
    assert (gone.name, gone.user) == ("", "")
    in_first = os.readlink("/proc/self/ns/pid") == gather._FIRST_NAMESPACE
    assert bool(mine.name) is in_first
    (device,) = in_world(f"export PREFLIGHT_WORKER={os.getpid()}; {setup}", gather.gather, Path()).devices
    assert device.processes[0].own is in_first


def test_numbers_of_another_namespace_name_nobody(in_world: Any, nvidia_driver: Any) -> None:
    setup = nvidia_driver(1, answers={0: {"nvmlDeviceGetComputeRunningProcesses": "1:1000"}})
    setup += '\nset -- unshare --pid --fork --mount-proc "$@"'
    (device,) = in_world(setup, gather.gather, Path()).devices
    assert (device.processes[0].pid, device.processes[0].name) == (1, "")
