"""The questions that NVML is asked about a device, each with what its answer means for the facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_MODES = {0: "default", 1: "exclusive thread", 2: "prohibited", 3: "exclusive process"}
_FABRIC = {0: "", 1: "not started", 2: "in progress", 3: "completed"}
_RECOVERY = {0: "", 1: "reset the device", 2: "restart the machine", 3: "drain its peers", 4: "drain and reset it"}
# NVLinks are numbered from 0; the first number that a device does not know ends them.
_MOST_LINKS = 18


@dataclass(frozen=True, slots=True)
class Question:
    """A function of NVML's with the arguments behind the device's handle, and how its answer becomes facts."""

    function: str
    facts: Callable[[Any], Mapping[str, Any]]
    arguments: tuple[Any, ...] = ()


def _plainly(name: str) -> Callable[[Any], Mapping[str, Any]]:
    return lambda value: {name: value}


def _text(name: str) -> Callable[[Any], Mapping[str, Any]]:
    return lambda value: {name: text_of(value)}


def _retired(pages: Any) -> Mapping[str, Any]:
    return {"retired": len(list(pages))}


# In this order: who the device is comes first, so that one which falls silent later has a name.
QUESTIONS = (
    Question("nvmlDeviceGetUUID", _text("uuid")),
    Question("nvmlDeviceGetName", _text("name")),
    Question("nvmlDeviceGetPciInfo", lambda info: {"pci": short_address(text_of(info.busId))}),
    Question("nvmlDeviceGetMinorNumber", _plainly("minor")),
    Question("nvmlDeviceGetMemoryInfo", lambda memory: {"memory": memory.total, "free": memory.free}),
    Question("nvmlDeviceGetCudaComputeCapability", lambda pair: {"capability": tuple(pair)}),
    Question("nvmlDeviceGetMigMode", lambda modes: {"sliced": bool(modes[0])}),
    Question("nvmlDeviceGetComputeMode", lambda mode: {"compute_mode": _MODES.get(mode, str(mode))}),
    Question("nvmlDeviceGetUtilizationRates", lambda rates: {"utilization": rates.gpu}),
    Question("nvmlDeviceGetEccMode", lambda modes: {"ecc": bool(modes[0])}),
    # Uncorrected errors since the driver was loaded.
    Question("nvmlDeviceGetTotalEccErrors", _plainly("uncorrected"), (1, 0)),
    Question(
        "nvmlDeviceGetRemappedRows",
        lambda rows: {
            "rows": {
                "correctable": rows[0],
                "uncorrectable": rows[1],
                "pending": bool(rows[2]),
                "failed": bool(rows[3]),
            }
        },
    ),
    # Pages that were retired since they had two errors in one word.
    Question("nvmlDeviceGetRetiredPages", _retired, (1,)),
    Question("nvmlDeviceGetRetiredPagesPendingStatus", lambda state: {"retiring": bool(state)}),
    Question("nvmlDeviceGetTemperature", _plainly("temperature"), (0,)),
    Question("nvmlDeviceGetTemperatureThreshold", _plainly("slowdown"), (1,)),
    Question("nvmlDeviceGetCurrentClocksThrottleReasons", _plainly("throttle")),
    Question("nvmlDeviceGetCurrPcieLinkWidth", _plainly("pcie_width")),
    Question("nvmlDeviceGetMaxPcieLinkWidth", _plainly("pcie_width_most")),
    Question("nvmlDeviceGetCurrPcieLinkGeneration", _plainly("pcie_generation")),
    Question("nvmlDeviceGetMaxPcieLinkGeneration", _plainly("pcie_generation_most")),
    Question("nvmlDeviceGetPersistenceMode", lambda mode: {"persistence": bool(mode)}),
)


def text_of(value: Any) -> str:
    """Return a text of NVML's, which older bindings give as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)


def short_address(address: str) -> str:
    """Return `0000:65:00.0`, as the kernel writes it, of NVML's `00000000:65:00.0`."""
    domain, _, rest = address.partition(":")
    return f"{domain[-4:]}:{rest}".lower() if rest else address.lower()


def ask_processes(nvml: Any, handle: Any) -> list[dict[str, Any]]:
    """Return the processes that compute on a device; drivers before 510 know an older form of the question alone."""
    try:
        found = nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
    except nvml.NVMLError as problem:
        if problem.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
        found = nvml.nvmlDeviceGetComputeRunningProcesses_v2(handle)
    return [{"pid": each.pid, "memory": each.usedGpuMemory} for each in found]


def ask_links(nvml: Any, handle: Any) -> list[bool]:
    """Return whether each NVLink of a device is up."""
    states: list[bool] = []
    for link in range(_MOST_LINKS):
        try:
            states.append(bool(nvml.nvmlDeviceGetNvLinkState(handle, link)))
        except nvml.NVMLError:
            break
    return states


def ask_slices(nvml: Any, handle: Any) -> list[str]:
    """Return the UUIDs of the MIG devices that a device is cut into."""
    uuids = []
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            uuids.append(text_of(nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))))
        except nvml.NVMLError:
            continue
    return uuids


def ask_fabric(nvml: Any, handle: Any) -> str:
    """Return how far the device has joined the NVSwitch fabric, empty where it has none to join."""
    from ctypes import byref

    info = nvml.c_nvmlGpuFabricInfo_v2_t()
    nvml.nvmlDeviceGetGpuFabricInfoV(handle, byref(info))
    return _FABRIC.get(info.state, "")


def ask_recovery(nvml: Any, handle: Any) -> str:
    """Return what the driver wants done before the device is used again, empty for nothing (driver 570 and later)."""
    (value,) = nvml.nvmlDeviceGetFieldValues(handle, [nvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION])
    return _RECOVERY.get(value.value.uiVal, "") if value.nvmlReturn == 0 else ""


# Questions of more than one call, by the fact that they answer.
COMPOUND: Mapping[str, Callable[[Any, Any], Any]] = {
    "processes": ask_processes,
    "links": ask_links,
    "slices": ask_slices,
    "fabric": ask_fabric,
    "recovery": ask_recovery,
}
