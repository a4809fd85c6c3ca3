"""The CUDA driver library, started in a child: whether it loads, how its start ends, and which devices it shows."""

from __future__ import annotations

import ctypes
import os
import re
import time
import uuid
from contextlib import suppress
from typing import Any

from preflight.system.gpu.asking import Asking, Died, Silent, Tell
from preflight.system.gpu.facts import Cuda, read

NAME = "libcuda.so.1"
# Seconds: on a machine of eight devices without persistence mode the start wakes each of them.
LIMIT = 30.0


def start(limit: float = LIMIT) -> Cuda:
    """Return what the library says of its start, within `limit` seconds."""
    began = time.monotonic()
    said: dict[str, Any] = {}
    with Asking(_start) as child:
        try:
            while told := child.hear(began + limit - time.monotonic()):
                said |= told
        except Silent:
            said["error"] = f"cuInit does not answer within {limit:g} s"
        except Died:
            said["error"] = "cuInit ends the process that asks"
    return read(Cuda, {**said, "seconds": round(time.monotonic() - began, 3)})


def _start(tell: Tell) -> None:
    try:
        cuda = ctypes.CDLL(NAME)
    except OSError as problem:
        tell(error=str(problem))
        return
    file = _file_of(NAME)
    version = re.search(r"\.so\.(\d+\.[\d.]+)$", os.path.realpath(file))
    tell(file=file, version=version[1] if version else "")
    number = ctypes.c_int()
    if cuda.cuDriverGetVersion(ctypes.byref(number)) == 0 and number.value:
        tell(newest=[number.value // 1000, number.value % 1000 // 10])
    code = cuda.cuInit(0)
    tell(code=code, error=_name_of(cuda, code) if code else "")
    if code == 0:
        tell(devices=_devices(cuda))


def _devices(cuda: Any) -> list[str]:
    """Return the UUIDs of the devices that are shown, in the order of their numbers; MIG devices have their own."""
    count = ctypes.c_int()
    if cuda.cuDeviceGetCount(ctypes.byref(count)):
        return []
    uuids = []
    for index in range(count.value):
        device, raw = ctypes.c_int(), (ctypes.c_ubyte * 16)()
        # The second version knows the UUIDs of MIG devices.
        ask = getattr(cuda, "cuDeviceGetUuid_v2", None) or cuda.cuDeviceGetUuid
        if cuda.cuDeviceGet(ctypes.byref(device), index) or ask(ctypes.byref(raw), device):
            return []
        uuids.append(str(uuid.UUID(bytes=bytes(raw))))
    return uuids


def _name_of(cuda: Any, code: int) -> str:
    name, said = ctypes.c_char_p(), ctypes.c_char_p()
    with suppress(AttributeError):
        cuda.cuGetErrorName(code, ctypes.byref(name))
        cuda.cuGetErrorString(code, ctypes.byref(said))
    words = [part.decode(errors="replace") for part in (name.value, said.value) if part]
    return ": ".join(words) or f"error {code}"


def _file_of(name: str) -> str:
    """Return the file that a loaded library came from."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        stem = name.partition(".so")[0] + ".so"
        return next((line.split(maxsplit=5)[5].strip() for line in maps if f"/{stem}" in line), "")
