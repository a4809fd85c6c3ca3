"""Why a GPU cannot be used: what is said of a driver, a library, a build or a device that does not work."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from preflight.phrases import in_a_row
from preflight.system.gpu import compatibility
from preflight.system.gpu.facts import Build, Cuda, Device, Driver, Gpus, named
from preflight.system.gpu.selection import Visible

# The words of a finding: name (of its id, behind `gpu.`), message, cause and fix.
Said = dict[str, str]

_KERNEL_SAYS = "Read what the kernel says of it:\n    sudo dmesg | grep -i nvrm | tail"
# How containers are given devices, by what kind they are.
_GIVEN = {
    "docker": "Start the container with its GPUs:\n    docker run --gpus all …",
    "podman": "Start the container with its GPUs:\n    podman run --device nvidia.com/gpu=all …",
    "apptainer": "Start the container with the driver of its host:\n    apptainer exec --nv …",
    "kubernetes": "Ask for GPUs in the pod's specification, under resources.limits:\n    nvidia.com/gpu: 1",
}
# cuInit's errors that have one cause (CUDA driver API, CUresult).
_STUB, _NOT_READY, _MIXED, _NOT_SUPPORTED = 34, 802, 803, 804


def why_silent(gpus: Gpus) -> Said:
    """Say why the driver does not answer."""
    match gpus.driver:
        case Driver.MISMATCH:
            return {
                "name": "driver-mismatch",
                "message": "the NVIDIA driver and its library are of different versions",
                "cause": f"the driver was upgraded while its kernel module {gpus.loaded or 'of before'} stayed loaded: "
                + gpus.error,
                "fix": "Restart the machine, so that the module of the new version is loaded:\n    sudo reboot",
            }
        case Driver.REFUSED:
            return {
                "name": "no-permission",
                "message": "the NVIDIA driver may not be used by this user",
                "cause": f"{gpus.error}; device files: {_nodes(gpus)}",
                "fix": "Ask for the right to use the devices:\n    ls -l /dev/nvidia*",
            }
        case Driver.SILENT:
            return {
                "name": "driver-silent",
                "message": "the NVIDIA driver hangs",
                "cause": f"{gpus.error}: a device has failed, or the driver is wedged",
                "fix": f"Run on another node, and have this one restarted. {_KERNEL_SAYS}",
            }
        case Driver.FAILED:
            return {
                "name": "driver-failed",
                "message": "the NVIDIA driver does not answer",
                "cause": gpus.error,
                "fix": _KERNEL_SAYS,
            }
        case _:
            return _no_driver(gpus)


def why_not_started(gpus: Gpus, library: Cuda, shown: Visible) -> Said | None:
    """Say why the CUDA driver library does not start, None where it does or where the selection is to blame."""
    if library.code == 0:
        return None
    if library.code is None and not library.file:
        return _no_library(gpus, library)
    if library.code == _STUB or "/stubs/" in library.file:
        return {
            "name": "stub-library",
            "message": f"{library.file} is the stub of libcuda, which holds no code",
            "cause": "it is there for linking programs, and LD_LIBRARY_PATH names its folder before the driver's",
            "fix": "Take the folder out of LD_LIBRARY_PATH:\n    echo $LD_LIBRARY_PATH",
        }
    if library.code == _NOT_READY:
        return _fabric(gpus, library)
    if library.code in (_MIXED, _NOT_SUPPORTED):
        return _mixed(gpus, library)
    return None if shown.problem or not shown.devices else _not_started(gpus, library)


def _not_started(gpus: Gpus, library: Cuda) -> Said:
    return _nodes_to_blame(gpus, library) or {
        "name": "start-fails",
        "message": f"CUDA cannot be started: {library.error}",
        "cause": f"cuInit of {library.file} gives {'no answer' if library.code is None else f'error {library.code}'}",
        "fix": f"Run on another node. {_KERNEL_SAYS}",
    }


def too_old(build: Build, gpus: Gpus) -> Said:
    """Say that the driver is too old for the CUDA that torch was built with."""
    cuda = compatibility.version_of(build.cuda)
    found = f"CUDA {gpus.cuda[0]}.{gpus.cuda[1]}" if gpus.cuda else f"driver {gpus.version}"
    oldest = compatibility.oldest_driver(cuda)
    newer = f"Have the driver upgraded to {oldest} or later" if oldest else "Have the driver upgraded"
    fix = f"{newer}, or install a build of torch for CUDA {gpus.cuda[0]}" if gpus.cuda else newer
    return {
        "name": "driver-too-old",
        "message": f"driver {gpus.version} runs {found} at most, torch {build.version} needs CUDA {build.cuda}",
        "cause": "the driver is older than the CUDA that torch was built for",
        "fix": fix,
        "found": found,
        "wanted": f"CUDA {build.cuda}",
    }


def no_code(build: Build, devices: Sequence[Device], gpus: Gpus) -> Said:
    """Say that a build holds no code for some devices: they are newer than it, or were given up."""
    capability = devices[0].capability or (0, 0)
    number = ".".join(map(str, capability))
    first, last = compatibility.first_cuda(capability), compatibility.last_cuda(capability)
    held = in_a_row(build.architectures, most=12)
    if all(capability < _capability(each) for each in build.architectures):
        cause = f"the build has given up this generation: it holds code for {held}"
        fix = "Install an older build of torch" + (f", for CUDA {last} or before" if last else "")
    else:
        cause = f"the device is newer than the build, which holds code for {held}"
        fix = f"Install a newer build of torch, for CUDA {first or build.cuda} or later"
    if any(each.startswith("compute") and _capability(each) <= capability for each in build.architectures):
        cause = (
            f"the build has only PTX for it, and driver {gpus.version} is too old to compile that of CUDA {build.cuda}"
        )
        fix = f"Have the driver upgraded, or install a build for sm_{number.replace('.', '')}"
    return {
        "name": "no-code",
        "message": f"torch {build.version} has no code for {named(devices)}: compute capability {number}",
        "cause": cause,
        "fix": fix,
        "found": held,
        "wanted": f"sm_{number.replace('.', '')}",
    }


def why_lost(devices: Sequence[Device], gpus: Gpus) -> Said:
    """Say that devices do not answer, with what the kernel has logged of them."""
    first = devices[0]
    what = first.error or f"it does not answer: {first.silent[0]}"
    logged = [each for each in gpus.xids or () if first.pci and first.pci.startswith(each.pci)]
    last = f"; the kernel's last word on it is Xid {logged[-1].number} ({logged[-1].text})" if logged else ""
    return {
        "name": "lost",
        "message": f"{named(devices)} cannot be used",
        "cause": what + last,
        "fix": f"Run on another node or other devices, and have this one restarted. {_KERNEL_SAYS}",
    }


def reinstall(build: Build) -> str:
    """Return how the build with CUDA is installed in place of one without."""
    version = build.version.partition("+")[0]
    if build.from_conda:
        return f'Install the build with CUDA:\n    conda install "pytorch={version}=*cuda*"'
    command = f"{sys.executable} -m pip install --force-reinstall torch=={version}"
    return f"Install the build with CUDA, from an index that has it, or ask for no GPU:\n    {command}"


def _no_driver(gpus: Gpus) -> Said:
    if gpus.cards and all(card.driver not in ("", "nvidia") for card in gpus.cards):
        other = gpus.cards[0].driver
        message = f"the kernel drives the NVIDIA GPU with {other}, not with NVIDIA's driver"
        cause = f"{len(gpus.cards)} on the PCI bus, the first at {gpus.cards[0].pci}"
        fix = "Give it to NVIDIA's driver" if other == "vfio-pci" else "Install NVIDIA's driver and restart"
        return {"name": "no-driver", "message": message, "cause": cause, "fix": fix}
    if gpus.container and (gpus.loaded or gpus.nodes or gpus.cards):
        message = "the driver's libraries are not in this container"
        cause = f"{gpus.error}; device files: {_nodes(gpus)}; kernel module: {gpus.loaded or 'not seen'}"
        fix = _GIVEN.get(gpus.container, "Start the container with its GPUs")
        return {"name": "no-driver", "message": f"no NVIDIA driver is found: {message}", "cause": cause, "fix": fix}
    if gpus.driver is Driver.NOT_LOADED:
        message = "the NVIDIA driver is not loaded"
        cause = f"{gpus.error}; device files: {_nodes(gpus)}; kernel module: {gpus.loaded or 'none'}"
        fix = "Load it; in a container, have Docker bring the library in with `--gpus all`:\n    sudo modprobe nvidia"
        return {"name": "no-driver", "message": message, "cause": cause, "fix": fix}
    cause = f"{gpus.error}, and there is no device file below /dev"
    fix = "Run on a machine with a GPU; Docker shows its GPUs with `--gpus all`"
    return {"name": "no-driver", "message": "no NVIDIA driver is installed here", "cause": cause, "fix": fix}


def _no_library(gpus: Gpus, library: Cuda) -> Said:
    capabilities = gpus.environment.get("NVIDIA_DRIVER_CAPABILITIES", "")
    fix = "Install the driver's CUDA part, or have its folder in the loader's path:\n    ldconfig -p | grep libcuda"
    cause = library.error
    if "file too short" in library.error:
        cause += ": the file is empty, as it is where a container was prepared without its driver"
    if gpus.container and capabilities and not {"all", "compute"} & {*capabilities.split(",")}:
        cause += f"; NVIDIA_DRIVER_CAPABILITIES={capabilities} leaves out `compute`"
        fix = "Let the container have it:\n    docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility …"
    message = "the CUDA driver library cannot be loaded, though the driver answers"
    return {"name": "no-library", "message": message, "cause": cause, "fix": fix}


def _fabric(gpus: Gpus, library: Cuda) -> Said:
    runs = {None: "cannot be seen from here", True: "runs", False: "does not run"}[gpus.fabric_manager]
    states = sorted({device.fabric for device in gpus.devices if device.fabric})
    joined = f"; the devices' fabric is {in_a_row(states)}" if states else ""
    return {
        "name": "no-fabric-manager",
        "message": f"CUDA cannot be started: {library.error}",
        "cause": f"the NVSwitches are not set up: Fabric Manager {runs}{joined}",
        "fix": "Have Fabric Manager of the driver's own version started:\n"
        "    sudo systemctl start nvidia-fabricmanager && systemctl status nvidia-fabricmanager",
    }


def _mixed(gpus: Gpus, library: Cuda) -> Said:
    compat = "/compat/" in library.file or "compat" in library.file.rpartition("/")[0]
    loaded, version = gpus.loaded or gpus.version, library.version or "of unknown version"
    is_newer = compatibility.version_of(version) > compatibility.version_of(loaded)
    unset = "Take it out of LD_LIBRARY_PATH, so that the driver's own is used:\n    echo $LD_LIBRARY_PATH"
    if library.code == _NOT_SUPPORTED:
        return {
            "name": "compatibility",
            "message": f"the CUDA compatibility library {version} does not go with these devices and driver {loaded}",
            "cause": "forward compatibility is for data center cards, and only from some branches of the driver: "
            + library.error,
            "fix": f"Have the driver upgraded, or install a build for the CUDA that it runs. {unset}",
        }
    kind = "compatibility library" if compat or is_newer else "library"
    return {
        "name": "mixed-versions",
        "message": f"the CUDA {kind} is of version {version}, the driver's kernel module of {loaded}",
        "cause": f"{library.file} is loaded: {library.error}",
        "fix": unset
        if compat or is_newer
        else "Restart the machine, so that both are of one version:\n    sudo reboot",
    }


def _nodes_to_blame(gpus: Gpus, library: Cuda) -> Said | None:
    """Say what is wrong with the device files, where CUDA does not start: NVML gets by without most of them."""
    error = f"CUDA cannot be started: {library.error}"
    paths = {node.path for node in gpus.nodes}
    if "/dev/dxg" in paths or not paths:
        return None
    if closed := [node.path for node in gpus.nodes if not node.usable]:
        cause = f"this user may not read and write {in_a_row(closed)}"
        fix = f"Ask for the right to use them, or ask the scheduler for GPUs:\n    ls -l {' '.join(closed)}"
        return {"name": "no-permission", "message": error, "cause": cause, "fix": fix}
    wanted = ["/dev/nvidiactl", "/dev/nvidia-uvm"]
    wanted += [f"/dev/nvidia{device.minor}" for device in gpus.devices if device.minor is not None]
    if missing := [path for path in wanted if path not in paths]:
        cause = f"device files are missing: {in_a_row(missing)}"
        fix = "Have them made:\n    sudo nvidia-modprobe -u -c=0"
        if gpus.container:
            fix = _GIVEN.get(gpus.container, fix)
        return {"name": "no-device-files", "message": error, "cause": cause, "fix": fix}
    return None


def _capability(architecture: str) -> tuple[int, int]:
    digits = "".join(letter for letter in architecture if letter.isdecimal())
    return (int(digits[:-1]), int(digits[-1])) if len(digits) > 1 else (0, 0)


def _nodes(gpus: Gpus) -> str:
    return in_a_row([node.path for node in gpus.nodes]) or "none"
