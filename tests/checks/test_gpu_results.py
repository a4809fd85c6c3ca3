"""The check of what GPUs compute: a GPU where one is, and the CPU as a device that is wrong, hangs, dies or refuses."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Config, Gpu, Location
from preflight.model import Finding, Status
from preflight.system.gpu import arithmetic, gather
from preflight.system.gpu.arithmetic import Computed
from preflight.system.gpu.facts import Build, Device, Driver, Gpus
from preflight.system.gpu.operation import as_bits
from preflight.system.gpu.presence import is_any_here
from preflight.testing import run_check
from preflight.worker.fixtures import fresh_within

torch = pytest.importorskip("torch")
CONFIG = Config(gpu=Gpu(count=1, dtypes=("float32", "bfloat16"), at=Location("foo.yaml", 9, "preflight.gpu")))
NAME = "GPU 0 (NVIDIA H100 80GB HBM3, 0000:00:06.0)"
USABLE = Gpus(
    driver=Driver.ANSWERS,
    devices=(Device(index=0, name="NVIDIA H100 80GB HBM3", pci="0000:00:06.0"),),
    build=Build(version="2.11.0+cu130", cuda="13.0"),
)
ID = "gpu-results.device-computes-rightly"


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("gpu_results")


@pytest.fixture
def findings(checks: ModuleType, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Finding]]:
    """Return a function that runs the check on the CPU in place of GPU 0."""
    on_device = arithmetic.compute
    monkeypatch.setattr(arithmetic, "compute", lambda device, *more: on_device("cpu", *more))

    def run(config: Config = CONFIG, seconds: float = 40) -> list[Finding]:
        return list(checks.check_device_computes_rightly(0, config, USABLE, fresh_within(seconds), scratch))

    return run


def instead(monkeypatch: pytest.MonkeyPatch, name: str, do: Callable[[], Any]) -> None:
    """Have the device do something else in place of one operation."""
    right = arithmetic.once
    monkeypatch.setattr(
        arithmetic, "once", lambda operation, *more: do() if operation.name == name else right(operation, *more)
    )


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def test_a_device_that_is_right(findings: Callable[..., list[Finding]]) -> None:
    assert not findings()
    assert not findings(Config(gpu=Gpu(count=1)))


def test_a_device_that_is_wrong(findings: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    def corrupted(result: Any) -> Any:
        result = result.clone()
        if result.shape == (160, 224):
            result[3, 4] += 0.5
        return result

    monkeypatch.setattr(arithmetic, "fetch", corrupted)
    finding = only(findings())
    assert finding.id == "gpu.wrong-result"
    assert finding.message == f"{NAME} gives a wrong result: matmul in float32 (and 1 more operation)"
    assert "1 wrong element" in finding.found
    assert (finding.file, finding.line) == ("foo.yaml", 9)
    assert finding.evidence["operations"] == ["matmul in float32", "matmul in bfloat16"]


def test_a_device_with_two_answers(findings: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    right, calls = arithmetic.once, []

    def once(*arguments: Any) -> Any:
        result = right(*arguments)
        calls.append(1)
        if arguments[0].name == "softmax" and len(calls) % 2:
            as_bits(result)[5, 6] ^= 1
        return result

    monkeypatch.setattr(arithmetic, "once", once)
    assert only(findings()).id == "gpu.not-repeatable"


def test_a_part_that_is_unwritten(findings: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.bmm

    def partly(left: Any, right_side: Any, out: Any = None) -> Any:
        if out is None:
            return right(left, right_side)
        out[:-1].copy_(right(left[:-1], right_side[:-1]))
        return out

    monkeypatch.setattr(torch, "bmm", partly)
    finding = only(findings())
    assert (finding.id, finding.found) == ("gpu.unwritten-result", "6,144 elements of it")


def test_a_device_that_hangs(findings: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, "convolution", lambda: time.sleep(600))
    began = time.monotonic()
    finding = only(findings(seconds=4))
    assert time.monotonic() - began < 20
    assert finding.id == "gpu.no-answer"
    assert finding.message == f"{NAME} hangs: convolution float32"
    assert "within 4 s" in finding.found
    assert "test_gpu_results" in finding.evidence["stack"]


def test_a_context_that_hangs(findings: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "first_work", lambda *_: time.sleep(600))
    assert only(findings(seconds=1)).message == f"{NAME} hangs: making its context"


def test_a_process_that_dies(findings: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, "batched matmul", lambda: os.kill(os.getpid(), signal.SIGSEGV))
    finding = only(findings())
    assert finding.id == "gpu.process-dies"
    assert finding.message == f"the process that uses {NAME} dies: batched matmul float32"
    assert "SIGSEGV" in finding.found


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("CUDA error: all CUDA-capable devices are busy or unavailable", "taken"),
        ("Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized", "no-fabric-manager"),
        ("Error 803: system has unsupported display driver / cuda driver combination", "mixed-versions"),
        ("Error 804: forward compatibility was attempted on non supported HW", "compatibility"),
        ("CUDA error: no kernel image is available for execution on the device", "no-code"),
        ("CUDA out of memory. Tried to allocate 1.00 GiB", "out-of-memory"),
        ("CUDA error: uncorrectable ECC error encountered", "memory-fault"),
        ("what nobody knows", "operation-fails"),
    ],
)
def test_a_device_that_refuses_all(
    text: str, id: str, *, findings: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> None:
        raise RuntimeError(text + "\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1")

    monkeypatch.setattr(arithmetic, "first_work", refuse)
    finding = only(findings())
    assert finding.id == f"gpu.{id}"
    assert finding.cause.startswith(text)
    assert "{" not in finding.cause + finding.fix.replace("{print", "")


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", "library-fails"),
        ("CUDA error: an illegal memory access was encountered", "illegal-access"),
        ("CUDA error: device-side assert triggered", "assertion"),
        ("CUDA error: no kernel image is available for execution on the device", "no-code"),
    ],
)
def test_an_operation_that_is_refused(
    text: str, id: str, *, findings: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise RuntimeError(text + "\nmore of it")

    instead(monkeypatch, "convolution", refuse)
    finding = only(findings())
    assert finding.id == f"gpu.{id}"
    assert f"convolution in float32: {text}" in finding.cause


def test_formats_that_cannot_be_computed_in(
    findings: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch, "_int_mm")
    told = findings(Config(gpu=Gpu(count=1, dtypes=("float32", "int8", "float99"))))
    assert [finding.id for finding in told] == ["gpu.unsupported-dtype"] * 2
    assert told[0].message == f"{NAME} cannot compute in int8"
    assert "_int_mm" in told[0].cause
    assert told[1].message == f"{NAME} cannot compute in float99"


def test_a_context_made_by_an_import_is_used_as_it_is(
    findings: Callable[..., list[Finding]], checks: ModuleType, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork(*_: Any) -> None:
        pytest.fail("a fork cannot use a context of its parent's")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert not list(checks.check_device_computes_rightly(0, CONFIG, USABLE, fork, scratch))


def test_no_device_to_compute_on(tmp_path: Path) -> None:
    if is_any_here():
        pytest.skip("there is a GPU")
    (result,) = run_check(ID, {"preflight": {"gpu": {"count": 1}}}, root=tmp_path)
    assert result.status is Status.SKIPPED
    assert "no device to compute on" in result.reason


@pytest.fixture
def found_on_gpu(on_gpu: Any, checks: ModuleType, scratch: Path) -> Callable[..., list[Finding]]:
    """Return a function that runs the check on GPU 0."""

    def run(seconds: float = 60) -> list[Finding]:
        facts = gather.gather(Path())
        return list(checks.check_device_computes_rightly(0, CONFIG, facts, fresh_within(seconds), scratch))

    return run


def test_a_healthy_gpu_as_a_run_sees_it(
    found_on_gpu: Callable[..., list[Finding]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for dtypes in ([], ["float32", "tf32", "float16", "bfloat16", "float8", "int8"]):
        section = {"gpu": {"count": 1, "dtypes": dtypes} if dtypes else {"count": 1}}
        (result,) = run_check(ID, {"preflight": section}, root=tmp_path)
        with capsys.disabled():
            print(f"\n{dtypes or 'default'}: {result.seconds:.2f} s")
        assert (result.status, result.findings) == (Status.PASSED, ()), result


def test_a_gpu_whose_result_is_corrupted(
    found_on_gpu: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = arithmetic.once

    def once(operation: Any, *more: Any) -> Any:
        result = right(operation, *more)
        if operation.name == "matmul of whole numbers":
            as_bits(result)[4000, 7] ^= 1
        return result

    monkeypatch.setattr(arithmetic, "once", once)
    finding = only(found_on_gpu())
    assert finding.id == "gpu.wrong-result"
    assert "matmul of whole numbers" in finding.message


def test_a_gpu_with_a_kernel_that_hangs(
    found_on_gpu: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang() -> None:
        torch.cuda._sleep(10**13)
        torch.cuda.synchronize()

    instead(monkeypatch, "batched matmul", hang)
    began = time.monotonic()
    finding = only(found_on_gpu(15))
    assert time.monotonic() - began < 30
    assert finding.id == "gpu.no-answer"
    assert "batched matmul" in finding.message
    assert "NVIDIA" in finding.message
    monkeypatch.undo()
    assert not found_on_gpu()


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ({"width": 16, "width_most": 16, "generation": 5, "generation_most": 5}, []),
        ({"width": 8, "width_most": 16, "generation": 5, "generation_most": 5}, ["8 lanes at work, 16 lanes"]),
        (
            {"width": 16, "width_most": 16, "generation": 1, "generation_most": 4},
            ["generation 1 at work, generation 4"],
        ),
        ({}, []),
    ],
)
def test_a_link_at_work(link: dict[str, int], words: list[str], checks: ModuleType) -> None:
    found = list(checks.judge_link(Gpu(), Computed(device="cuda:0", link=link), NAME))
    assert [each.id for each in found] == ["gpu.pcie"] * len(words)
    assert all(said in each.message for said, each in zip(words, found, strict=True))


def test_the_link_of_a_real_gpu(on_gpu: Any) -> None:
    computed = Computed.from_facts(on_gpu(arithmetic.compute, "cuda:0", ["float32"], 1))
    assert computed.link["width"] > 0
    assert computed.link["generation"] > 0
