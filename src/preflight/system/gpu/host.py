"""What the kernel and its files say of GPUs, without asking their driver."""

from __future__ import annotations

import os
import re
from pathlib import Path

from preflight.system.gpu.facts import Card, Node, Xid

PROC = Path("/proc")
DEV = Path("/dev")
SYS = Path("/sys")
NVML = "libnvidia-ml.so.1"

_NVIDIA = "0x10de"
# PCI classes of VGA and 3D controllers.
_DISPLAY = ("0x0300", "0x0302")
_NODES = ("nvidiactl", "nvidia-uvm", "nvidia[0-9]*", "dxg")
_XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)\): (\d+)(?:, (.*))?")
_MOST_LOG = 4 << 20


def has_nvml() -> bool:
    """Tell whether NVML is found; loading its binding costs more than this, and most laptops answer no."""
    import ctypes

    try:
        ctypes.CDLL(NVML)
    except OSError:
        return False
    return True


def loaded_version() -> str:
    """Return the version of the loaded kernel module, empty where none is loaded."""
    found = re.search(r"^NVRM version:.*?\b(\d+\.\d+[\d.]*)\b", _text(PROC / "driver/nvidia/version"), re.MULTILINE)
    return found[1] if found else ""


def kernel_modules() -> tuple[str, ...]:
    """Return the modules of NVIDIA's driver that the kernel has loaded."""
    names = [line.split(" ", 1)[0] for line in _text(PROC / "modules").splitlines()]
    return tuple(sorted(name for name in names if name.startswith("nvidia")))


def nodes() -> tuple[Node, ...]:
    """Return the device files of NVIDIA's (on WSL the one of Windows'), and whether this user may use each."""
    paths = sorted({path for pattern in _NODES for path in DEV.glob(pattern)})
    return tuple(Node(path=str(path), usable=os.access(path, os.R_OK | os.W_OK)) for path in paths)


def cards() -> tuple[Card, ...]:
    """Return NVIDIA's GPUs on the PCI bus; a container shows those of its host too."""
    found = []
    for folder in sorted(SYS.glob("bus/pci/devices/*")):
        if _text(folder / "vendor").strip() == _NVIDIA and _text(folder / "class").startswith(_DISPLAY):
            driver = os.path.basename(os.path.realpath(folder / "driver")) if (folder / "driver").exists() else ""
            found.append(Card(pci=folder.name.lower(), driver=driver))
    return tuple(found)


def switches() -> int:
    """Return the number of NVSwitches that the driver shows."""
    return len(list(PROC.glob("driver/nvidia-nvswitch/devices/*")))


def fabric_manager_runs() -> bool | None:
    """Tell whether NVIDIA's Fabric Manager runs here; None where other processes cannot be seen."""
    if container():
        return None
    names = (_text(folder / "comm").strip() for folder in PROC.glob("[0-9]*"))
    # The kernel keeps 15 characters of a process's name.
    return any(name == "nv-fabricmanager"[:15] for name in names)


def container() -> str:
    """Return what kind of container this process is in, empty for none."""
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER"):
        return "apptainer"
    if os.path.exists("/.dockerenv"):
        return "docker"
    if os.path.exists("/run/.containerenv"):
        return "podman"
    return os.environ.get("container", "")  # noqa: SIM112 - the name that systemd and its kin give it


def xids() -> tuple[Xid, ...] | None:
    """Return the errors of devices in the kernel's log, None where this user may not read it.

    The module logs them as `NVRM: Xid (PCI:0000:65:00): 79, …` (NVIDIA's "Xid Errors").
    """
    log = _kernel_log()
    if log is None:
        return None
    uptime = float((_text(PROC / "uptime") or "0").split()[0])
    found = []
    for record in log.splitlines():
        head, _, text = record.partition(";")
        if match := _XID.search(text):
            stamp = head.split(",")
            age = uptime - int(stamp[2]) / 1e6 if len(stamp) > 2 and stamp[2].isdecimal() else 0.0
            pci = match[1].lower()
            found.append(Xid(pci=pci, number=int(match[2]), age=round(max(0.0, age), 1), text=match[3] or ""))
    return tuple(found)


def amd_devices() -> tuple[int, bool]:
    """Return how many AMD GPUs the kernel shows, and whether this user may use them."""
    count = sum(
        not re.search(r"^simd_count 0$", _text(node), re.MULTILINE)
        for node in SYS.glob("class/kfd/kfd/topology/nodes/*/properties")
        if _text(node)
    )
    return count, os.access(DEV / "kfd", os.R_OK | os.W_OK) if count else True


def _kernel_log() -> str | None:
    """Return the records of /dev/kmsg as they are, without waiting for more."""
    try:
        fd = os.open(DEV / "kmsg", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    pieces: list[bytes] = []
    try:
        while sum(map(len, pieces)) < _MOST_LOG:
            try:
                piece = os.read(fd, 8192)
            except BlockingIOError:
                break
            except BrokenPipeError:  # a record was overwritten while it was read
                continue
            except OSError:
                return None if not pieces else b"".join(pieces).decode("utf-8", "replace")
            if not piece:
                break
            pieces.append(piece)
    finally:
        os.close(fd)
    return b"".join(pieces).decode("utf-8", "replace")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
