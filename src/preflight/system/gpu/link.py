"""The PCIe link of a device while it is at work: at rest a card saves power, and its link is slower and narrower."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

# Copies of so many bytes each keep the link busy for some 20 ms, while NVML is asked in one.
_SIZE, _COPIES = 1 << 26, 20


def link_at_work(device: str, address: str) -> dict[str, int]:
    """Return width and generation of a device's link, and the most that card and slot allow, during copies to it.

    `address` is that on the PCI bus. Empty for the CPU, and where NVML has no answer. Changes nothing; to be called in
    a process that may use the device.
    """
    if device == "cpu" or not address:
        return {}
    import pynvml as nvml
    import torch

    with suppress(nvml.NVMLError, AttributeError, RuntimeError):
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByPciBusId(address.encode())
        source = torch.empty(_SIZE, dtype=torch.uint8, pin_memory=True)
        target = torch.empty(_SIZE, dtype=torch.uint8, device=device)
        for _ in range(_COPIES):
            target.copy_(source, non_blocking=True)
        found = _ask(nvml, handle)
        torch.cuda.synchronize(device)
        return found
    return {}


def _ask(nvml: Any, handle: Any) -> dict[str, int]:
    return {
        "width": nvml.nvmlDeviceGetCurrPcieLinkWidth(handle),
        "width_most": nvml.nvmlDeviceGetMaxPcieLinkWidth(handle),
        "generation": nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle),
        "generation_most": nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle),
    }
