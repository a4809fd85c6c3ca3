"""Which devices CUDA shows to a job: CUDA_VISIBLE_DEVICES, and what the scheduler and the launcher say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from preflight.system.gpu.facts import Device, Driver, Gpus

VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "LOCAL_WORLD_SIZE",
    "SLURM_GPUS_ON_NODE",
    "SLURM_JOB_GPUS",
    "SLURM_STEP_GPUS",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """The devices that CUDA shows to the job, in its order, and what is wrong with the selection, if anything.

    `slices` is how many MIG devices are among them: each stands for a part of the device in the same place.
    """

    devices: tuple[Device, ...]
    problem: str = ""
    slices: int = 0


def visible(devices: Sequence[Device], selection: str | None) -> Visible:
    """Return what CUDA_VISIBLE_DEVICES leaves of `devices`, as CUDA reads it.

    It stops at the first word that names no device; a device that is named twice leaves nothing at all (seen with
    driver 580: cuInit gives error 101). A MIG device is named by its UUID, or is the only one that CUDA shows.
    """
    if selection is None:
        return Visible(devices=tuple(devices), slices=sum(bool(device.slices) for device in devices))
    chosen: list[str] = []
    found: list[Device] = []
    for word in [part.strip() for part in selection.split(",")] if selection.strip() else []:
        if word == "-1":
            break
        uuid, device = _named(word, devices)
        if device is None:
            return _visible(chosen, found, f"{word or 'an empty word'} is no device of this machine")
        if uuid in chosen:
            return Visible(devices=(), problem=f"{word} is there twice")
        chosen.append(uuid)
        found.append(device)
    return _visible(chosen, found)


def of_job(gpus: Gpus) -> Visible:
    """Return the devices that CUDA shows: what it says itself where it was asked, else what the selection leaves."""
    said = visible(gpus.devices, gpus.selection)
    library = gpus.library
    if library is None or library.code != 0 or not library.devices:
        return said
    owners = {bare(uuid): device for device in gpus.devices for uuid in (device.uuid, *device.slices)}
    shown = tuple(owners[uuid] for uuid in library.devices if uuid in owners)
    if len(shown) != len(library.devices):
        return said
    slices = sum(uuid != bare(device.uuid) for uuid, device in zip(library.devices, shown, strict=True))
    return Visible(devices=shown, problem=said.problem, slices=slices)


def most_named(selection: str | None) -> int | None:
    """Return how many devices a selection shows at most, whatever machine it is on; None where there is none."""
    if selection is None:
        return None
    words = [word.strip() for word in selection.split(",")]
    return words.index("-1") if "-1" in words else sum(map(bool, words))


def why_not_usable(gpus: Gpus) -> str:
    """Return why no device can be computed on, as far as that is known without trying; empty where one may be."""
    if gpus.is_amd:
        return "" if gpus.amd else "there is no device to compute on"
    if gpus.driver is not Driver.ANSWERS:
        return "the driver does not answer, so that there is no device to compute on"
    if gpus.library is not None and gpus.library.code != 0:
        return "CUDA cannot be started, so that there is no device to compute on"
    return "" if of_job(gpus).devices else "no device is shown to the job"


def called(gpus: Gpus, number: int) -> str:
    """Return what a message calls the device that is number `number` to the job: `GPU 3 (A100, 0000:65:00.0)`."""
    shown = of_job(gpus).devices
    told = [shown[number].name, shown[number].pci] if number < len(shown) else []
    label = ", ".join(part for part in told if part)
    return f"GPU {number} ({label})" if label else f"GPU {number}"


def granted(environment: Mapping[str, str]) -> tuple[str, int]:
    """Return the variable in which Slurm says how many devices this job has on this node, and the number; else 0."""
    count = environment.get("SLURM_GPUS_ON_NODE", "")
    if count.isdecimal():
        return "SLURM_GPUS_ON_NODE", int(count)
    for name in ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        if value := environment.get(name, ""):
            return name, len(value.split(","))
    return "", 0


def bare(uuid: str) -> str:
    """Return a UUID without the `GPU-` or `MIG-` that NVML puts in front of it."""
    return uuid.partition("-")[2]


def _visible(chosen: Sequence[str], found: Sequence[Device], problem: str = "") -> Visible:
    return Visible(devices=tuple(found), problem=problem, slices=sum(uuid.startswith("MIG") for uuid in chosen))


def _named(word: str, devices: Sequence[Device]) -> tuple[str, Device | None]:
    """Return the UUID, or the index where that is not known, and the device that a word of the selection names."""
    if word.isdecimal():
        device = next((device for device in devices if device.index == int(word)), None)
        return (device.uuid or word) if device else "", device
    if not word:
        return "", None
    matching = [(uuid, device) for device in devices for uuid in (device.uuid, *device.slices) if uuid.startswith(word)]
    return matching[0] if len(matching) == 1 else ("", None)
