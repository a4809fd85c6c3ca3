"""GPUs as the driver reports them, and the build of torch as its files tell it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

DRIVER = Path("/proc/driver/nvidia/version")
OTHER_FRAMEWORKS = ("jax", "tensorflow", "cupy", "paddle", "mxnet")


class Driver(StrEnum):
    """Whether the driver answers, or why not."""

    ANSWERS = "answers"
    ABSENT = "absent"
    NOT_LOADED = "not loaded"
    MISMATCH = "mismatch"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device as the driver numbers it; `memory` is in bytes, 0 where not told; a sliced one (MIG) is several."""

    index: int
    uuid: str = ""
    name: str = ""
    memory: int = 0
    capability: tuple[int, int] | None = None
    sliced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """What NVML told: the driver's state and version, the newest CUDA that it runs, and every device of the machine.

    `loaded` is the version of the kernel module, `error` NVML's words, `nodes` the device files below /dev, `selection`
    the value of CUDA_VISIBLE_DEVICES, None where it is not set.
    """

    driver: Driver
    version: str = ""
    loaded: str = ""
    cuda: tuple[int, int] | None = None
    devices: tuple[Device, ...] = ()
    nodes: tuple[str, ...] = ()
    selection: str | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """The devices that CUDA shows to the job, in its order, and what is wrong with the selection, if anything."""

    devices: tuple[Device, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchBuild:
    """What torch was built for: `cuda` and `hip` are versions, empty where it was built without."""

    version: str
    cuda: str
    hip: str
    file: str
    from_conda: bool


def read_gpus() -> Gpus:
    """Ask NVML for everything that it knows; a call that the driver lacks leaves its fact empty."""
    known: dict[str, Any] = {
        "selection": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "nodes": tuple(sorted(str(node) for node in Path("/dev").glob("nvidia[0-9]*"))),
        "loaded": _loaded_version(),
    }
    if not _library_is_there():
        driver = Driver.NOT_LOADED if known["nodes"] or known["loaded"] else Driver.ABSENT
        return Gpus(driver=driver, error="libnvidia-ml.so.1 is not found", **known)
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Gpus(driver=_state(error.value), error=_text(error), **known)
    try:
        cuda = _asked(pynvml.nvmlSystemGetCudaDriverVersion)
        return Gpus(
            driver=Driver.ANSWERS,
            version=_text(_asked(pynvml.nvmlSystemGetDriverVersion)),
            cuda=(cuda // 1000, cuda % 1000 // 10) if cuda else None,
            devices=tuple(_read_device(index) for index in range(_asked(pynvml.nvmlDeviceGetCount) or 0)),
            **known,
        )
    finally:
        _asked(pynvml.nvmlShutdown)


def visible(devices: Sequence[Device], selection: str | None) -> Visible:
    """Return what CUDA_VISIBLE_DEVICES leaves of `devices`, as CUDA reads it: it stops at the first mistake."""
    if selection is None:
        return Visible(devices=tuple(devices))
    chosen: list[Device] = []
    for word in [part.strip() for part in selection.split(",")] if selection.strip() else []:
        if word == "-1":
            break
        device = _device_named(word, devices)
        if device is None:
            return Visible(devices=tuple(chosen), problem=f"{word} is no device of this machine")
        if device in chosen:
            return Visible(devices=(), problem=f"{word} is there twice")
        chosen.append(device)
    return Visible(devices=tuple(chosen))


def read_torch_build() -> TorchBuild | None:
    """Return what the files of the installed torch say, without importing it; None where there is none."""
    import importlib.util
    import sys

    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.origin:
        return None
    file = Path(spec.origin).with_name("version.py")
    facts = _constants(file)
    return TorchBuild(
        version=str(facts.get("__version__") or ""),
        cuda=str(facts.get("cuda") or ""),
        hip=str(facts.get("hip") or ""),
        file=str(file),
        from_conda=any(Path(sys.prefix, "conda-meta").glob("pytorch-*.json")),
    )


def other_framework() -> str:
    """Return the name of an installed framework, other than torch, that uses GPUs; empty where there is none."""
    import importlib.util

    return next((name for name in OTHER_FRAMEWORKS if importlib.util.find_spec(name)), "")


def _read_device(index: int) -> Device:
    import pynvml

    handle = _asked(pynvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        return Device(index=index)
    memory = _asked(pynvml.nvmlDeviceGetMemoryInfo, handle)
    capability = _asked(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    slices = _asked(pynvml.nvmlDeviceGetMigMode, handle)
    return Device(
        index=index,
        uuid=_text(_asked(pynvml.nvmlDeviceGetUUID, handle)),
        name=_text(_asked(pynvml.nvmlDeviceGetName, handle)),
        memory=int(memory.total) if memory else 0,
        capability=(capability[0], capability[1]) if capability else None,
        sliced=bool(slices and slices[0]),
    )


def _asked(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what NVML answers, None where this driver or device has no answer."""
    import pynvml

    try:
        return function(*arguments)
    except pynvml.NVMLError:
        return None


def _state(code: int) -> Driver:
    import pynvml

    return {
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: Driver.MISMATCH,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: Driver.NOT_LOADED,
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: Driver.ABSENT,
        pynvml.NVML_ERROR_NO_PERMISSION: Driver.REFUSED,
    }.get(code, Driver.FAILED)


def _device_named(word: str, devices: Sequence[Device]) -> Device | None:
    if word.isdecimal():
        return next((device for device in devices if device.index == int(word)), None)
    matching = [device for device in devices if device.uuid.startswith(word)]
    return matching[0] if len(matching) == 1 else None


def _library_is_there() -> bool:
    # Loading the binding costs more than this question, and most laptops answer no.
    import ctypes

    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


def _loaded_version() -> str:
    """Return the kernel module's version: the first word with dots in /proc/driver/nvidia/version."""
    import re

    try:
        text = DRIVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(r"\b\d+\.\d+(\.\d+)*\b", text)
    return found[0] if found else ""


def _constants(file: Path) -> dict[str, Any]:
    """Return the names that a Python file sets to plain values, without running it."""
    import ast

    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    found = {}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        if targets and isinstance(targets[0], ast.Name) and isinstance(value, ast.Constant):
            found[targets[0].id] = value.value
    return found


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)
