"""The real binding of NVML before a library of our own, which answers, refuses, hangs, crashes or lies."""

import time
from typing import Any

import psutil
import pytest

from preflight.system.gpu import nvml
from preflight.system.gpu.facts import Device, Driver, Rows

UUID = "GPU-0000000{}-1111-2222-3333-444444444444"


def asked(in_world: Any, setup: str, limit: float = 3.0) -> tuple[dict[str, Any], tuple[Device, ...]]:
    """Return what NVML says in a process of its own, and hold that nothing of it is missing."""
    return in_world(setup, nvml.ask_all, limit, 20.0)


@pytest.mark.usefixtures("no_gpu")
def test_no_library(in_world: Any) -> None:
    assert asked(in_world, "") == ({"driver": Driver.ABSENT, "error": "libnvidia-ml.so.1 is not found"}, ())


def test_a_healthy_driver(in_world: Any, nvidia_driver: Any) -> None:
    driver, devices = asked(in_world, nvidia_driver(2))
    assert driver == {"driver": Driver.ANSWERS, "version": "580.159.04", "cuda": [13, 0]}
    assert devices[1] == Device(
        index=1,
        uuid=UUID.format(1),
        name="NVIDIA H100 80GB HBM3",
        pci="0000:01:06.0",
        minor=1,
        memory=85520809984,
        free=85017493504,
        capability=(9, 0),
        compute_mode="default",
        processes=(),
        utilization=0,
        ecc=True,
        uncorrected=0,
        rows=Rows(),
        temperature=37,
        slowdown=89,
        throttle=1,
        pcie_width=16,
        pcie_width_most=16,
        pcie_generation=5,
        pcie_generation_most=5,
        persistence=True,
    )
    assert [device.index for device in devices] == [0, 1]


def test_what_a_device_may_say_besides(in_world: Any, nvidia_driver: Any) -> None:
    more = {
        "nvmlDeviceGetMigMode": "1 1",
        "nvmlDeviceGetMaxMigDeviceCount": "2",
        "nvmlDeviceGetComputeMode": "3",
        "nvmlDeviceGetRemappedRows": "4 2 1 0",
        "nvmlDeviceGetRetiredPages": "3",
        "nvmlDeviceGetRetiredPagesPendingStatus": "1",
        "nvmlDeviceGetComputeRunningProcesses": "4242:1000000 4343:-1",
        "nvmlDeviceGetNvLinkState[0]": "1",
        "nvmlDeviceGetNvLinkState[1]": "0",
        "nvmlDeviceGetGpuFabricInfo": "2",
        "field[230]": "1",
    }
    slices = {100: {"nvmlDeviceGetUUID": "MIG-a"}, 101: {"nvmlDeviceGetUUID": "MIG-b"}}
    _, (device,) = asked(in_world, nvidia_driver(1, answers={0: more, **slices}))
    assert device.sliced
    assert device.slices == ("MIG-a", "MIG-b")
    assert device.compute_mode == "exclusive process"
    assert device.rows == Rows(correctable=4, uncorrectable=2, pending=True)
    assert (device.retired, device.retiring) == (3, True)
    assert [(each.pid, each.memory) for each in device.processes or ()] == [(4242, 1_000_000), (4343, None)]
    assert device.links == (True, False)
    assert (device.fabric, device.recovery) == ("in progress", "reset the device")


@pytest.mark.parametrize(
    ("code", "state", "words"),
    [
        (18, Driver.MISMATCH, "Driver/library version mismatch"),
        (9, Driver.NOT_LOADED, "Driver Not Loaded"),
        (4, Driver.REFUSED, "Insufficient Permissions"),
        (999, Driver.FAILED, "Unknown Error"),
    ],
)
def test_a_start_that_fails(code: int, state: Driver, words: str, *, in_world: Any, nvidia_driver: Any) -> None:
    driver, devices = asked(in_world, nvidia_driver(driver={"nvmlInit": f"error {code}"}))
    assert (driver["driver"], driver["error"], devices) == (state, words, ())


def test_a_start_that_hangs(in_world: Any, nvidia_driver: Any) -> None:
    driver, devices = in_world(nvidia_driver(driver={"nvmlInit": "hang"}), nvml.ask_all, 0.5, 0.5)
    assert (driver["driver"], driver["error"], devices) == (Driver.SILENT, "nvmlInit does not answer", ())


def test_a_start_that_crashes(in_world: Any, nvidia_driver: Any) -> None:
    driver, _ = asked(in_world, nvidia_driver(driver={"nvmlInit": "crash"}))
    assert (driver["driver"], driver["error"]) == (Driver.FAILED, "nvmlInit ends the asking process")


def test_answers_that_are_refused_leave_a_gap_each(in_world: Any, nvidia_driver: Any) -> None:
    refused = {"nvmlDeviceGetMemoryInfo": "error 999", "nvmlDeviceGetRemappedRows": "error 3", "nvmlDeviceGetName": ""}
    _, (device,) = asked(in_world, nvidia_driver(answers={0: refused}))
    assert (device.memory, device.free, device.rows, device.name) == (0, None, None, "")
    assert (device.temperature, device.error, device.silent) == (37, "", ())


def test_a_question_that_hangs_costs_only_its_device(in_world: Any, nvidia_driver: Any) -> None:
    setup = nvidia_driver(3, answers={1: {"nvmlDeviceGetTemperature[0]": "hang"}})
    began = time.monotonic()
    driver, devices = asked(in_world, setup, limit=0.5)
    assert time.monotonic() - began < 30
    assert driver["driver"] == Driver.ANSWERS
    assert [device.silent for device in devices] == [(), ("nvmlDeviceGetTemperature",), ()]
    assert devices[1].memory == devices[0].memory
    assert devices[2].temperature == 37


def test_a_question_that_crashes_costs_only_its_device(in_world: Any, nvidia_driver: Any) -> None:
    _, devices = asked(in_world, nvidia_driver(2, answers={0: {"nvmlDeviceGetEccMode": "crash"}}))
    assert [device.silent for device in devices] == [("nvmlDeviceGetEccMode",), ()]


def test_devices_that_all_hang_are_not_waited_for_one_by_one(in_world: Any, nvidia_driver: Any) -> None:
    hang = {"nvmlDeviceGetUUID": "hang"}
    _, devices = asked(in_world, nvidia_driver(8, answers=dict.fromkeys(range(8), hang)), limit=0.3)
    assert [bool(device.silent) for device in devices] == [True, True, *[False] * 6]
    assert {device.error for device in devices[2:]} == {"not asked any more, since others do not answer"}


def test_a_device_that_is_lost(in_world: Any, nvidia_driver: Any) -> None:
    _, devices = asked(in_world, nvidia_driver(2, answers={0: {"nvmlDeviceGetHandleByIndex": "error 15"}}))
    assert (devices[0].error, devices[1].error) == ("GPU is lost", "")


def test_no_child_is_left(in_world: Any, nvidia_driver: Any) -> None:
    setup = nvidia_driver(1, answers={0: {"nvmlDeviceGetName": "hang"}})
    asked(in_world, f"export WHOSE=ours; {setup}", limit=0.2)
    assert not [each for each in psutil.process_iter() if environment_of(each).get("WHOSE") == "ours"]


def environment_of(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
