"""The GPU checks on drivers and builds that are broken, and on captured facts."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Config, Gpu, Location
from preflight.model import Finding, Severity
from preflight.system.gpu import gather as gpu
from preflight.system.gpu.gather import OTHER_FRAMEWORKS, Device, Driver, Gpus
from preflight.testing import run_check

AT = Location("foo.yaml", 9, "preflight.gpu")
EIGHT = Gpus(
    driver=Driver.ANSWERS,
    version="535.104.05",
    cuda=(12, 2),
    devices=tuple(
        Device(index=index, uuid=f"GPU-{index}a", name="A100", memory=42_400_000_000, capability=(8, 0))
        for index in range(8)
    ),
)
# The parts of NVML that are asked, as a driver of 2 devices gives them, or as one whose start fails with FAILS.
LIBRARY = """
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory;
int nvmlInitWithFlags(unsigned flags) { return FAILS; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return code == 18 ? "Driver/library version mismatch" : "Unknown Error"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { strcpy(text, "470.82.01"); return 0; }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 11040; return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = (void *)(long)(index + 1); return 0; }
int nvmlDeviceGetUUID(void *device, char *text, unsigned size) { strcpy(text, "GPU-1a"); return 0; }
int nvmlDeviceGetName(void *device, char *text, unsigned size) { strcpy(text, "Tesla T4"); return 0; }
int nvmlDeviceGetMemoryInfo(void *device, memory *info) { info->total = 15843721216; return 0; }
int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) { *major = 7; *minor = 5; return 0; }
"""


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("gpu")


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    """Return `driver(code)`: shell text after which a driver is found whose start gives that code."""
    if not shutil.which("cc"):
        pytest.skip("a driver to be found needs a C compiler")

    def build(code: int) -> str:
        folder = tmp_path_factory.mktemp("driver")
        (folder / "nvml.c").write_text(LIBRARY)
        command = ["cc", "-shared", "-fPIC", f"-DFAILS={code}", "-o", folder / "libnvidia-ml.so.1", folder / "nvml.c"]
        subprocess.run(command, check=True)
        return f"export LD_LIBRARY_PATH={folder}; unset CUDA_VISIBLE_DEVICES"

    return build


@pytest.fixture
def torch_build(tmp_path: Path) -> Callable[[str], str]:
    """Return `torch_build(lines)`: shell text after which torch has that version.py, and cannot be imported."""

    def build(lines: str) -> str:
        package = tmp_path / "packages/torch"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise RuntimeError('imported')")
        (package / "version.py").write_text(lines)
        return f"export PYTHONPATH={tmp_path}/packages"

    return build


def asking(**wanted: Any) -> Config:
    return Config(gpu=Gpu(at=AT, **wanted))


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_nothing_asked_and_nothing_there(checks: ModuleType, in_world: Any) -> None:
    assert not in_world("", checks.check_driver_answers, Config())


def test_nothing_asked_and_two_devices(checks: ModuleType, in_world: Any, driver: Any) -> None:
    finding = only(in_world(driver(0), checks.check_driver_answers, Config()))
    assert finding.severity is Severity.INFO
    assert finding.id == "gpu.seen"
    assert finding.message == "2 GPUs: Tesla T4, Tesla T4, driver 470.82.01"


def test_nothing_asked_and_a_broken_driver(checks: ModuleType, in_world: Any, driver: Any) -> None:
    assert only(in_world(driver(18), checks.check_driver_answers, Config())).severity is Severity.INFO


def test_no_driver(checks: ModuleType, in_world: Any) -> None:
    finding = only(in_world("", checks.check_driver_answers, asking(count=4)))
    assert finding.id == "gpu.no-driver"
    assert (finding.file, finding.line) == ("foo.yaml", 9)


def test_a_driver_without_its_library(checks: ModuleType, in_world: Any) -> None:
    setup = "mount -t tmpfs none /dev/shm; mount --bind /dev/shm /dev; : > /dev/nvidia0; : > /dev/nvidia1"
    finding = only(in_world(setup, checks.check_driver_answers, asking(count=4)))
    assert finding.id == "gpu.no-driver"
    assert "/dev/nvidia0, /dev/nvidia1" in finding.cause


@pytest.mark.parametrize(
    ("code", "name"), [(18, "driver-mismatch"), (9, "no-driver"), (4, "no-permission"), (999, "driver-failed")]
)
def test_a_driver_that_fails(code: int, name: str, *, checks: ModuleType, in_world: Any, driver: Any) -> None:
    finding = only(in_world(driver(code), checks.check_driver_answers, asking(count=2)))
    assert finding.id == f"gpu.{name}"
    assert "{" not in finding.cause + finding.fix


def test_a_driver_that_answers(checks: ModuleType, in_world: Any, driver: Any) -> None:
    assert only(in_world(driver(0), checks.check_driver_answers, asking(count=2))).severity is Severity.INFO
    assert not in_world(
        driver(0), checks.check_devices_are_enough, asking(count=2, memory=15_000_000_000, capability=">=7.0")
    )


def test_a_cpu_only_build(checks: ModuleType, in_world: Any, torch_build: Any) -> None:
    setup = torch_build(
        "from typing import Optional\n__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip = None\n"
    )
    finding = only(in_world(setup, checks.check_build_has_cuda, asking(count=4)))
    assert finding.id == "gpu.cpu-only-build"
    assert finding.found == "2.13.0+cpu"
    assert f"{sys.executable} -m pip install --force-reinstall torch==2.13.0" in finding.fix


@pytest.mark.parametrize(
    "lines", ["__version__ = '2.4.0+cu118'\ncuda = '11.8'\n", "__version__ = '2.4.0'\ncuda = None\nhip = '6.1'\n"]
)
def test_a_build_that_fits(lines: str, checks: ModuleType, in_world: Any, *, torch_build: Any, driver: Any) -> None:
    assert not in_world(f"{torch_build(lines)}; {driver(0)}", checks.check_build_has_cuda, asking(count=2))


def test_a_driver_that_is_too_old_for_the_build(
    checks: ModuleType, in_world: Any, torch_build: Any, driver: Any
) -> None:
    setup = torch_build("__version__ = '2.4.0+cu121'\ncuda = '12.1'\n") + "; " + driver(0)
    finding = only(in_world(setup, checks.check_build_has_cuda, asking(count=2)))
    assert (finding.id, finding.found, finding.wanted) == ("gpu.driver-too-old", "CUDA 11.4", "CUDA 12.1")


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """Shell text after which Python finds what is installed beside pytest, but no framework."""
    folder = tmp_path / "installed"
    folder.mkdir()
    for package in Path(pytest.__file__).parents[1].iterdir():
        if package.name not in {"torch", *OTHER_FRAMEWORKS}:
            (folder / package.name).symlink_to(package)
    source = Path(gpu.__file__).parents[3]
    return f'export PYTHONPATH={source}:{folder}:{tmp_path}; set -- {sys.executable} -S "${{@:2}}"'


def test_no_torch(checks: ModuleType, in_world: Any, bare_python: str, tmp_path: Path) -> None:
    assert only(in_world(bare_python, checks.check_build_has_cuda, asking(count=1))).id == "gpu.no-torch"
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax/__init__.py").touch()
    assert not in_world(bare_python, checks.check_build_has_cuda, asking(count=1))


def test_enough_devices(checks: ModuleType) -> None:
    wanted = Gpu(count=8, memory=40_000_000_000, capability=">=8.0")
    assert not list(checks.judge_devices(wanted, EIGHT))
    assert not list(checks.judge_devices(Gpu(count=2), replace(EIGHT, selection="6,GPU-7")))


@pytest.mark.parametrize(
    ("wanted", "selection", "name", "told"),
    [
        (Gpu(count=9), None, "count", "8 GPUs visible, 9 GPUs wanted"),
        (Gpu(count=4), "0,1", "count", "2 GPUs visible, 4 GPUs wanted"),
        (Gpu(count=4), "", "hidden", "CUDA_VISIBLE_DEVICES= hides all 8 GPUs"),
        (Gpu(count=4), "-1", "hidden", "CUDA_VISIBLE_DEVICES=-1 hides all 8 GPUs"),
        (Gpu(), "", "hidden", "CUDA_VISIBLE_DEVICES= hides all 8 GPUs"),
        (Gpu(count=2), "0,8", "selection", "CUDA_VISIBLE_DEVICES=0,8 is wrong: 8 is no device of this machine"),
        (Gpu(count=2), "3,3", "selection", "CUDA_VISIBLE_DEVICES=3,3 is wrong: 3 is there twice"),
        (
            Gpu(memory=80_000_000_000),
            None,
            "memory",
            "GPU 0 (A100) (and 7 more) has 42.4 GB of memory, 80 GB are wanted",
        ),
        (Gpu(capability=">=9.0"), "5", "capability", "GPU 5 (A100) has compute capability 8.0, >=9.0 is wanted"),
    ],
)
def test_devices_that_lack_something(
    wanted: Gpu, selection: str | None, name: str, told: str, *, checks: ModuleType
) -> None:
    finding = only(list(checks.judge_devices(wanted, replace(EIGHT, selection=selection))))
    assert (finding.id, finding.message) == (f"gpu.{name}", told)


def test_slices_are_not_counted(checks: ModuleType) -> None:
    sliced = replace(EIGHT, devices=(replace(EIGHT.devices[0], sliced=True),))
    assert not list(checks.judge_devices(Gpu(count=4, memory=80_000_000_000), sliced))


def test_no_device_is_said_once(checks: ModuleType, in_world: Any) -> None:
    with pytest.raises(AssertionError, match="devices are not known"):
        in_world("", checks.check_devices_are_enough, asking(count=4))


def test_a_run_on_the_cpu_that_asks_for_gpus(checks: ModuleType, tmp_path: Path) -> None:
    section = {"gpu": {"count": 4}}
    names = ("gpu.driver-answers", "gpu.build-has-cuda", "gpu.devices-are-enough")
    for name in (*names, "gpu-results.device-computes-rightly"):
        results = run_check(name, {"device": "cpu", "preflight": section}, root=tmp_path)
        assert {result.status.name for result in results} == {"PASSED"}
        if name == "gpu.driver-answers":
            (finding,) = results[0].findings
            assert (finding.id, finding.severity, finding.line) == ("gpu.device-is-cpu", Severity.WARNING, 3)
            assert "4 GPUs" in finding.message
            assert "device: cpu" in finding.message
