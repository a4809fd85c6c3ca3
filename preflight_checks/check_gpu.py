"""GPUs: a driver that answers, a build of torch that can use it, and enough devices."""

import os
import sys
from collections.abc import Iterator

import pytest

from preflight import Finding, check, error, info, warning
from preflight.config import Config, Gpu
from preflight.phrases import counted, in_a_row
from preflight.quantities import format_size
from preflight.system import network
from preflight.system.experiment import cpu_setting, node_setting, wants_several_processes
from preflight.system.gpu import gather as gpu
from preflight.system.gpu.gather import Driver, Gpus, TorchBuild

# Why the driver does not answer: the id, what is said, why, and what to do.
SILENT = {
    Driver.ABSENT: (
        "no-driver",
        "no NVIDIA driver is installed here",
        "{error}, and there is no device file below /dev",
        "Run on a machine with a GPU; Docker shows its GPUs with `--gpus all`",
    ),
    Driver.NOT_LOADED: (
        "no-driver",
        "the NVIDIA driver is not loaded",
        "{error}; device files: {nodes}; kernel module: {loaded}",
        "Load it; in a container, have Docker bring the library in with `--gpus all`:\n    sudo modprobe nvidia",
    ),
    Driver.MISMATCH: (
        "driver-mismatch",
        "the NVIDIA driver and its library are of different versions",
        "the driver was upgraded while its kernel module {loaded} stayed loaded: {error}",
        "Restart the machine, so that the module of the new version is loaded:\n    sudo reboot",
    ),
    Driver.REFUSED: (
        "no-permission",
        "the NVIDIA driver may not be used by this user",
        "{error}; device files: {nodes}",
        "Ask for the right to use the devices:\n    ls -l /dev/nvidia*",
    ),
    Driver.FAILED: (
        "driver-failed",
        "the NVIDIA driver does not answer",
        "{error}",
        "Read what the kernel says of it:\n    sudo dmesg | grep -i nvrm | tail",
    ),
}


@check()
def check_driver_answers(config: Config) -> Iterator[Finding]:
    """The GPU driver answers.

    Where the config asks for no GPU, this only tells what is there.

        gpu.seen             the devices of this machine
        gpu.no-driver        no driver is installed or loaded
        gpu.driver-mismatch  the driver's kernel module and its library are of different versions
        gpu.no-permission    this user may not use the devices
        gpu.driver-failed    the driver gives another error
        gpu.device-is-cpu    the config asks for GPUs, and the experiment says that it runs on the CPU
    """
    if config.gpu and (setting := cpu_setting(config.experiment)):
        message = f"the config asks for {_wanted(config.gpu)}, and {setting} says that the run uses none"
        cause = "such a run computes on the CPU, so that nothing about GPUs is looked at"
        fix = f"Correct {setting}, or take the `gpu:` section away"
        at = config.gpu.at
        yield warning(message, id="gpu.device-is-cpu", cause=cause, fix=fix, file=at.file, line=at.line)
        return
    gpus = gpu.read_gpus()
    if gpus.driver is Driver.ANSWERS:
        names = in_a_row([device.name for device in gpus.devices], most=8) or "none"
        yield info(f"{counted(len(gpus.devices), 'GPU')}: {names}, driver {gpus.version}", id="gpu.seen")
    elif config.gpu:
        if (build := gpu.read_torch_build()) and build.hip:
            pytest.skip("AMD GPUs are looked at by a later version")
        name, message, cause, fix = SILENT[gpus.driver]
        facts = {"error": gpus.error, "nodes": in_a_row(gpus.nodes) or "none", "loaded": gpus.loaded or "none"}
        yield _error(config.gpu, name, message, cause=cause.format(**facts), fix=fix)
    elif gpus.driver is not Driver.ABSENT:
        yield info(SILENT[gpus.driver][1], id="gpu.seen", cause=gpus.error)


@check(when="gpu")
def check_build_has_cuda(config: Config) -> Iterator[Finding]:
    """The installed torch was built for the GPUs of this machine; its files tell, it is not imported.

    gpu.no-torch        torch is not installed, nor another framework that uses GPUs
    gpu.cpu-only-build  torch was built without CUDA
    gpu.driver-too-old  torch was built for a newer CUDA than the driver runs
    """
    need, build = _asked(config), gpu.read_torch_build()
    if cpu_setting(config.experiment):
        return
    if build is None:
        if not gpu.other_framework():
            cause, fix = "no module of that name is found", f"Install it:\n    {sys.executable} -m pip install torch"
            yield _error(need, "no-torch", "torch is not installed", cause=cause, fix=fix)
    elif not (build.cuda or build.hip):
        message = f"torch {build.version} is a CPU-only build, a build with CUDA is wanted"
        cause = f"{build.file} says that it was compiled without CUDA"
        values = {"found": build.version, "wanted": "a build with CUDA"}
        yield _error(need, "cpu-only-build", message, cause=cause, fix=_reinstall(build), **values)
    elif build.cuda:
        yield from _judge_driver(need, build, gpu.read_gpus())


@check(when="gpu")
def check_devices_are_enough(config: Config) -> Iterator[Finding]:
    """The job is shown as many devices as it needs, each with the memory and capability that it needs.

    gpu.hidden      CUDA_VISIBLE_DEVICES hides every device
    gpu.selection   CUDA_VISIBLE_DEVICES names a device twice, or one that is not there
    gpu.count       fewer devices than `count:` wants
    gpu.memory      devices with less memory than `memory:` wants
    gpu.capability  devices of another compute capability than `capability:` wants
    """
    gpus = gpu.read_gpus()
    if cpu_setting(config.experiment):
        return
    if gpus.driver is not Driver.ANSWERS:
        pytest.skip("the driver does not answer, so that its devices are not known")
    yield from judge_devices(_asked(config), gpus)


@check()
def check_interfaces_of_nccl(config: Config) -> Iterator[Finding]:
    """The network interfaces that NCCL or Gloo is told to use are there, where several processes work together.

    gpu.no-interface    NCCL_SOCKET_IFNAME or GLOO_SOCKET_IFNAME matches no interface of this machine
    gpu.loopback        it names the loopback, which reaches no other node
    gpu.no-network      no interface is up, so that the processes cannot meet
    """
    together = wants_several_processes(config.experiment) or _asked(config).count not in (None, 0, 1)
    nodes = _number_of_nodes(config)
    if not (together or nodes > 1 or os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1")):
        return
    if not network.has_loopback() and not network.has_network():
        message, cause = (
            "no network interface is up",
            "the processes of the run meet over a network, even on one machine",
        )
        fix = "Run where there is a network, or bring up the loopback:\n    sudo ip link set lo up"
        yield error(message, id="gpu.no-network", cause=cause, fix=fix)
    for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
        if not (value := os.environ.get(name, "")):
            continue
        chosen = network.interfaces_for(value, network.interfaces())
        there = in_a_row(network.interfaces(), most=8)
        correct = f"Name an interface that leads to the other nodes, or let it be found:\n    unset {name}"
        if not chosen:
            message = f"{name}={value} matches no network interface here"
            yield error(message, id="gpu.no-interface", cause=f"this machine has {there}", fix=correct)
        elif nodes > 1 and all(each.startswith("lo") for each in chosen):
            message = f"{name}={value} is the loopback, and the run has {nodes} nodes"
            cause = f"the loopback reaches no other node; this machine has {there}"
            yield error(message, id="gpu.loopback", cause=cause, fix=correct)


def _number_of_nodes(config: Config) -> int:
    """Return how many machines the run is spread over, as the scheduler, torchrun or the config say."""
    said = [os.environ.get(name, "") for name in ("SLURM_JOB_NUM_NODES", "SLURM_NNODES", "NNODES", "GROUP_WORLD_SIZE")]
    return max([node_setting(config.experiment), *(int(text) for text in said if text.isdecimal())])


def judge_devices(need: Gpu, gpus: Gpus) -> Iterator[Finding]:
    """Say what the devices that the job is shown lack."""
    shown = gpu.visible(gpus.devices, gpus.selection)
    chosen = f"CUDA_VISIBLE_DEVICES={gpus.selection}"
    least = need.count if need.count is not None else 1
    if shown.problem:
        fix = "Correct it, or let all be seen:\n    unset CUDA_VISIBLE_DEVICES"
        yield _error(
            need, "selection", f"{chosen} is wrong: {shown.problem}", cause="CUDA stops at the mistake", fix=fix
        )
    elif not shown.devices and gpus.devices and least:
        message = f"{chosen} hides all {counted(len(gpus.devices), 'GPU')}"
        fix = "Let them be seen:\n    unset CUDA_VISIBLE_DEVICES"
        yield _error(
            need, "hidden", message, found="0 GPUs", wanted=counted(least, "GPU"), cause="it names no device", fix=fix
        )
    elif len(shown.devices) < least and not any(device.sliced for device in shown.devices):
        found, needed = counted(len(shown.devices), "GPU"), counted(least, "GPU")
        cause = f"the machine has {counted(len(gpus.devices), 'GPU')}"
        cause += f", and {chosen} shows {len(shown.devices)}" if gpus.selection is not None else ""
        fix = "Ask the scheduler for more (`--gpus` for Slurm), or correct `count`"
        yield _error(
            need, "count", f"{found} visible, {needed} wanted", found=found, wanted=needed, cause=cause, fix=fix
        )
    yield from _judge_each(need, shown.devices)


def _judge_each(need: Gpu, devices: tuple[gpu.Device, ...]) -> Iterator[Finding]:
    if small := [device for device in devices if not device.sliced and 0 < device.memory < (need.memory or 0)]:
        found, needed = format_size(small[0].memory), format_size(need.memory or 0)
        message = f"{_named(small)} has {found} of memory, {needed} are wanted"
        cause = "the device is smaller than the job needs"
        fix = "Choose larger devices, or correct `memory`"
        yield _error(need, "memory", message, found=found, wanted=needed, cause=cause, fix=fix)
    if other := [device for device in devices if device.capability and not _fits(device.capability, need.capability)]:
        found = ".".join(map(str, other[0].capability or ()))
        message = f"{_named(other)} has compute capability {found}, {need.capability} is wanted"
        cause = "the device is of another generation than the job needs"
        fix = "Choose other devices, or correct `capability`"
        yield _error(need, "capability", message, found=found, wanted=need.capability, cause=cause, fix=fix)


def _fits(capability: tuple[int, int], wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(f"{capability[0]}.{capability[1]}")


def _named(devices: list[gpu.Device]) -> str:
    more = f" (and {len(devices) - 1} more)" if len(devices) > 1 else ""
    return f"GPU {devices[0].index} ({devices[0].name}){more}"


def _judge_driver(need: Gpu, build: TorchBuild, gpus: Gpus) -> Iterator[Finding]:
    # Within one major version an older driver runs a newer build.
    major = int(build.cuda.partition(".")[0])
    if gpus.cuda and gpus.cuda[0] < major:
        found = f"CUDA {gpus.cuda[0]}.{gpus.cuda[1]}"
        message = f"driver {gpus.version} runs {found} at most, torch {build.version} needs CUDA {build.cuda}"
        cause = "the driver is older than the CUDA that torch was built for"
        fix = f"Upgrade the driver, or install a build of torch for CUDA {gpus.cuda[0]}"
        yield _error(need, "driver-too-old", message, found=found, wanted=f"CUDA {build.cuda}", cause=cause, fix=fix)


def _reinstall(build: TorchBuild) -> str:
    version = build.version.partition("+")[0]
    if build.from_conda:
        return f'Install the build with CUDA:\n    conda install "pytorch={version}=*cuda*"'
    command = f"{sys.executable} -m pip install --force-reinstall torch=={version}"
    return f"Install the build with CUDA, from an index that has it, or ask for no GPU:\n    {command}"


def _asked(config: Config) -> Gpu:
    return config.gpu or Gpu()


def _wanted(need: Gpu) -> str:
    return counted(need.count, "GPU") if need.count is not None else "GPUs"


def _error(need: Gpu, name: str, message: str, **more: object) -> Finding:
    return error(message, id=f"gpu.{name}", file=need.at.file, line=need.at.line, **more)
