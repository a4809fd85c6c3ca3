"""Health of GPUs: nobody else is on them, their memory is sound, and nothing slows them down or cuts them off.

See it by hand:

    nvidia-smi -q
    nvidia-smi -q -d ECC,PAGE_RETIREMENT,PERFORMANCE
    sudo dmesg | grep -i xid
    nvidia-smi topo -m

Mend it:

    Run on other devices, and report this one to whoever runs the machine; a reset or a restart is theirs to do.
"""

from collections.abc import Iterator

import pytest

from preflight import Finding, check, error, info, warning
from preflight.config import Config, Gpu
from preflight.phrases import counted, in_a_row
from preflight.quantities import format_size
from preflight.system.experiment import cpu_setting
from preflight.system.gpu import selection
from preflight.system.gpu.facts import Device, Driver, Gpus, Process, Xid, named

# NVML's clock event reasons that mean trouble; the others are idleness, settings and the power limit at work.
SLOWED = {
    0x08: "the hardware slows it down",
    0x20: "its driver slows it down: it is too hot",
    0x40: "the hardware slows it down: it is too hot",
    0x80: "the power supply slows it down (power brake)",
}
# Errors of the device itself by NVIDIA's catalog of Xid errors; those of a program (13, 31, 43, 45 …) are left out.
XIDS = {
    48: "an uncorrectable memory error",
    62: "a halt of its internal processor",
    63: "a page or row of memory that is to be replaced",
    64: "a page or row of memory that could not be replaced",
    74: "an NVLink error",
    79: "it has fallen off the bus",
    92: "many corrected memory errors",
    94: "a contained memory error",
    95: "an uncontained memory error",
    119: "its system processor did not answer",
    120: "an error of its system processor",
    140: "an unrecovered memory error",
}
# Pages that can be retired before a card counts as worn out (NVIDIA, "Dynamic Page Retirement").
MOST_RETIRED = 60
# What a driver needs of an idle device's memory is far less than this, in bytes.
UNEXPLAINED = 2_000_000_000


@check(when="gpu", at="node")
def check_devices_are_free(config: Config, gpus: Gpus) -> Iterator[Finding]:
    """Nobody else is in the way on the devices that the job is shown.

    Memory that processes of this very run hold counts as free.

        gpu.memory-taken  less memory is free than `memory:` wants, since others hold it
        gpu.taken         the device admits one process only, and there is one
        gpu.prohibited    the device admits no process
        gpu.not-idle      another process computes on a device, and `idle: true` is wanted
        gpu.shared        another process computes on a device
    """
    if cpu_setting(config.experiment):
        return
    _skip_where_unknown(gpus)
    need = config.gpu or Gpu()
    for device in _shown(gpus):
        yield from _judge_access(need, device, gpus)
        yield from _judge_memory(need, device, gpus)
        yield from _judge_company(need, device, gpus)


@check(when="gpu", at="node")
def check_devices_are_healthy(config: Config, gpus: Gpus) -> Iterator[Finding]:
    """The devices that the job is shown report no fault of theirs.

    Each is judged by what its own driver and card say of it, and by its neighbours; there is no table of cards.

        gpu.ecc           its memory has had errors that could not be corrected, since the driver was loaded
        gpu.memory-worn   rows or pages of memory wait to be replaced, or cannot be any more
        gpu.needs-reset   the driver wants the device reset, or the machine restarted
        gpu.xid           the kernel has logged an error of the device
        gpu.slowed        heat or the power supply slows it down
        gpu.hot           it is at the temperature at which it slows down
        gpu.pcie          its PCIe link is narrower than the card and the slot allow
        gpu.nvlink        fewer of its NVLinks are up than of its neighbours'
        gpu.fabric        it has not joined the NVSwitch fabric
        gpu.persistence   persistence mode is off: each start of CUDA wakes the device, which takes seconds
    """
    if cpu_setting(config.experiment):
        return
    _skip_where_unknown(gpus)
    need, devices = config.gpu or Gpu(), _shown(gpus)
    for device in devices:
        for said in [*_memory_faults(device), *_wanted_reset(device), *_fabric_faults(device, gpus)]:
            yield error(**said, file=need.at.file, line=need.at.line)
        for said in [*_slow_downs(device), *_link_faults(device, devices)]:
            yield warning(**said, file=need.at.file, line=need.at.line)
        yield from _logged(device, gpus)
    if asleep := [device for device in devices if device.persistence is False]:
        fix = "Have it kept awake:\n    sudo systemctl enable --now nvidia-persistenced"
        yield info(f"persistence mode is off on {named(asleep)}", id="gpu.persistence", fix=fix)


def _skip_where_unknown(gpus: Gpus) -> None:
    # Of AMD's devices nothing is known here, which is said where they are counted.
    if gpus.driver is not Driver.ANSWERS and not gpus.is_amd:
        pytest.skip("the driver does not answer, so that its devices are not known")


def _shown(gpus: Gpus) -> list[Device]:
    """Return the devices that the job is shown, without those that cannot be asked, which are told as lost."""
    if gpus.driver is not Driver.ANSWERS:
        return []
    return [device for device in selection.of_job(gpus).devices if not device.error]


def _others(device: Device) -> list[Process]:
    return [process for process in device.processes or () if not process.own]


def _who(processes: list[Process], gpus: Gpus) -> str:
    """Return who computes on a device, as far as that can be told: numbers of another PID namespace name nobody."""
    told = []
    for process in processes:
        held = f", {format_size(process.memory)}" if process.memory else ""
        of = f" of {process.user}" if process.user else ""
        told.append(f"{process.name}{of} (pid {process.pid}{held})" if process.name else f"pid {process.pid}{held}")
    unseen = gpus.container and not all(process.name for process in processes)
    return in_a_row(told) + (" (not visible from within this container)" if unseen else "")


def _judge_access(need: Gpu, device: Device, gpus: Gpus) -> Iterator[Finding]:
    fix = "Choose another device, or have the compute mode set back:\n    sudo nvidia-smi --compute-mode=DEFAULT"
    if device.compute_mode == "prohibited":
        cause = "its compute mode is `prohibited`"
        yield _error(need, "prohibited", f"{named([device])} admits no process", cause=cause, fix=fix)
    elif device.compute_mode.startswith("exclusive") and (others := _others(device)):
        message = f"{named([device])} is taken: it admits one process, and {_who(others, gpus)} is on it"
        cause = f"its compute mode is `{device.compute_mode}`"
        fix = "Choose another device, or wait until that process has ended:\n    nvidia-smi"
        yield _error(need, "taken", message, cause=cause, fix=fix)


def _judge_memory(need: Gpu, device: Device, gpus: Gpus) -> Iterator[Finding]:
    if device.free is None or device.sliced or device.memory < (need.memory or 0):
        return  # a device that is too small is said to be
    free = device.free + sum(process.memory or 0 for process in device.processes or () if process.own)
    if free < (need.memory or 0):
        wanted, others = format_size(need.memory or 0), _others(device)
        held = _who(others, gpus) if others else "no process is shown that holds the rest"
        message = f"{named([device])} has {format_size(free)} of {format_size(device.memory)} free, {wanted} are wanted"
        fix = "Choose another device, or wait until they have ended:\n    nvidia-smi"
        values = {"found": format_size(free), "wanted": wanted}
        yield _error(need, "memory-taken", message, cause=f"on it: {held}" if others else held, fix=fix, **values)


def _judge_company(need: Gpu, device: Device, gpus: Gpus) -> Iterator[Finding]:
    others = _others(device)
    used = device.memory - device.free if device.free is not None and not device.sliced else 0
    mine = sum(process.memory or 0 for process in device.processes or () if process.own)
    if others:
        message = (
            f"{counted(len(others), 'other process', 'other processes')} on {named([device])}: {_who(others, gpus)}"
        )
        cause = "the device is shared, or a process of an earlier run is left"
        fix = "Choose another device, or end what is left of your own:\n    nvidia-smi"
    elif need.idle and used - mine > UNEXPLAINED and device.processes is not None:
        message = f"{named([device])} is not idle: {format_size(used - mine)} of its memory are held"
        cause = "no process is shown that holds them: it is in another container, or was left behind by the driver"
        fix = "Choose another device, or ask who is on it:\n    sudo fuser -v /dev/nvidia*"
    else:
        return
    if need.idle:
        yield _error(need, "not-idle", message, cause=cause, fix=fix)
    else:
        yield info(message, id="gpu.shared")


def _memory_faults(device: Device) -> Iterator[dict[str, str]]:
    away = "Run on another device or node, and have this one reset or replaced:\n    nvidia-smi -q -d ECC,ROW_REMAPPER"
    if device.uncorrected:
        message = f"{named([device])} has had {counted(device.uncorrected, 'uncorrected memory error')}"
        cause = "its memory is damaged; a job that meets the place again is ended by the driver"
        yield {"message": message, "id": "gpu.ecc", "cause": cause, "fix": away}
    rows = device.rows
    if rows and rows.failed:
        message = f"{named([device])} has rows of memory that could not be replaced"
        yield {
            "message": message,
            "id": "gpu.memory-worn",
            "cause": "no spare row is left: the card is worn out",
            "fix": away,
        }
    elif rows and rows.pending:
        message = f"{named([device])} has rows of memory that wait to be replaced"
        cause = "an error was found in them, and they are replaced when the device is reset"
        yield {"message": message, "id": "gpu.memory-worn", "cause": cause, "fix": away}
    if device.retiring or (device.retired or 0) >= MOST_RETIRED:
        waits = (
            "has pages of memory that wait to be retired" if device.retiring else f"has {device.retired} retired pages"
        )
        cause = "the driver takes them out of use when it is loaded anew" if device.retiring else "the card is worn out"
        yield {"message": f"{named([device])} {waits}", "id": "gpu.memory-worn", "cause": cause, "fix": away}


def _wanted_reset(device: Device) -> Iterator[dict[str, str]]:
    if device.recovery:
        message = f"{named([device])} is in a state that its driver wants left: {device.recovery}"
        fix = "Run on another device or node, and have that done by an administrator:\n    nvidia-smi -q"
        yield {
            "message": message,
            "id": "gpu.needs-reset",
            "cause": "it has met an error that only this clears",
            "fix": fix,
        }


def _fabric_faults(device: Device, gpus: Gpus) -> Iterator[dict[str, str]]:
    if device.fabric in ("not started", "in progress") and gpus.switches:
        runs = {None: "cannot be seen from here", True: "runs", False: "does not run"}[gpus.fabric_manager]
        fix = (
            "Have Fabric Manager of the driver's own version started:\n    sudo systemctl restart nvidia-fabricmanager"
        )
        message = f"{named([device])} has not joined the NVSwitch fabric: {device.fabric}"
        yield {"message": message, "id": "gpu.fabric", "cause": f"Fabric Manager {runs}", "fix": fix}


def _slow_downs(device: Device) -> Iterator[dict[str, str]]:
    why = [what for bit, what in SLOWED.items() if (device.throttle or 0) & bit]
    fix = "Run on another device or node, and have its cooling and power looked at:\n    nvidia-smi -q -d PERFORMANCE"
    heat = f"{device.temperature} °C" if device.temperature is not None else "a temperature that is not told"
    if why:
        message = f"{named([device])} is slowed down, at {heat}"
        yield {"message": message, "id": "gpu.slowed", "cause": in_a_row(why), "fix": fix}
    elif device.temperature is not None and device.slowdown and device.temperature >= device.slowdown:
        message = f"{named([device])} is at {heat}, and slows down at {device.slowdown} °C"
        yield {"message": message, "id": "gpu.hot", "cause": "its cooling does not keep up", "fix": fix}


def _link_faults(device: Device, devices: list[Device]) -> Iterator[dict[str, str]]:
    width, most = device.pcie_width, device.pcie_width_most
    if width and most and width < most and (device.utilization or 0) > 0:
        message = f"{named([device])} has a PCIe link of {width} lanes, {most} are possible"
        cause = "the card sits badly, or a lane of its slot is damaged"
        fix = "Have it looked at; copies to and from the device are slower until then"
        yield {"message": message, "id": "gpu.pcie", "cause": cause, "fix": fix}
    alike = [sum(other.links) for other in devices if other.name == device.name and other is not device]
    if alike and sum(device.links) < (usual := sorted(alike)[len(alike) // 2]):
        message = f"{named([device])} has {sum(device.links)} NVLinks up, its neighbours have {usual}"
        fix = "Run on another node, and have the links looked at:\n    nvidia-smi nvlink --status"
        yield {"message": message, "id": "gpu.nvlink", "cause": "a link is down", "fix": fix}


def _logged(device: Device, gpus: Gpus) -> Iterator[Finding]:
    """Say what the kernel has logged of a device: a warning, since what it tells of may have been mended since."""
    logged = [xid for xid in gpus.xids or () if xid.number in XIDS and device.pci and device.pci.startswith(xid.pci)]
    if logged:
        last: Xid = logged[-1]
        message = f"the kernel has logged Xid {last.number} of {named([device])}: {XIDS[last.number]}"
        more = f", and {len(logged) - 1} before" if len(logged) > 1 else ""
        cause = f"{_ago(last.age)} ago{more}: {last.text}".rstrip(": ")
        fix = "Run on another device if the job fails on this one, and have it looked at:\n    sudo dmesg | grep -i xid"
        yield warning(message, id="gpu.xid", cause=cause, fix=fix)


def _ago(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            return counted(int(seconds // length), unit)
    return counted(int(seconds), "second")


def _error(need: Gpu, name: str, message: str, **more: str) -> Finding:
    return error(message, id=f"gpu.{name}", file=need.at.file, line=need.at.line, **more)
