"""GPU worlds: facts captured from a real machine, and what is said of them once one thing is different.

Each world says where its difference comes from: `captured` is the machine as it was, `documented` is what NVIDIA's or
PyTorch's documentation or a public thread shows, `varied` is the captured machine with other numbers.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Config, Gpu, Import, Location
from preflight.model import Finding, Severity
from preflight.system.gpu.facts import (
    Build,
    Card,
    Cuda,
    Device,
    Driver,
    Gpus,
    Node,
    Process,
    Rows,
    Xid,
)

H100 = Gpus.from_json(json.loads((Path(__file__).parents[1] / "facts/h100.json").read_text()))
AT = Location("foo.yaml", 9, "preflight.gpu")
(ONE,) = H100.devices
(NAME,) = {device.name for device in H100.devices}
BUILD = H100.build or Build(version="")
STARTED = H100.library or Cuda()


def device(index: int, **changes: Any) -> Device:
    """Return the captured device under another number, with an address and a UUID of its own."""
    same = {"index": index, "minor": index, "uuid": f"GPU-{index}", "pci": f"0000:{index + 0x10:x}:00.0"}
    return replace(ONE, **{**same, **changes})


def machine(count: int, *changed: Device, **changes: Any) -> Gpus:
    """Return the captured machine with `count` devices, those with the numbers of `changed` replaced by them."""
    other = {each.index: each for each in changed}
    devices = tuple(other.get(index, device(index)) for index in range(count))
    nodes = tuple(Node(path=f"/dev/nvidia{index}") for index in range(count))
    control = (Node(path="/dev/nvidiactl"), Node(path="/dev/nvidia-uvm"))
    return replace(H100, **{"devices": devices, "nodes": nodes + control, "library": None, **changes})


def silent(driver: Driver, error: str, **changes: Any) -> Gpus:
    """Return a machine whose driver does not answer."""
    return replace(H100, driver=driver, error=error, devices=(), library=None, version="", cuda=None, **changes)


def built(version: str, cuda: str, architectures: str = "", **changes: Any) -> Build:
    return replace(BUILD, version=version, cuda=cuda, architectures=tuple(architectures.split()), **changes)


def failing(code: int | None, error: str, **changes: Any) -> Cuda:
    return replace(STARTED, code=code, error=error, devices=(), **changes)


@dataclass(frozen=True)
class World:
    """A machine, what is asked of it, and the errors, warnings and remarks (`~`) that are to be said."""

    name: str
    source: str
    gpus: Gpus
    wanted: dict[str, Any] = field(default_factory=dict)
    said: str = ""
    words: str = ""
    experiment: dict[str, Any] = field(default_factory=dict)


EIGHT = machine(8)
OLD_BUILD = built("2.4.1+cu121", "12.1", "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90")
COMPAT = "/usr/local/cuda/compat/libcuda.so.580.95.05"
PROCESS = Process(pid=4242, memory=60_000_000_000, name="python", user="ada")
FOREIGN = Process(pid=4242, memory=None)
BUSY = device(1, free=20_000_000_000, processes=(PROCESS,))
MIG = device(0, sliced=True, slices=("MIG-1", "MIG-2"))

WORLDS = [
    # Usable
    World("as it was", "captured", H100, {"count": 1, "memory": 80_000_000_000, "capability": ">=9.0"}),
    World("eight of them", "varied", EIGHT, {"count": 8, "driver": ">=550", "cuda": ">=12.4"}),
    World(
        "no driver",
        "documented",
        Gpus(error="libnvidia-ml.so.1 is not found", build=BUILD),
        {"count": 1},
        "gpu.no-driver",
        "no NVIDIA driver is installed",
    ),
    World(
        "files without libraries, in a container",
        "documented",
        silent(Driver.NOT_LOADED, "libnvidia-ml.so.1 is not found"),
        {"count": 1},
        "gpu.no-driver",
        "docker run --gpus all",
    ),
    World(
        "files without libraries, on the machine itself",
        "documented",
        silent(Driver.NOT_LOADED, "Driver Not Loaded", container=""),
        {"count": 1},
        "gpu.no-driver",
        "modprobe nvidia",
    ),
    World(
        "fewer named than wanted, and no driver either",
        "documented",
        Gpus(error="libnvidia-ml.so.1 is not found", build=BUILD, environment={"CUDA_VISIBLE_DEVICES": "0"}),
        {"count": 4},
        "gpu.no-driver gpu.count",
        "CUDA_VISIBLE_DEVICES=0 shows 1 GPU at most, 4 GPUs wanted",
    ),
    World(
        "in a pod",
        "documented",
        silent(Driver.ABSENT, "libnvidia-ml.so.1 is not found", container="kubernetes", nodes=()),
        {"count": 1},
        "gpu.no-driver",
        "nvidia.com/gpu: 1",
    ),
    World(
        "nouveau has the card",
        "documented",
        Gpus(error="libnvidia-ml.so.1 is not found", cards=(Card(pci="0000:65:00.0", driver="nouveau"),), build=BUILD),
        {"count": 1},
        "gpu.no-driver",
        "with nouveau",
    ),
    World(
        "the driver was upgraded under a running module",
        "documented",
        silent(Driver.MISMATCH, "Driver/library version mismatch", loaded="535.104.05"),
        {"count": 1},
        "gpu.driver-mismatch",
        "sudo reboot",
    ),
    World(
        "not permitted",
        "documented",
        silent(Driver.REFUSED, "Insufficient Permissions"),
        {"count": 1},
        "gpu.no-permission",
    ),
    World("unknown error", "documented", silent(Driver.FAILED, "Unknown Error"), {"count": 1}, "gpu.driver-failed"),
    World(
        "the driver hangs",
        "varied",
        silent(Driver.SILENT, "nvmlInit does not answer"),
        {"count": 1},
        "gpu.driver-silent",
    ),
    World(
        "one device hangs",
        "varied",
        machine(8, device(3, silent=("nvmlDeviceGetTemperature",))),
        {"count": 8},
        "gpu.lost",
        "GPU 3 (NVIDIA H100 80GB HBM3, 0000:13:00.0) cannot be used",
    ),
    World(
        "one device is lost, with an Xid",
        "documented",
        machine(
            8,
            device(5, error="GPU is lost"),
            xids=(Xid(pci="0000:15:00", number=79, age=900.0, text="GPU has fallen off the bus."),),
        ),
        {"count": 8},
        "gpu.lost",
        "Xid 79 (GPU has fallen off the bus.)",
    ),
    World(
        "a device that the job is not shown is lost",
        "varied",
        machine(2, device(1, error="GPU is lost"), environment={"CUDA_VISIBLE_DEVICES": "0"}),
        {"count": 1},
        "warning gpu.lost",
    ),
    World(
        "nothing asked, and a broken driver",
        "documented",
        silent(Driver.MISMATCH, "Driver/library version mismatch"),
        said="~gpu.seen",
    ),
    World("a run on the CPU", "varied", H100, {"count": 1}, "warning gpu.device-is-cpu", experiment={"device": "cpu"}),
    World(
        "the deprecated binding",
        "documented",
        replace(H100, binding="11.5.3"),
        {"count": 1},
        "~gpu.deprecated-binding",
    ),
    # The build
    World("no torch", "varied", replace(H100, build=None, other_framework=""), {}, "gpu.no-torch"),
    World("another framework", "varied", replace(H100, build=None, other_framework="jax"), {}),
    World(
        "a CPU-only build",
        "documented",
        replace(H100, build=Build(version="2.13.0+cpu", file="version.py")),
        {},
        "gpu.cpu-only-build",
        "--force-reinstall torch==2.13.0",
    ),
    World(
        "a CPU-only build from conda",
        "documented",
        replace(H100, build=Build(version="2.4.1", file="version.py", from_conda=True)),
        {},
        "gpu.cpu-only-build",
        'conda install "pytorch=2.4.1=*cuda*"',
    ),
    World(
        "a driver of CUDA 11.4 for a build of 12.1",
        "documented",
        machine(1, version="470.82.01", loaded="470.82.01", cuda=(11, 4), build=OLD_BUILD),
        {},
        "gpu.driver-too-old",
        "upgraded to 525.60.13 or later",
    ),
    World(
        "a driver of CUDA 12.9 for a build of 13.0",
        "documented",
        machine(1, version="575.51.03", loaded="575.51.03", cuda=(12, 9)),
        {},
        "gpu.driver-too-old",
        "torch 2.11.0+cu130 needs CUDA 13.0",
    ),
    World(
        "a driver of CUDA 12.0 for a build of 12.8: minor version compatibility",
        "documented",
        machine(1, version="525.60.13", cuda=(12, 0), build=built("2.7.0+cu128", "12.8", "sm_80 sm_90")),
    ),
    World(
        "an old module under a compatibility package",
        "documented",
        machine(1, version="535.104.05", loaded="535.104.05", cuda=(13, 0)),
    ),
    World(
        "a card that is newer than the build",
        "documented",
        machine(1, device(0, name="NVIDIA GeForce RTX 5090", capability=(12, 0)), build=OLD_BUILD),
        {},
        "gpu.no-code",
        "for CUDA 12.8 or later",
    ),
    World(
        "a card that the build has given up",
        "documented",
        machine(1, device(0, name="Tesla V100-SXM2-32GB", capability=(7, 0), fabric="")),
        {},
        "gpu.no-code",
        "for CUDA 12.9 or before",
    ),
    World(
        "PTX only, and a driver that compiles it",
        "documented",
        machine(1, device(0, capability=(12, 0)), build=built("2.6.0", "12.4", "sm_80 sm_90 compute_90")),
        {},
        "warning gpu.compiled-late",
        "only PTX",
    ),
    World(
        "PTX only, and a driver that is too old for it",
        "documented",
        machine(
            1,
            device(0, capability=(9, 0)),
            version="525.60.13",
            cuda=(12, 0),
            build=built("2.6.0", "12.4", "sm_80 compute_80"),
        ),
        {},
        "gpu.no-code",
        "too old to compile",
    ),
    World(
        "a build whose code could not be read",
        "varied",
        machine(1, device(0, capability=(12, 0)), build=built("2.4.1+cu121", "12.1")),
    ),
    # The start of CUDA
    World(
        "Fabric Manager does not run",
        "documented",
        machine(8, library=failing(802, "system not yet initialized"), switches=4, fabric_manager=False, container=""),
        {"count": 8},
        "gpu.no-fabric-manager",
        "systemctl start nvidia-fabricmanager",
    ),
    World(
        "a compatibility library that is newer than the driver",
        "documented",
        machine(1, library=failing(803, "unsupported display driver / cuda driver", file=COMPAT, version="580.95.05")),
        {},
        "gpu.mixed-versions",
        "LD_LIBRARY_PATH",
    ),
    World(
        "forward compatibility on a card that has none",
        "documented",
        machine(1, library=failing(804, "forward compatibility was attempted", file=COMPAT, version="580.95.05")),
        {},
        "gpu.compatibility",
        "data center cards",
    ),
    World(
        "the stub",
        "documented",
        machine(1, library=failing(34, "stub", file="/usr/local/cuda/lib64/stubs/libcuda.so.1")),
        {},
        "gpu.stub-library",
    ),
    World(
        "an empty libcuda",
        "documented",
        machine(1, library=Cuda(error="/lib/libcuda.so.1: file too short")),
        {},
        "gpu.no-library",
        "the file is empty",
    ),
    World(
        "a container without compute",
        "documented",
        machine(
            1,
            library=Cuda(error="libcuda.so.1: cannot open shared object file"),
            environment={"NVIDIA_DRIVER_CAPABILITIES": "utility"},
        ),
        {},
        "gpu.no-library",
        "leaves out `compute`",
    ),
    World(
        "nvidia-uvm is missing",
        "documented",
        machine(
            1,
            library=failing(999, "unknown error"),
            nodes=(Node(path="/dev/nvidia0"), Node(path="/dev/nvidiactl")),
            container="",
        ),
        {},
        "gpu.no-device-files",
        "nvidia-modprobe -u",
    ),
    World(
        "device files of another group",
        "documented",
        machine(
            1,
            library=failing(100, "no CUDA-capable device is detected"),
            nodes=(Node(path="/dev/nvidia0", usable=False), Node(path="/dev/nvidiactl")),
        ),
        {},
        "gpu.no-permission",
        "ls -l /dev/nvidia0",
    ),
    World(
        "CUDA hangs",
        "varied",
        machine(1, library=failing(None, "cuInit does not answer within 30 s")),
        {},
        "gpu.start-fails",
        "does not answer within 30 s",
    ),
    World(
        "CUDA does not start, and nobody would use it",
        "varied",
        machine(1, library=failing(999, "unknown error"), build=None, other_framework=""),
        {},
        "gpu.no-torch",
    ),
    # Enough
    World("more than there are", "varied", machine(2), {"count": 4}, "gpu.count", "2 GPUs visible, 4 GPUs wanted"),
    World(
        "fewer shown than wanted",
        "documented",
        machine(8, environment={"CUDA_VISIBLE_DEVICES": "0,1"}),
        {"count": 4},
        "gpu.count",
        "unset CUDA_VISIBLE_DEVICES",
    ),
    World(
        "more processes than devices",
        "documented",
        machine(1, environment={"LOCAL_WORLD_SIZE": "4"}),
        {"count": 1},
        "gpu.count",
        "the launcher starts 4 processes here",
    ),
    World(
        "all hidden",
        "documented",
        machine(4, environment={"CUDA_VISIBLE_DEVICES": ""}),
        {"count": 4},
        "gpu.hidden",
        "CUDA_VISIBLE_DEVICES= hides all 4 GPUs",
    ),
    World("none wanted, none shown", "varied", machine(4, environment={"CUDA_VISIBLE_DEVICES": ""}), {"count": 0}),
    World(
        "a number that is no device",
        "captured",
        machine(1, environment={"CUDA_VISIBLE_DEVICES": "3"}, library=failing(100, "no CUDA-capable device")),
        {},
        "gpu.selection",
        "3 is no device of this machine",
    ),
    World(
        "the same one twice",
        "captured",
        machine(1, environment={"CUDA_VISIBLE_DEVICES": "0,0"}, library=failing(101, "invalid device ordinal")),
        {},
        "gpu.selection",
        "0 is there twice",
    ),
    World(
        "the UUID of nothing",
        "captured",
        machine(1, environment={"CUDA_VISIBLE_DEVICES": "GPU-deadbeef"}),
        {},
        "gpu.selection",
    ),
    World(
        "fewer shown than Slurm has given",
        "documented",
        machine(4, environment={"CUDA_VISIBLE_DEVICES": "0", "SLURM_GPUS_ON_NODE": "4"}),
        {},
        "warning gpu.not-granted",
        "Slurm has given 4 GPUs",
    ),
    World(
        "one of four to each task of Slurm's",
        "documented",
        machine(4, environment={"CUDA_VISIBLE_DEVICES": "0", "SLURM_GPUS_ON_NODE": "4", "SLURM_NTASKS": "4"}),
    ),
    World("small", "varied", EIGHT, {"memory": 100_000_000_000}, "gpu.memory", "has 85.5 GB of memory"),
    World("of another generation", "varied", EIGHT, {"capability": ">=10.0"}, "gpu.capability"),
    World("another driver", "varied", EIGHT, {"driver": ">=590"}, "gpu.driver", "driver 580.159.04 is loaded"),
    World("another CUDA", "varied", EIGHT, {"cuda": ">=13.1"}, "gpu.cuda", "runs CUDA 13.0"),
    World("cut into slices", "documented", machine(1, MIG), {"mig": False}, "gpu.slices", "is cut into MIG devices"),
    World("slices are welcome", "documented", machine(1, MIG), {"mig": True, "count": 2, "memory": 10**10}),
    World("slices are wanted", "varied", EIGHT, {"mig": True}, "gpu.slices", "is not cut"),
    World(
        "MIG mode without slices", "documented", machine(1, replace(MIG, slices=())), {}, "gpu.slices", "nvidia-smi mig"
    ),
    # Free
    World(
        "another user's process",
        "varied",
        machine(2, BUSY),
        {"memory": 40_000_000_000},
        "gpu.memory-taken ~gpu.shared",
        "python of ada (pid 4242, 60 GB)",
    ),
    World("another user's process, and enough left", "varied", machine(2, BUSY), {"memory": 10**10}, "~gpu.shared"),
    World("idle is wanted", "varied", machine(2, BUSY), {"idle": True}, "gpu.not-idle"),
    World(
        "memory that nobody holds",
        "varied",
        machine(1, device(0, free=20_000_000_000)),
        {"idle": True},
        "gpu.not-idle",
        "no process is shown",
    ),
    World("what a driver needs", "captured", machine(1), {"idle": True}),
    World(
        "our own process",
        "varied",
        machine(1, device(0, free=40_000_000_000, processes=(replace(PROCESS, own=True, memory=45_000_000_000),))),
        {"idle": True, "memory": 80_000_000_000},
    ),
    World(
        "somebody in another container",
        "documented",
        machine(1, device(0, processes=(FOREIGN,))),
        {"idle": True},
        "gpu.not-idle",
        "not visible from within this container",
    ),
    World(
        "taken in exclusive mode",
        "documented",
        machine(1, device(0, compute_mode="exclusive process", processes=(PROCESS,))),
        {},
        "gpu.taken ~gpu.shared",
    ),
    World("free in exclusive mode", "documented", machine(1, device(0, compute_mode="exclusive process"))),
    World("prohibited", "documented", machine(1, device(0, compute_mode="prohibited")), {}, "gpu.prohibited"),
    # Healthy
    World("memory errors", "documented", machine(2, device(1, uncorrected=3)), {}, "gpu.ecc", "3 uncorrected memory"),
    World("rows that wait", "documented", machine(2, device(1, rows=Rows(pending=True))), {}, "gpu.memory-worn"),
    World("rows that failed", "documented", machine(2, device(1, rows=Rows(failed=True))), {}, "gpu.memory-worn"),
    World("rows that were replaced", "documented", machine(1, device(0, rows=Rows(correctable=2, uncorrectable=1)))),
    World("pages that wait", "documented", machine(1, device(0, retiring=True)), {}, "gpu.memory-worn", "wait"),
    World("pages without number", "documented", machine(1, device(0, retired=64)), {}, "gpu.memory-worn", "64"),
    World("some retired pages", "documented", machine(1, device(0, retired=3, retiring=False))),
    World("a reset is due", "documented", machine(1, device(0, recovery="reset the device")), {}, "gpu.needs-reset"),
    World("hot, and slowed down", "documented", machine(1, device(0, throttle=0x40)), {}, "warning gpu.slowed"),
    World("power brake", "documented", machine(1, device(0, throttle=0x80 | 0x08)), {}, "warning gpu.slowed"),
    World("at its power limit", "captured", machine(1, device(0, throttle=0x04, utilization=100))),
    World("at its own limit", "varied", machine(1, device(0, temperature=89)), {}, "warning gpu.hot", "89 °C"),
    World("warm", "varied", machine(1, device(0, temperature=80))),
    World("half a link", "documented", machine(1, device(0, pcie_width=8, utilization=50)), {}, "warning gpu.pcie"),
    World("half a link, asleep", "documented", machine(1, device(0, pcie_width=8, pcie_generation=1))),
    World(
        "one NVLink of one device is down",
        "documented",
        machine(4, *(device(index, links=(True,) * (18 - (index == 2))) for index in range(4))),
        {},
        "warning gpu.nvlink",
        "17 NVLinks up, its neighbours have 18",
    ),
    World("no bridges", "documented", machine(4, *(device(index, links=(False,) * 4) for index in range(4)))),
    World(
        "not in the fabric",
        "documented",
        machine(2, device(0, fabric="in progress"), switches=4, fabric_manager=True),
        {},
        "gpu.fabric",
    ),
    World("passed through without its fabric", "varied", machine(1, device(0, fabric="not started"))),
    World(
        "an old Xid",
        "documented",
        machine(1, xids=(Xid(pci="0000:10:00", number=94, age=7300, text="Contained"),)),
        {},
        "warning gpu.xid",
        "2 hours ago",
    ),
    World("an Xid of a program's", "documented", machine(1, xids=(Xid(pci="0000:10:00", number=31),))),
    World("an Xid of another device", "varied", machine(1, xids=(Xid(pci="0000:99:00", number=79),))),
    World("a log that may not be read", "varied", machine(1, xids=None)),
    World("asleep", "documented", machine(1, device(0, persistence=False)), {}, "~gpu.persistence"),
    # Others
    World(
        "a build for AMD, and two devices",
        "documented",
        Gpus(amd=2, build=Build(version="2.9.0+rocm6.4", hip="6.4")),
        {"count": 2},
    ),
    World(
        "a build for AMD, and no device",
        "documented",
        Gpus(build=Build(version="2.9.0+rocm6.4", hip="6.4")),
        {"count": 2},
        "gpu.no-driver",
        "a build for AMD GPUs",
    ),
    World(
        "a build for AMD, hidden",
        "documented",
        Gpus(
            amd=2,
            build=Build(version="2.9.0+rocm6.4", hip="6.4"),
            environment={"HIP_VISIBLE_DEVICES": "0"},
        ),
        {"count": 2},
        "gpu.count",
    ),
    World(
        "a build for AMD, not permitted",
        "documented",
        Gpus(amd=2, amd_usable=False, build=Build(version="2.9.0+rocm6.4", hip="6.4")),
        {"count": 2},
        "gpu.no-permission",
        "usermod -aG render,video",
    ),
]


@pytest.fixture(scope="module")
def families(load_check_file: Callable[[str], ModuleType]) -> tuple[ModuleType, ModuleType]:
    return load_check_file("gpu"), load_check_file("gpu_health")


def findings_of(world: World, families: tuple[ModuleType, ModuleType], root: Path) -> Iterator[Finding]:
    """Yield what the checks say of a world that a run would ask about."""
    gpu, health = families
    asked = world.wanted or world.name != "nothing asked, and a broken driver"
    config = Config(
        gpu=Gpu(at=AT, **world.wanted) if asked else None, imports=(Import(name="torch"),), experiment=world.experiment
    )
    yield from gpu.check_driver_answers(config, world.gpus)
    if not asked:
        return
    checks = [
        lambda: gpu.check_build_has_cuda(config, world.gpus, root),
        lambda: gpu.check_library_starts(config, world.gpus, root),
        lambda: gpu.check_devices_are_enough(config, world.gpus),
        lambda: health.check_devices_are_free(config, world.gpus),
        lambda: health.check_devices_are_healthy(config, world.gpus),
    ]
    for check in checks:
        with suppress(pytest.skip.Exception) if world.gpus.driver is not Driver.ANSWERS else nullcontext():
            yield from check()


def shown(finding: Finding) -> str:
    prefix = {Severity.ERROR: "", Severity.WARNING: "warning ", Severity.INFO: "~"}[finding.severity]
    return f"{prefix}{finding.id}"


@pytest.mark.parametrize("world", WORLDS, ids=[world.name for world in WORLDS])
def test_a_world(world: World, families: tuple[ModuleType, ModuleType], tmp_path: Path) -> None:
    findings = list(findings_of(world, families, tmp_path))
    told = [each for each in findings if each.id != "gpu.seen" or world.said == "~gpu.seen"]
    assert " ".join(map(shown, told)) == world.said
    text = "\n".join(f"{each.message}\n{each.cause}\n{each.fix}" for each in findings)
    assert world.words in text
    assert "{" not in text
    for each in told:
        assert each.severity is Severity.INFO or (each.cause and each.fix), each


def test_worlds_are_many_and_told_apart() -> None:
    names = [world.name for world in WORLDS]
    assert len(set(names)) == len(names) >= 40
    assert {world.source for world in WORLDS} == {"captured", "documented", "varied"}


def test_every_finding_of_the_two_families_is_in_some_world(families: tuple[ModuleType, ModuleType]) -> None:
    import re

    pages = [
        function.__doc__ or "" for family in families for name, function in vars(family).items() if name[:6] == "check_"
    ]
    ids = {name for page in pages for name in re.findall(r"^ *(gpu\.[\w-]+)  +\S", page, re.MULTILINE)}
    said = {word.lstrip("~") for world in WORLDS for word in world.said.split() if word != "warning"}
    assert ids - said - {"gpu.seen"} == set()


def test_who_uses_jax_is_not_asked_to_install_torch(
    load_check_file: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    gpus = replace(machine(2), build=None, other_framework="jax")
    config = Config(gpu=Gpu(count=2, p2p=True, perf=True), imports=(Import(name="jax"),), root=tmp_path)
    results, together, speed = (load_check_file(f"gpu_{name}") for name in ("results", "together", "speed"))
    told = list(results.check_device_computes_rightly(0, config, gpus, None, tmp_path))
    assert [finding.id for finding in told] == ["gpu.not-computed"]
    assert not list(together.check_devices_copy_to_each_other(config, gpus, None, tmp_path))
    assert not list(together.check_devices_add_up_together(config, gpus, tmp_path))
    assert not list(speed.check_devices_are_fast(config, gpus, None, tmp_path))
