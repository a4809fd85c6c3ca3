"""GPUs: a driver that answers, a build of torch that can use it, and enough devices of the right kind for the job.

See it by hand:

    nvidia-smi
    echo "$CUDA_VISIBLE_DEVICES"
    python -c 'import torch; print(torch.__version__, torch.version.cuda, torch.cuda.device_count())'

Mend it:

    Install the build of torch that goes with the driver, and ask for the devices that the config wants.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from preflight import Finding, check, error, info, warning
from preflight.causes import drivers
from preflight.config import Config, Gpu
from preflight.phrases import counted, in_a_row
from preflight.quantities import format_size
from preflight.system.experiment import cpu_setting
from preflight.system.gpu import compatibility, selection
from preflight.system.gpu.compatibility import Code
from preflight.system.gpu.facts import Build, Device, Driver, Gpus, named
from preflight.system.gpu.selection import Visible
from preflight.system.readers import is_used


@check(at="node")
def check_driver_answers(config: Config, gpus: Gpus) -> Iterator[Finding]:
    """The GPU driver answers, for itself and for every device.

    Where the config asks for no GPU, this only tells what is there.

        gpu.seen              the devices of this machine
        gpu.no-driver         no driver is installed or loaded
        gpu.driver-mismatch   the driver's kernel module and its library are of different versions
        gpu.no-permission     this user may not use the devices
        gpu.driver-failed     the driver gives another error
        gpu.driver-silent     the driver does not answer in time
        gpu.lost              a device does not answer, or its driver has lost it
        gpu.device-is-cpu     the config asks for GPUs, and the experiment says that it runs on the CPU
        gpu.deprecated-binding  the distribution `pynvml` is installed, which hides the maintained one
    """
    if config.gpu and (setting := cpu_setting(config.experiment)):
        yield _on_cpu(config.gpu, setting)
        return
    if gpus.driver is Driver.ANSWERS:
        names = in_a_row([device.name or f"GPU {device.index}" for device in gpus.devices], most=8) or "none"
        yield info(f"{counted(len(gpus.devices), 'GPU')}: {names}, driver {gpus.version}", id="gpu.seen")
        yield from _lost(config.gpu, gpus)
    elif config.gpu and gpus.is_amd:
        yield from _judge_amd(config.gpu, gpus)
    elif config.gpu:
        yield _error(config.gpu, **drivers.why_silent(gpus))
    elif gpus.driver is not Driver.ABSENT:
        said = drivers.why_silent(gpus)
        yield info(said["message"], id="gpu.seen", cause=gpus.error)
    if config.gpu and gpus.binding:
        message = f"the distribution pynvml {gpus.binding} is installed"
        cause = "it is not maintained any more, and its package hides the module of nvidia-ml-py"
        fix = "Install the maintained one in its place:\n    "
        fix += f"{sys.executable} -m pip uninstall --yes pynvml && {sys.executable} -m pip install nvidia-ml-py"
        yield info(message, id="gpu.deprecated-binding", cause=cause, fix=fix)


@check(when="gpu", at="node")
def check_build_has_cuda(config: Config, gpus: Gpus, root: Path) -> Iterator[Finding]:
    """The installed torch was built for the GPUs of this machine; its files tell, it is not imported.

    Within one major version of CUDA, from 11 on, an older driver runs a newer build; only PTX needs one that is as new.

        gpu.no-torch        torch is not installed, nor another framework that uses GPUs
        gpu.cpu-only-build  torch was built without CUDA
        gpu.driver-too-old  torch was built for a newer CUDA than the driver runs
        gpu.no-code         the build holds no code for the devices: "no kernel image is available"
        gpu.compiled-late   the build holds only PTX for them, which the driver compiles when it is first used
    """
    need, build = _asked(config), gpus.build
    if cpu_setting(config.experiment) or not _uses_torch(config, root):
        return
    if build is None:
        if not gpus.other_framework:
            cause, fix = "no module of that name is found", f"Install it:\n    {sys.executable} -m pip install torch"
            yield _error(need, "no-torch", "torch is not installed", cause=cause, fix=fix)
    elif not (build.cuda or build.hip):
        message = f"torch {build.version} is a CPU-only build, a build with CUDA is wanted"
        cause = f"{build.file} says that it was compiled without CUDA"
        values = {"found": build.version, "wanted": "a build with CUDA"}
        yield _error(need, "cpu-only-build", message, cause=cause, fix=drivers.reinstall(build), **values)
    elif build.cuda:
        yield from _judge_build(need, build, gpus)


@check(when="gpu", at="node")
def check_library_starts(config: Config, gpus: Gpus, root: Path) -> Iterator[Finding]:
    """The CUDA driver library (libcuda) loads, and its start succeeds.

    This is where every program that uses CUDA begins. The start of one that hangs is given up.

        gpu.no-library         it is not there, empty, or cannot be loaded
        gpu.stub-library       what is loaded is the stub that programs are linked with
        gpu.no-fabric-manager  the NVSwitches of this machine are not set up: error 802
        gpu.mixed-versions     the library is of another version than the kernel module: error 803
        gpu.compatibility      a forward compatibility package is in use that these devices do not support: error 804
        gpu.no-device-files    device files are missing
        gpu.no-permission      this user may not use them
        gpu.start-fails        the start gives another error
    """
    library = gpus.library
    if library is None or gpus.driver is not Driver.ANSWERS or cpu_setting(config.experiment):
        return
    uses_cuda = bool((gpus.build and gpus.build.cuda and _uses_torch(config, root)) or gpus.other_framework)
    if uses_cuda and (said := drivers.why_not_started(gpus, library, selection.visible(gpus.devices, gpus.selection))):
        yield _error(_asked(config), **said)


@check(when="gpu", at="node")
def check_devices_are_enough(config: Config, gpus: Gpus) -> Iterator[Finding]:
    """The job is shown as many devices as it needs, each with the memory and capability that it needs.

    gpu.hidden         CUDA_VISIBLE_DEVICES hides every device
    gpu.selection      CUDA_VISIBLE_DEVICES names a device twice, or one that is not there
    gpu.count          fewer devices than `count:`, or the launcher's number of processes, wants
    gpu.not-granted    CUDA_VISIBLE_DEVICES shows another number of devices than Slurm has given
    gpu.memory         devices with less memory than `memory:` wants
    gpu.capability     devices of another compute capability than `capability:` wants
    gpu.driver         a driver of another version than `driver:` wants
    gpu.cuda           a driver that runs another CUDA than `cuda:` wants
    gpu.slices         devices are cut into MIG devices, or are not, against `mig:`; or none was made of them
    """
    if cpu_setting(config.experiment):
        return
    if gpus.is_amd and gpus.driver is not Driver.ANSWERS:
        yield from _judge_amd_count(_asked(config), gpus)
        return
    if gpus.driver is not Driver.ANSWERS:
        yield from _judge_selection(_asked(config), gpus)
        pytest.skip("the driver does not answer, so that its devices are not known")
    yield from judge_devices(_asked(config), gpus)


def judge_devices(need: Gpu, gpus: Gpus) -> Iterator[Finding]:
    """Say what the devices that the job is shown lack."""
    shown = selection.of_job(gpus)
    least = _least(need, gpus)
    chosen = f"CUDA_VISIBLE_DEVICES={gpus.selection}"
    if shown.problem:
        fix = "Correct it, or let all be seen:\n    unset CUDA_VISIBLE_DEVICES"
        cause = f"CUDA stops at the mistake and shows {counted(len(shown.devices), 'device')}"
        yield _error(need, "selection", f"{chosen} is wrong: {shown.problem}", cause=cause, fix=fix)
    elif not shown.devices and gpus.devices and least and gpus.selection is not None:
        message = f"{chosen} hides all {counted(len(gpus.devices), 'GPU')}"
        fix = "Let them be seen:\n    unset CUDA_VISIBLE_DEVICES"
        yield _error(
            need, "hidden", message, found="0 GPUs", wanted=counted(least, "GPU"), cause="it names no device", fix=fix
        )
    elif len(shown.devices) < least and not any(device.sliced for device in shown.devices):
        yield _too_few(need, gpus, shown, least)
    else:
        yield from _judge_grant(need, gpus, shown)
    yield from _judge_versions(need, gpus)
    yield from _judge_slices(need, shown)
    yield from _judge_each(need, shown.devices)


def _judge_selection(need: Gpu, gpus: Gpus) -> Iterator[Finding]:
    """Say what is wrong with the selection whatever devices there are: that it names too few."""
    least, number = _least(need, gpus), selection.most_named(gpus.selection)
    if number is not None and number < least:
        found, wanted = counted(number, "GPU"), counted(least, "GPU")
        message = f"CUDA_VISIBLE_DEVICES={gpus.selection} shows {found} at most, {wanted} wanted"
        fix = "Let more of them be seen, or correct `count`:\n    unset CUDA_VISIBLE_DEVICES"
        name, cause = "count" if number else "hidden", "CUDA shows a job no other devices than it names"
        yield _error(need, name, message, found=found, wanted=wanted, cause=cause, fix=fix)


def _least(need: Gpu, gpus: Gpus) -> int:
    """Return how many devices the job needs here: torchrun and its kin give each of their processes one."""
    started = gpus.environment.get("LOCAL_WORLD_SIZE", "")
    processes = int(started) if started.isdecimal() else 0
    return max(need.count if need.count is not None else 1, processes if need.count != 0 else 0)


def _too_few(need: Gpu, gpus: Gpus, shown: Visible, least: int) -> Finding:
    found, needed = counted(len(shown.devices), "GPU"), counted(least, "GPU")
    variable, grant = selection.granted(gpus.environment)
    cause = f"the machine has {counted(len(gpus.devices), 'GPU')}"
    fix = "Ask the scheduler for more (`--gpus` for Slurm), or correct `count`"
    if gpus.selection is not None:
        cause += f", and CUDA_VISIBLE_DEVICES={gpus.selection} shows {len(shown.devices)}"
        if len(gpus.devices) >= least and not variable:
            fix = "Let more of them be seen:\n    unset CUDA_VISIBLE_DEVICES"
    if variable:
        cause += f"; Slurm has given {grant} ({variable}={gpus.environment[variable]})"
    if least != need.count and need.count:
        cause += f"; the launcher starts {least} processes here (LOCAL_WORLD_SIZE)"
    message = f"{found} visible, {needed} wanted"
    return _error(need, "count", message, found=found, wanted=needed, cause=cause, fix=fix)


def _judge_grant(need: Gpu, gpus: Gpus, shown: Visible) -> Iterator[Finding]:
    variable, grant = selection.granted(gpus.environment)
    several = any(gpus.environment.get(name, "1") not in ("", "1") for name in ("SLURM_NTASKS", "SLURM_GPUS_PER_TASK"))
    if not grant or several or gpus.selection is None or len(shown.devices) == grant:
        return
    message = (
        f"Slurm has given {counted(grant, 'GPU')}, CUDA_VISIBLE_DEVICES={gpus.selection} shows {len(shown.devices)}"
    )
    cause = f"{variable}={gpus.environment[variable]}; CUDA_VISIBLE_DEVICES was set after Slurm did, often in ~/.bashrc"
    fix = "Take the line away that sets it, and let Slurm choose"
    yield warning(message, id="gpu.not-granted", cause=cause, fix=fix, file=need.at.file, line=need.at.line)


def _judge_versions(need: Gpu, gpus: Gpus) -> Iterator[Finding]:
    cuda = f"{gpus.cuda[0]}.{gpus.cuda[1]}" if gpus.cuda else ""
    for name, found, wanted in (("driver", gpus.version, need.driver), ("cuda", cuda, need.cuda)):
        if wanted and found and not _is_in(found, wanted):
            what = f"driver {found} is loaded" if name == "driver" else f"driver {gpus.version} runs CUDA {found}"
            message = f"{what}, {wanted} is wanted"
            fix = f"Run on a machine with such a driver, or correct `{name}`"
            cause = "the driver of this machine is of another version than the config allows"
            yield _error(need, name, message, found=found, wanted=wanted, cause=cause, fix=fix)


def _judge_slices(need: Gpu, shown: Visible) -> Iterator[Finding]:
    sliced = [device for device in shown.devices if device.sliced]
    whole = [device for device in shown.devices if not device.sliced]
    if bare := [device for device in sliced if not device.slices]:
        message = f"{named(bare)} is in MIG mode, and no MIG device was made of it"
        cause = "CUDA shows nothing of a device in MIG mode but the devices that were cut from it"
        fix = "Have instances made, or MIG switched off, by an administrator:\n    nvidia-smi mig -lgip"
        yield _error(need, "slices", message, cause=cause, fix=fix)
    elif need.mig is False and sliced:
        cause = "the job would get a part of its memory and processors"
        fix = "Ask for whole devices, or say `mig: true`"
        yield _error(need, "slices", f"{named(sliced)} is cut into MIG devices", cause=cause, fix=fix)
    elif need.mig and whole:
        fix = "Ask for MIG devices, or correct `mig`"
        cause = "the job would occupy all of it"
        yield _error(need, "slices", f"{named(whole)} is not cut into MIG devices", cause=cause, fix=fix)


def _judge_each(need: Gpu, devices: tuple[Device, ...]) -> Iterator[Finding]:
    if small := [device for device in devices if not device.sliced and 0 < device.memory < (need.memory or 0)]:
        found, needed = format_size(small[0].memory), format_size(need.memory or 0)
        message = f"{named(small)} has {found} of memory, {needed} are wanted"
        cause = "the device is smaller than the job needs"
        fix = "Choose larger devices, or correct `memory`"
        yield _error(need, "memory", message, found=found, wanted=needed, cause=cause, fix=fix)
    other = [each for each in devices if each.capability and need.capability and not _has(each, need.capability)]
    if other:
        found = ".".join(map(str, other[0].capability or ()))
        message = f"{named(other)} has compute capability {found}, {need.capability} is wanted"
        cause = "the device is of another generation than the job needs"
        fix = "Choose other devices, or correct `capability`"
        yield _error(need, "capability", message, found=found, wanted=need.capability, cause=cause, fix=fix)


def _judge_build(need: Gpu, build: Build, gpus: Gpus) -> Iterator[Finding]:
    cuda, driver = compatibility.version_of(build.cuda), compatibility.version_of(gpus.version)
    if not compatibility.runs(driver, gpus.cuda, cuda):
        yield _error(need, **drivers.too_old(build, gpus))
        return
    devices = [device for device in selection.of_job(gpus).devices if device.capability]
    held = [
        (device, compatibility.code_for(device.capability, build.architectures))
        for device in devices
        if device.capability
    ]
    if not build.architectures:
        return
    compiles = compatibility.compiles_ptx(gpus.cuda, cuda)
    bare = [device for device, code in held if code is Code.NONE or (code is Code.PTX and not compiles)]
    late = [device for device, code in held if code is Code.PTX and compiles]
    if bare:
        yield _error(need, **drivers.no_code(build, bare, gpus))
    if late:
        message = f"torch {build.version} holds no machine code for {named(late)}, only PTX"
        cause = "the driver compiles it when it is first used, which takes minutes, and keeps it in ~/.nv/ComputeCache"
        fix = "Install a build for this generation, or run the program once before"
        at = need.at
        yield warning(message, id="gpu.compiled-late", cause=cause, fix=fix, file=at.file, line=at.line)


def _judge_amd(need: Gpu, gpus: Gpus) -> Iterator[Finding]:
    if not gpus.amd:
        cause = "the kernel shows none: /sys/class/kfd is empty"
        fix = "Run on a machine with one, or install a build of torch for the GPUs of this one"
        message = f"torch {gpus.build.version if gpus.build else ''} is a build for AMD GPUs, and there is none here"
        yield _error(need, "no-driver", message, cause=cause, fix=fix)
    elif not gpus.amd_usable:
        fix = (
            "Have the user put into the groups of its owner, and log in again:\n    sudo usermod -aG render,video $USER"
        )
        yield _error(
            need, "no-permission", "/dev/kfd may not be used by this user", cause="see `ls -l /dev/kfd`", fix=fix
        )
    else:
        yield info(f"{counted(gpus.amd, 'AMD GPU')}; NVIDIA's checks of health do not apply", id="gpu.seen")


def _judge_amd_count(need: Gpu, gpus: Gpus) -> Iterator[Finding]:
    names = ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
    chosen = [(name, gpus.environment[name]) for name in names if name in gpus.environment]
    shown = min([gpus.amd, *(len([word for word in value.split(",") if word.strip()]) for _, value in chosen)])
    least = _least(need, gpus)
    if gpus.amd and shown < least:
        cause = f"the machine has {counted(gpus.amd, 'AMD GPU')}"
        cause += "".join(f", and {name}={value} is set" for name, value in chosen)
        fix = "Ask the scheduler for more (`--gpus` for Slurm), or correct `count`"
        found, wanted = counted(shown, "GPU"), counted(least, "GPU")
        yield _error(
            need, "count", f"{found} visible, {wanted} wanted", found=found, wanted=wanted, cause=cause, fix=fix
        )


def _lost(need: Gpu | None, gpus: Gpus) -> Iterator[Finding]:
    """Say which devices cannot be asked; a job that is shown others is not refused."""
    lost = [device for device in gpus.devices if device.error or device.silent]
    if not lost:
        return
    said = drivers.why_lost(lost, gpus)
    shown = {device.index for device in selection.of_job(gpus).devices}
    if need and any(device.index in shown for device in lost):
        yield _error(need, **said)
    elif need:
        yield warning(said["message"], id="gpu.lost", cause=said["cause"], fix=said["fix"])


def _on_cpu(need: Gpu, setting: str) -> Finding:
    message = f"the config asks for {_wanted(need)}, and {setting} says that the run uses none"
    cause = "such a run computes on the CPU, so that nothing about GPUs is looked at"
    fix = f"Correct {setting}, or take the `gpu:` section away"
    return warning(message, id="gpu.device-is-cpu", cause=cause, fix=fix, file=need.at.file, line=need.at.line)


def _uses_torch(config: Config, root: Path) -> bool:
    return is_used("torch", config.import_seconds, root)


def _has(device: Device, specifier: str) -> bool:
    return _is_in(".".join(map(str, device.capability or ())), specifier)


def _is_in(version: str, specifier: str) -> bool:
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion

    try:
        return SpecifierSet(specifier).contains(version)
    except InvalidVersion:
        return True


def _asked(config: Config) -> Gpu:
    return config.gpu or Gpu()


def _wanted(need: Gpu) -> str:
    return counted(need.count, "GPU") if need.count is not None else "GPUs"


def _error(need: Gpu, name: str, message: str, **more: str) -> Finding:
    return error(message, id=f"gpu.{name}", file=need.at.file, line=need.at.line, **more)
