"""What a device computes: right on the CPU and on a GPU where one is, and each kind of wrong result seen as such."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from preflight.system.gpu import arithmetic
from preflight.system.gpu.arithmetic import Computed, Outcome, Step
from preflight.system.gpu.operation import Operation, as_bits
from preflight.system.gpu.operations import operations
from preflight.system.gpu.refusals import Refusal, refusal_of
from preflight.system.gpu.rounding import FORMATS, formats_of
from preflight.worker.fixtures import fresh_within

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")
WORDS = ("float32", "tf32", "float16", "bfloat16", "float8", "int8", "float64")


def tried(word: str, seed: int = 3) -> Iterator[tuple[Operation, Step]]:
    with arithmetic.precision(tf32=word == "tf32"):
        for operation in operations(FORMATS[word], "cpu", seed):
            yield operation, arithmetic.attempt(operation, word, "cpu")


def step(word: str, name: str) -> Step:
    return next(done for operation, done in tried(word) if operation.name == name)


@pytest.mark.parametrize("seed", [1, None])
def test_the_cpu_is_right_in_every_format(seed: int | None) -> None:
    seed = seed or time.time_ns() % 2**31
    computed = Computed.from_facts(json.loads(json.dumps(arithmetic.compute("cpu", WORDS, seed))))
    assert not computed.refusal
    assert {each.outcome for each in computed.steps} == {Outcome.RIGHT}, computed
    assert {each.word for each in computed.steps} == {"", *FORMATS}
    assert len(computed.steps) > 50
    assert computed.seed == seed
    assert computed.context > 0


def test_what_comes_next_is_noted() -> None:
    notes: list[str] = []
    arithmetic.compute("cpu", ["float64"], 1, notes.append)
    assert notes[1] == "copy"
    assert "attention float64" in notes


@pytest.mark.parametrize("word", FORMATS)
def test_one_wrong_element_is_seen_in_every_operation(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def corrupted(result: Any) -> Any:
        result = result.clone()
        flat = result.flatten()
        largest = int(flat.double().abs().argmax())
        flat[largest] = float(flat[largest]) / 2
        return flat.reshape(result.shape)

    monkeypatch.setattr(arithmetic, "fetch", corrupted)
    outcomes = {operation.name: done for operation, done in tried(word)}
    assert {done.outcome for done in outcomes.values()} == {Outcome.WRONG}
    assert {done.elements for done in outcomes.values()} == {1}
    for done in outcomes.values():
        assert abs(done.wanted) > abs(done.found)
        assert abs(done.wanted - done.found) > done.allowed


def test_the_last_bit_of_a_large_product_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def corrupted(result: Any) -> Any:
        result = result.clone()
        as_bits(result)[17, 5] ^= 1
        return result

    monkeypatch.setattr(arithmetic, "fetch", corrupted)
    done = step("float32", "matmul of whole numbers")
    assert done.outcome is Outcome.WRONG
    assert done.first == 17 * 160 + 5
    assert step("float32", "matmul").outcome is Outcome.RIGHT


def test_a_sum_in_the_wrong_precision_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = torch.matmul

    def in_steps(left: Any, right: Any, out: Any = None) -> Any:
        if out is None:
            return exact(left, right)
        total = torch.zeros_like(out)
        for k in range(left.shape[1]):
            total += left[:, k : k + 1] * right[k : k + 1]
        return out.copy_(total)

    def in_tf32(left: Any, right: Any, out: Any = None) -> Any:
        return exact(left, right) if out is None else out.copy_(exact(rounded(left).double(), rounded(right).double()))

    def rounded(values: Any) -> Any:
        return (as_bits(values) & ~0x1FFF).view(torch.float32)

    monkeypatch.setattr(torch, "matmul", in_steps)
    for word in ("float16", "bfloat16"):
        assert step(word, "matmul").outcome is Outcome.WRONG
    assert step("float32", "matmul").outcome is Outcome.RIGHT
    monkeypatch.setattr(torch, "matmul", in_tf32)
    assert step("float32", "matmul").outcome is Outcome.WRONG
    assert step("tf32", "matmul").outcome is Outcome.RIGHT


def test_a_device_that_gives_two_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    right, calls = arithmetic.once, []

    def once(*arguments: Any) -> Any:
        result = right(*arguments)
        calls.append(1)
        if len(calls) == 2:
            as_bits(result).flatten()[7] ^= 1
        return result

    monkeypatch.setattr(arithmetic, "once", once)
    done = step("float32", "matmul of whole numbers")
    assert done.outcome is Outcome.DIFFERS or len(calls) > 2
    calls[:] = []
    operation = next(each for each in operations(FORMATS["float32"], "cpu", 1) if each.name == "softmax")
    done = arithmetic.attempt(operation, "float32", "cpu")
    assert (done.outcome, done.elements) == (Outcome.DIFFERS, 1)


def test_a_part_that_is_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.softmax

    def lazy(values: Any, dim: int, out: Any = None) -> Any:
        if out is None:
            return right(values, dim=dim)
        out[:-1].copy_(right(values[:-1], dim=dim))
        return out

    monkeypatch.setattr(torch, "softmax", lazy)
    for word in ("float32", "bfloat16"):
        done = step(word, "softmax")
        assert (done.outcome, done.elements) == (Outcome.UNWRITTEN, 512)


def test_random_numbers_that_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.randn

    def narrow(*shape: Any, device: str = "", **more: Any) -> Any:
        values = right(*shape, **more)
        return values * 0.98 if device else values

    monkeypatch.setattr(torch, "randn", narrow)
    computed = Computed.from_facts(arithmetic.compute("cpu", [], 1))
    assert {each.operation: each.outcome for each in computed.steps}["random"] is Outcome.WRONG


def test_an_unknown_word_and_a_format_that_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "_int_mm")
    computed = Computed.from_facts(arithmetic.compute("cpu", ["float99", "int8"], 1))
    assert computed.unknown == ("float99",)
    lacking = {each.operation for each in computed.steps if each.refusal == Refusal.UNSUPPORTED}
    assert lacking == {"matmul of whole numbers"}


def test_nothing_is_tried_after_an_error_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        monkeypatch.setattr(arithmetic, "first_work", fails)
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be …")

    monkeypatch.setattr(torch, "bmm", fails)
    operation = next(each for each in operations(FORMATS["float32"], "cpu", 1) if each.name == "matmul")
    monkeypatch.setattr(
        arithmetic,
        "operations",
        lambda *_: iter(
            [operation, Operation(name="batched matmul", inputs=[], compute=fails, judge=lambda _: None), operation]
        ),
    )
    computed = Computed.from_facts(arithmetic.compute("cpu", ["float32", "float16"], 1))
    assert computed.steps[-1].refusal == Refusal.ILLEGAL_ACCESS
    assert computed.steps[-1].text == "CUDA error: an illegal memory access was encountered"
    assert computed.untried == ("float16",)


def flags() -> list[str]:
    cudnn = torch.backends.cudnn
    reads: list[Callable[[], Any]] = [
        torch.get_float32_matmul_precision,
        lambda: torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
        lambda: torch.backends.cuda.matmul.allow_tf32,
        lambda: torch.backends.cuda.matmul.fp32_precision,
        lambda: torch.backends.mkldnn.matmul.fp32_precision,
        lambda: (cudnn.deterministic, cudnn.benchmark),
        lambda: cudnn.allow_tf32,
        lambda: (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision),
    ]
    told = []
    for read in reads:
        try:
            told.append(str(read()))
        except (RuntimeError, AttributeError) as problem:
            told.append(type(problem).__name__)
    return told


POOLED = """
import torch
from preflight.system.gpu import arithmetic
from preflight.worker.fixtures import fresh_within
torch.set_num_threads(2)
(torch.randn(1000, 1000) @ torch.randn(1000, 1000)).exp()
print(fresh_within(30)(arithmetic.compute, "cpu", ["float32", "bfloat16"], 1)["refusal"] or "fine")
"""


def test_a_pool_of_threads_that_an_import_has_made_does_no_harm() -> None:
    done = subprocess.run([sys.executable, "-c", POOLED], capture_output=True, text=True, timeout=60)
    assert done.stdout == "fine\n", done.stderr


def test_flags_are_as_before() -> None:
    def changed(setting: str) -> list[list[str]]:
        exec(setting, {"torch": torch})
        before = flags()
        arithmetic.compute("cpu", ["tf32"], 1)
        return [before, flags()]

    settings = ["", "torch.backends.cuda.matmul.allow_tf32 = True", "torch.backends.cudnn.benchmark = True"]
    if hasattr(torch.backends.cudnn, "conv"):
        settings += [
            "torch.set_float32_matmul_precision('medium')",
            "torch.backends.fp32_precision = 'tf32'",
            "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
        ]
    for setting in settings:
        before, after = fresh_within(60)(changed, setting)
        assert before == after, setting


# Texts of torch 2.11 on a real device, and of torch's and NVIDIA's sources.
@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("CUDA out of memory. Tried to allocate 1024.00 GiB. GPU 0 has a total capacity of 79.18 GiB", "OUT_OF_MEMORY"),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "OUT_OF_MEMORY"),
        ("CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors …", "NO_KERNEL"),
        ("CUDA error: device-side assert triggered\nSearch for `cudaErrorAssert' in …", "ASSERTION"),
        ("CUDA error: an illegal memory access was encountered", "ILLEGAL_ACCESS"),
        ("CUDA error: unspecified launch failure", "ILLEGAL_ACCESS"),
        ("CUDA error: uncorrectable ECC error encountered", "MEMORY_FAULT"),
        ("CUDA error: all CUDA-capable devices are busy or unavailable", "BUSY"),
        ("Unexpected error from cudaGetDeviceCount(). … Error 802: system not yet initialized", "NOT_READY"),
        ("Error 803: system has unsupported display driver / cuda driver combination", "OTHER_LIBRARY"),
        (
            "Error 804: forward compatibility was attempted on non supported HW",
            "NO_FORWARD_COMPATIBILITY",
        ),
        ("CUDA error: invalid device ordinal\nGPU device may be out of range", "NO_DEVICE"),
        ("No CUDA GPUs are available", "NO_DEVICE"),
        ("Torch not compiled with CUDA enabled", "NO_DEVICE"),
        ("\"addmm_cuda\" not implemented for 'Int'", "UNSUPPORTED"),
        ("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx`", "UNSUPPORTED"),
        ("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`", "LIBRARY"),
        ("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", "LIBRARY"),
        ("something else", "OTHER"),
    ],
)
def test_why_a_device_refuses(text: str, refusal: str) -> None:
    assert refusal_of(RuntimeError(text)) is Refusal[refusal]


@pytest.mark.parametrize(
    ("word", "names"),
    [("fp16", ["float16"]), ("torch.bfloat16", ["bfloat16"]), ("float8", ["float8_e4m3fn", "float8_e5m2"]), ("x", [])],
)
def test_words_for_formats(word: str, names: list[str]) -> None:
    assert [each.word for each in formats_of(word)] == names


def test_the_bound_of_a_sum_is_kept_in_the_worst_case() -> None:
    # Two thousand roundings in one direction, of the same size each.
    values = torch.full((2048,), 1.0 + 2.0**-11).half()
    total = torch.zeros((), dtype=torch.float32)
    for each in values.float() * (1 + 2.0**-20):
        total += each
    exact = float((values.float() * (1 + 2.0**-20)).double().sum())
    assert 0 < abs(float(total) - exact) <= FORMATS["float32"].gamma(2048) * exact


def test_a_healthy_gpu_is_right_in_every_format(on_gpu: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    computed = Computed.from_facts(on_gpu(arithmetic.compute, "cuda:0", WORDS, time.time_ns() % 2**31))
    with capsys.disabled():
        print(f"\n{arithmetic.label(computed)}: context {computed.context:.2f} s, all {computed.seconds:.2f} s")
        for each in computed.steps:
            print(f"  {each.word:14} {each.operation:24} {each.outcome:10} {each.seconds * 1000:8.1f} ms {each.text}")
        print(*computed.libraries, sep="\n  ")
    assert not computed.refusal
    assert {each.outcome for each in computed.steps} <= {Outcome.RIGHT, Outcome.REFUSED}
    assert {each.refusal for each in computed.steps} <= {"", Refusal.UNSUPPORTED}
    assert any("libcublas" in file for file in computed.libraries)
    assert any("libcudnn" in file for file in computed.libraries)
    assert computed.address


def test_a_gpu_without_memory(on_gpu: Callable[..., Any]) -> None:
    def compute() -> dict[str, Any]:
        operation = Operation(
            name="large", inputs=[], compute=lambda: torch.empty(1 << 50, device="cuda:0"), judge=lambda _: None
        )
        done = arithmetic.attempt(operation, "", "cuda:0")
        return {"refusal": done.refusal, "text": done.text, "lives": arithmetic.lives("cuda:0")}

    told = on_gpu(compute)
    assert told["refusal"] == Refusal.OUT_OF_MEMORY
    assert told["lives"]
    assert "\n" not in told["text"]


def test_a_gpu_after_an_assertion(on_gpu: Callable[..., Any]) -> None:
    def compute() -> dict[str, Any]:
        wrong = Operation(
            name="wrong index",
            inputs=[torch.tensor([1 << 20])],
            compute=lambda index: torch.zeros(4, device="cuda:0")[index],
            judge=lambda _: None,
        )
        arithmetic.operations = lambda *_: iter([wrong, wrong])  # type: ignore[attr-defined]
        return arithmetic.compute("cuda:0", ["float32", "float16"], 1)

    computed = Computed.from_facts(on_gpu(compute))
    assert [each.refusal for each in computed.steps if each.word] == [Refusal.ASSERTION]
    assert computed.untried == ("float16",)
