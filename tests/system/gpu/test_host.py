"""What the kernel's files say of GPUs, in trees as kernels of real machines have them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from preflight.system.gpu import host, presence
from preflight.system.gpu.facts import Card, Node, Xid

LOG = """\
6,1204,3405939,-;NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build
4,1301,100000000,-;NVRM: Xid (PCI:0000:65:00): 79, pid=1234, name=python, GPU has fallen off the bus.
 SUBSYSTEM=pci
4,1302,200000000,-;NVRM: Xid (PCI:0000:65:00): 31, pid=77, Ch 00000008
4,1303,300000000,-;usb 1-1: new device
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that stands for /, with its proc, dev and sys."""
    for name in ("PROC", "DEV", "SYS"):
        monkeypatch.setattr(host, name, tmp_path / name.lower())
    presence.is_any_here.cache_clear()
    return tmp_path


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_machine_without(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (host.loaded_version(), host.kernel_modules(), host.nodes(), host.cards()) == ("", (), (), ())
    assert (host.switches(), host.amd_devices(), host.xids()) == (0, (0, True), None)
    monkeypatch.setattr(host, "has_nvml", lambda: False)
    assert not presence.is_any_here()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n", "535.104.05"),
        # As an H100 has it, driver 580.
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (x@)  \n", "580.159.04"),
        ("nothing of the kind", ""),
    ],
)
def test_the_version_of_a_loaded_module(text: str, version: str, tree: Path) -> None:
    write(tree / "proc/driver/nvidia/version", text + "GCC version:  gcc version 15.3.0 (GCC) \n")
    assert host.loaded_version() == version
    assert presence.is_any_here() is (bool(version) or host.has_nvml())


def test_modules_and_switches(tree: Path) -> None:
    write(tree / "proc/modules", "nvidia_uvm 4 0 - Live\nnvidia 9 2 nvidia_uvm, Live\next4 1 1 - Live\n")
    assert host.kernel_modules() == ("nvidia", "nvidia_uvm")
    write(tree / "proc/driver/nvidia-nvswitch/devices/0000:85:00.0")
    assert host.switches() == 1


def test_device_files(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "sda"):
        write(tree / "dev" / name)
    monkeypatch.setattr(os, "access", lambda path, _: not str(path).endswith("nvidia1"))
    found = {node.path.rpartition("/")[2]: node.usable for node in host.nodes()}
    assert found == {"nvidia0": True, "nvidia1": False, "nvidiactl": True, "nvidia-uvm": True}


@pytest.mark.parametrize(("selection", "count"), [(None, 2), ("0", 1), ("1,0", 2), ("0,1,2,3", 2), ("", 2)])
def test_devices_are_counted_by_their_files(
    selection: str | None, count: int, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert presence.count_shown() == 1
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        write(tree / "dev" / name)
    if selection is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", selection)
    assert presence.count_shown() == count


def test_files_that_a_user_may_not_use(in_world: Any) -> None:
    setup = (
        "mount -t tmpfs none /dev/shm; cp -a /dev/null /dev/shm/nvidiactl; mount --bind /dev/shm /dev\n"
        "mknod -m 600 /dev/nvidia0 c 195 0; chown 1001 /dev/nvidia0; mknod -m 666 /dev/null c 1 3\n"
        'set -- setpriv --bounding-set=-dac_override,-dac_read_search "$@"'
    )
    assert in_world(setup, host.nodes) == (
        Node(path="/dev/nvidia0", usable=False),
        Node(path="/dev/nvidiactl", usable=True),
    )


def test_cards_on_the_bus(tree: Path) -> None:
    devices = tree / "sys/bus/pci/devices"
    for address, vendor, kind, driver in (
        ("0000:65:00.0", "0x10de", "0x030200", "nouveau"),
        ("0000:66:00.0", "0x10de", "0x030000", ""),
        ("0000:66:00.1", "0x10de", "0x040300", "snd_hda_intel"),
        ("0000:01:00.0", "0x8086", "0x030000", "i915"),
    ):
        write(devices / address / "vendor", vendor + "\n")
        write(devices / address / "class", kind + "\n")
        if driver:
            (tree / "sys/bus/pci/drivers" / driver).mkdir(parents=True)
            (devices / address / "driver").symlink_to(tree / "sys/bus/pci/drivers" / driver)
    assert host.cards() == (Card(pci="0000:65:00.0", driver="nouveau"), Card(pci="0000:66:00.0"))


def test_errors_in_the_log(tree: Path) -> None:
    write(tree / "dev/kmsg", LOG)
    write(tree / "proc/uptime", "400.50 100.0\n")
    assert host.xids() == (
        Xid(pci="0000:65:00", number=79, age=300.5, text="pid=1234, name=python, GPU has fallen off the bus."),
        Xid(pci="0000:65:00", number=31, age=200.5, text="pid=77, Ch 00000008"),
    )


def test_the_log_of_this_machine_is_read_to_its_end_without_waiting() -> None:
    program = "from preflight.system.gpu import host; print(type(host._kernel_log()).__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.strip() in ("str", "NoneType")


def test_amd_devices(tree: Path) -> None:
    nodes = tree / "sys/class/kfd/kfd/topology/nodes"
    write(nodes / "0/properties", "cpu_cores_count 64\nsimd_count 0\n")
    write(nodes / "1/properties", "cpu_cores_count 0\nsimd_count 416\n")
    write(nodes / "2/properties", "cpu_cores_count 0\nsimd_count 416\n")
    assert host.amd_devices() == (2, False)
    write(tree / "dev/kfd")
    assert host.amd_devices() == (2, True)


@pytest.mark.parametrize(
    ("variable", "value", "kind"),
    [("KUBERNETES_SERVICE_HOST", "10.0.0.1", "kubernetes"), ("APPTAINER_CONTAINER", "/a.sif", "apptainer")],
)
def test_containers(variable: str, value: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv(variable, value)
    assert host.container() == kind


def test_fabric_manager(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "container", lambda: "")
    write(tree / "proc/77/comm", "python\n")
    assert host.fabric_manager_runs() is False
    write(tree / "proc/78/comm", "nv-fabricmanage\n")
    assert host.fabric_manager_runs() is True
    monkeypatch.setattr(host, "container", lambda: "docker")
    assert host.fabric_manager_runs() is None
