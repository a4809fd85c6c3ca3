"""The GPU checks as a run runs them: before drivers that are broken, on a machine without, and from a file of facts."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight.config import load
from preflight.model import Finding, Result, Severity, Status
from preflight.run import run
from preflight.system.gpu import build, gather
from preflight.testing import run_check
from preflight.verdict import Word, decide
from preflight.worker.request import Selection

pytestmark = pytest.mark.slow

FAMILIES = {"gpu", "gpu-health", "gpu-results", "gpu-speed", "gpu-together"}
FACTS = json.loads((Path(__file__).parents[1] / "facts/h100.json").read_text())
ARCHITECTURES = b"\0sm_75 sm_80 sm_86 sm_90\0"


@pytest.fixture
def torch_build(tmp_path: Path) -> Callable[[str], str]:
    """Return `torch_build(lines)`: shell text after which torch has that version.py, and cannot be imported."""

    def write(lines: str) -> str:
        package = tmp_path / "packages/torch"
        (package / "lib").mkdir(parents=True)
        (package / "__init__.py").write_text("raise RuntimeError('imported')")
        (package / "version.py").write_text(lines)
        (package / "lib/libtorch_python.so").write_bytes(ARCHITECTURES)
        return f"export PYTHONPATH={tmp_path}/packages"

    return write


@pytest.fixture
def asked(in_world: Any, tmp_path: Path) -> Callable[..., Result]:
    """Return `asked(setup, check, **wanted)`: the result of one check before that world."""

    def ask(setup: str, check: str, **wanted: Any) -> Result:
        (result,) = in_world(setup, run_check, check, {"preflight": {"gpu": wanted}}, root=tmp_path)
        return result

    return ask


def only(result: Result) -> Finding:
    assert len(result.findings) == 1, result
    return result.findings[0]


@pytest.mark.usefixtures("no_gpu")
def test_nothing_asked_and_nothing_there(in_world: Any, tmp_path: Path) -> None:
    (result,) = in_world("", run_check, "gpu.driver-answers", {"preflight": {}}, root=tmp_path)
    assert (result.status, result.findings) == (Status.PASSED, ())


def test_nothing_asked_and_two_devices(in_world: Any, nvidia_driver: Any, tmp_path: Path) -> None:
    setup = nvidia_driver(2, cuda="hang")
    (result,) = in_world(setup, run_check, "gpu.driver-answers", {"preflight": {}}, root=tmp_path)
    finding = only(result)
    assert (finding.severity, finding.id) == (Severity.INFO, "gpu.seen")
    assert finding.message == "2 GPUs: NVIDIA H100 80GB HBM3, NVIDIA H100 80GB HBM3, driver 580.159.04"


@pytest.mark.parametrize(
    ("start", "name"),
    [
        ("error 18", "driver-mismatch"),
        ("error 9", "no-driver"),
        ("error 4", "no-permission"),
        ("error 999", "driver-failed"),
        ("crash", "driver-failed"),
    ],
)
def test_a_driver_that_fails(start: str, name: str, *, asked: Any, nvidia_driver: Any) -> None:
    result = asked(nvidia_driver(2, driver={"nvmlInit": start}), "gpu.driver-answers", count=2)
    assert result.status is Status.FAILED
    assert only(result).id == f"gpu.{name}"
    assert only(result).file == "config.yaml"
    mended = asked(nvidia_driver(2), "gpu.driver-answers", count=2)
    assert mended.status is Status.PASSED


@pytest.mark.usefixtures("no_gpu")
def test_no_driver(asked: Any) -> None:
    assert only(asked("", "gpu.driver-answers", count=4)).id == "gpu.no-driver"


@pytest.mark.usefixtures("no_gpu")
def test_a_driver_without_its_library(asked: Any) -> None:
    setup = "mount -t tmpfs none /dev/shm; cp -a /dev/null /dev/urandom /dev/shm; : > /dev/shm/nvidia0\n"
    setup += ": > /dev/shm/nvidia1; mount --bind /dev/shm /dev"
    finding = only(asked(setup, "gpu.driver-answers", count=4))
    assert finding.id == "gpu.no-driver"
    assert "/dev/nvidia0, /dev/nvidia1" in finding.cause


def test_a_cpu_only_build(asked: Any, torch_build: Any) -> None:
    lines = "from typing import Optional\n__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip = None\n"
    finding = only(asked(torch_build(lines), "gpu.build-has-cuda", count=4))
    assert finding.id == "gpu.cpu-only-build"
    assert finding.found == "2.13.0+cpu"
    assert f"{sys.executable} -m pip install --force-reinstall torch==2.13.0" in finding.fix


@pytest.mark.parametrize(
    "lines", ["__version__ = '2.4.0+cu118'\ncuda = '11.8'\n", "__version__ = '2.4.0'\ncuda = None\nhip = '6.1'\n"]
)
def test_a_build_that_fits(lines: str, asked: Any, torch_build: Any, nvidia_driver: Any) -> None:
    result = asked(f"{torch_build(lines)}; {nvidia_driver(2)}", "gpu.build-has-cuda", count=2)
    assert (result.status, result.findings) == (Status.PASSED, ())


def test_a_driver_that_is_too_old_for_the_build(asked: Any, torch_build: Any, nvidia_driver: Any) -> None:
    old = {"nvmlSystemGetDriverVersion": "470.82.01", "nvmlSystemGetCudaDriverVersion": "11040"}
    setup = torch_build("__version__ = '2.4.0+cu121'\ncuda = '12.1'\n") + "; " + nvidia_driver(driver=old)
    finding = only(asked(setup, "gpu.build-has-cuda"))
    assert (finding.id, finding.found, finding.wanted) == ("gpu.driver-too-old", "CUDA 11.4", "CUDA 12.1")


def test_a_build_without_code_for_the_device(asked: Any, torch_build: Any, nvidia_driver: Any) -> None:
    setup = torch_build("__version__ = '2.4.0+cu121'\ncuda = '12.1'\n") + "; "
    new = {"nvmlDeviceGetCudaComputeCapability": "12 0"}
    assert only(asked(setup + nvidia_driver(answers={0: new}), "gpu.build-has-cuda")).id == "gpu.no-code"
    assert not asked(setup + nvidia_driver(), "gpu.build-has-cuda").findings


def test_a_library_that_does_not_start(asked: Any, torch_build: Any, nvidia_driver: Any) -> None:
    setup = torch_build("__version__ = '2.4.0+cu121'\ncuda = '12.1'\n") + "; "
    assert only(asked(setup + nvidia_driver(cuda="802"), "gpu.library-starts")).id == "gpu.no-fabric-manager"
    assert not asked(setup + nvidia_driver(), "gpu.library-starts").findings


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """Shell text after which Python finds what is installed beside pytest, but no framework."""
    folder = tmp_path / "installed"
    folder.mkdir()
    for package in Path(pytest.__file__).parents[1].iterdir():
        if package.name not in {"torch", *build.OTHER_FRAMEWORKS} and not package.name.startswith("torch-"):
            (folder / package.name).symlink_to(package)
    source = Path(build.__file__).parents[3]
    return f'export PYTHONPATH={source}:{folder}:{tmp_path}; set -- {sys.executable} -S "${{@:2}}"'


@pytest.mark.usefixtures("no_gpu")
def test_no_torch(in_world: Any, bare_python: str, tmp_path: Path) -> None:
    assert not in_world(bare_python, gather.gather, tmp_path).build
    assert not in_world(bare_python, gather.gather, tmp_path).other_framework
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax/__init__.py").touch()
    assert in_world(bare_python, gather.gather, tmp_path).other_framework == "jax"


def test_torch_is_not_the_jobs(asked: Any, in_world: Any, nvidia_driver: Any, torch_build: Any, tmp_path: Path) -> None:
    """A program that does not use torch does not care how it was built."""
    setup = torch_build("__version__ = '2.13.0+cpu'\ncuda = None\n") + "; " + nvidia_driver()
    (tmp_path / "train.py").write_text("import json, pynvml\n")
    config = {"preflight": {"imports": ["json", "pynvml"], "gpu": {"count": 1}}}
    (result,) = in_world(setup, run_check, "gpu.build-has-cuda", config, root=tmp_path)
    assert not result.findings
    (tmp_path / "model.py").write_text("import torch\n")
    (result,) = in_world(setup, run_check, "gpu.build-has-cuda", config, root=tmp_path)
    assert only(result).id == "gpu.cpu-only-build"


def test_a_device_that_is_busy(asked: Any, nvidia_driver: Any) -> None:
    taken = {
        "nvmlDeviceGetMemoryInfo": "85520809984 5000000000",
        "nvmlDeviceGetComputeRunningProcesses": "999999:80000000000",
    }
    finding = asked(nvidia_driver(answers={0: taken}), "gpu-health.devices-are-free", memory="40GB").findings[0]
    assert finding.id == "gpu.memory-taken"
    assert "pid 999999, 80 GB" in finding.cause
    assert not asked(nvidia_driver(), "gpu-health.devices-are-free", memory="40GB", idle=True).findings


def test_a_device_with_memory_errors(asked: Any, nvidia_driver: Any) -> None:
    errors = {"nvmlDeviceGetTotalEccErrors": "2", "nvmlDeviceGetRemappedRows": "0 1 1 0"}
    result = asked(nvidia_driver(2, answers={1: errors}), "gpu-health.devices-are-healthy")
    assert [finding.id for finding in result.findings] == ["gpu.ecc", "gpu.memory-worn"]
    assert "GPU 1" in result.findings[0].message
    assert not asked(nvidia_driver(2), "gpu-health.devices-are-healthy").findings


def test_a_device_that_hangs_is_named_and_the_others_are_judged(asked: Any, nvidia_driver: Any) -> None:
    setup = nvidia_driver(3, answers={1: {"nvmlDeviceGetName": "hang"}})
    result = asked(setup, "gpu.driver-answers", count=3)
    lost = [finding for finding in result.findings if finding.id == "gpu.lost"]
    assert len(lost) == 1
    assert lost[0].message == "GPU 1 cannot be used"
    assert result.status is Status.FAILED


def test_no_device_is_said_once(tmp_path: Path) -> None:
    """On a machine without GPUs, the reason is found without importing torch."""
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    facts = {"schema": "preflight.facts/1", "error": "libnvidia-ml.so.1 is not found"}
    results = run_check("gpu.devices-are-enough", {"preflight": {"gpu": {"count": 4}}}, root=tmp_path, facts=facts)
    assert [(result.status, result.reason) for result in results] == [
        (Status.SKIPPED, "the driver does not answer, so that its devices are not known")
    ]


@pytest.mark.usefixtures("no_gpu")
def test_torch_is_not_imported_to_learn_that_there_is_no_gpu(in_world: Any, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import os\nos._exit(3)")
    setup = f"export PYTHONPATH={tmp_path}"
    results = in_world(setup, run_check, "gpu-results", {"preflight": {"gpu": {"count": 2}}}, root=tmp_path)
    assert [each.check for each in results] == []
    one = "gpu-results.device-computes-rightly"
    results = in_world(setup, run_check, one, {"preflight": {"gpu": {"count": 2}}}, root=tmp_path)
    assert {each.reason for each in results} == {"the driver does not answer, so that there is no device to compute on"}
    assert len(results) == 2


@pytest.mark.parametrize(
    ("wanted", "status"),
    [({"count": 1}, Status.PASSED), ({"count": 2}, Status.FAILED), ({"driver": ">=600"}, Status.FAILED)],
)
def test_facts_of_a_file_are_judged(wanted: dict[str, Any], status: Status, tmp_path: Path) -> None:
    config = {"preflight": {"gpu": wanted}}
    (result,) = run_check("gpu.devices-are-enough", config, root=tmp_path, facts=FACTS)
    assert result.status is status
    assert not run_check("gpu-results.device-computes-rightly", config, root=tmp_path, facts=FACTS)


def test_a_run_on_the_cpu_that_asks_for_gpus(tmp_path: Path) -> None:
    text = "device: cpu\npreflight:\n  gpu: {count: 4, p2p: true, perf: true}\n"
    config = load(Path("config.yaml"), text=text, root=tmp_path)
    report = run(config, selection=Selection(only=("gpu",)))
    assert {result.family for result in report.results} == FAMILIES
    assert decide(report).word is Word.GO, report
    (finding,) = [finding for result in report.results for finding in result.findings]
    assert (finding.id, finding.severity, finding.line) == ("gpu.device-is-cpu", Severity.WARNING, 3)
    assert "4 GPUs" in finding.message
    assert "device: cpu" in finding.message
