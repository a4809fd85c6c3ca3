"""The check of how fast GPUs are: captured figures, and the CPU in place of a device."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Config, Gpu
from preflight.model import Finding, Severity
from preflight.system.gpu import gather, history, speed
from preflight.system.gpu.facts import Build, Device, Driver, Gpus, Process
from preflight.system.gpu.speed import Speed
from preflight.worker.fixtures import fresh_within

H100 = "NVIDIA H100 80GB HBM3"
# Measured on one, with torch 2.11 for CUDA 13.0.
FIGURES = {"float32": 51.3e12, "bfloat16": 738e12, "memory": 2.9e12, "to device": 55.4e9, "from device": 55.1e9}
FAST = Speed(device="", name=H100, torch="2.11.0+cu130", figures=FIGURES)
DEVICES = tuple(
    Device(index=index, uuid=f"GPU-{index}", name=H100, pci=f"0000:{index:02x}:00.0", memory=85_000_000_000)
    for index in range(4)
)
FOUR = Gpus(driver=Driver.ANSWERS, devices=DEVICES, build=Build(version="2.11.0+cu130", cuda="13.0"))
NAMES = [f"GPU {index} ({H100}, 0000:{index:02x}:00.0)" for index in range(4)]


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return load_check_file("gpu_speed")


def scaled(**factors: float) -> Speed:
    names = {name.replace(" ", "_"): name for name in FIGURES}
    figures = {name: FIGURES[name] * factors.get(word, 1.0) for word, name in names.items()}
    return replace(FAST, figures=figures)


def judged(
    checks: ModuleType, speeds: list[Speed], again: Speed | None = None, gpus: Gpus = FOUR, now: Any = DEVICES
) -> list[Finding]:
    measured = dict(enumerate(speeds))
    return list(checks.judge(measured, lambda number: again or measured[number], gpus, now))


def warnings(findings: list[Finding]) -> list[str]:
    return [finding.id for finding in findings if finding.severity is Severity.WARNING]


def test_four_alike(checks: ModuleType) -> None:
    speeds = [FAST, scaled(float32=0.95), scaled(memory=0.98), scaled(to_device=0.7)]
    for _ in range(3):
        findings = judged(checks, speeds)
        assert [finding.id for finding in findings] == ["gpu.speed"] * 4
    assert findings[0].message.startswith(
        f"{NAMES[0]}: float32 51.3 TFLOP/s (77% of its peak), bfloat16 738 TFLOP/s (75%"
    )
    assert findings[0].message.endswith("from device 55.1 GB/s; peaks by the H100 data sheet")


@pytest.mark.parametrize(
    ("factors", "worst", "found"),
    [
        ({"float32": 0.85}, "float32 at 85%", "43.6 TFLOP/s"),
        ({"memory": 0.5, "float32": 0.8}, "memory at 50%", "1.45 TB/s"),
        ({"from_device": 0.5}, "from device at 50%", "27.6 GB/s"),
    ],
)
def test_one_of_four_is_slow(factors: dict[str, float], worst: str, found: str, *, checks: ModuleType) -> None:
    findings = judged(checks, [FAST, FAST, scaled(**factors), FAST])
    assert warnings(findings) == ["gpu.slower-than-peers"]
    finding = next(finding for finding in findings if finding.severity is Severity.WARNING)
    assert finding.message == f"{NAMES[2]} is slower than the machine's other devices: {worst}"
    assert finding.found == found
    # What is slow is no measure for the next time.
    assert not history.earlier("GPU-2", FAST.torch)
    assert len(history.earlier("GPU-1", FAST.torch)) == 1


def test_what_is_fast_when_measured_again_is_not_slow(checks: ModuleType) -> None:
    assert not warnings(judged(checks, [FAST, FAST, scaled(float32=0.5), FAST], again=FAST))
    assert history.earlier("GPU-2", FAST.torch) == [FIGURES]


@pytest.mark.parametrize(
    ("value", "deviation", "is_slow"), [(46, 0, False), (44, 0, True), (41, 10, False), (39, 10, True)]
)
def test_how_far_is_far(value: float, deviation: float, is_slow: bool, checks: ModuleType) -> None:
    usual = {"float32": (50.0, float(deviation))}
    assert bool(checks.slow_names({"float32": value}, usual)) is is_slow


def test_devices_of_other_models_are_no_peers(checks: ModuleType) -> None:
    other = replace(scaled(float32=0.1), name="Tesla T4")
    assert not warnings(judged(checks, [FAST, other, FAST]))


def test_slower_than_before(checks: ModuleType) -> None:
    for _ in range(3):
        assert not warnings(judged(checks, [FAST]))
    assert not warnings(judged(checks, [scaled(float32=0.93)]))
    findings = judged(checks, [scaled(float32=0.8)])
    assert warnings(findings) == ["gpu.slower-than-before"]
    assert findings[-1].message == f"{NAMES[0]} is slower than itself on this host before: float32 at 80%"
    assert not warnings(judged(checks, [replace(scaled(float32=0.8), torch="2.12")]))
    command = findings[-1].fix.splitlines()[-1].split()
    assert command[0] == "rm"
    Path(command[1]).unlink()
    assert not warnings(judged(checks, [scaled(float32=0.8)]))


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"processes": (Process(pid=77, name="python"),)}, "process 77 python computes on it"),
        ({"throttle": 0x40}, "heat or its power supply slows it down"),
        ({"free": 80_000_000_000}, "5 GB of its memory are held by processes that cannot be seen"),
    ],
)
def test_a_busy_device_is_not_judged(facts: dict[str, Any], why: str, *, checks: ModuleType) -> None:
    slow = scaled(float32=0.2)
    busy = (replace(DEVICES[0], **facts), *DEVICES[1:])
    for gpus, now in ((FOUR, busy), (replace(FOUR, devices=busy), DEVICES)):
        findings = judged(checks, [slow, FAST, FAST], gpus=gpus, now=now)
        assert not warnings(findings)
        assert [finding.cause for finding in findings if finding.id == "gpu.busy"] == [why]
    assert not history.earlier("GPU-0", FAST.torch)


def test_power_at_its_limit_and_own_processes_are_no_matter(checks: ModuleType) -> None:
    # An H100 shows its power limit (4) under any large product.
    mine = replace(DEVICES[0], throttle=4, processes=(Process(pid=1, own=True, memory=4_000_000_000),))
    assert checks.why_busy(replace(mine, free=80_000_000_000)) == ""


def test_in_a_child_of_its_own(checks: ModuleType, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    right = speed.measure
    monkeypatch.setattr(speed, "measure", lambda _, *more: right("cpu", *more))
    config = Config(gpu=Gpu(count=2, perf=True, dtypes=("float32",)))

    def run(seconds: float = 30) -> list[Finding]:
        return list(checks.check_devices_are_fast(config, FOUR, fresh_within(seconds), scratch))

    assert [finding.id for finding in run()][:2] == ["gpu.speed"] * 2
    monkeypatch.setattr(speed, "measure", lambda *_: __import__("time").sleep(600))
    findings = run(1)
    assert [finding.id for finding in findings] == ["gpu.not-measured"] * 2
    assert "within 1 s" in findings[0].cause
    monkeypatch.setattr(speed, "measure", lambda *_: {"device": "", "refused": {"device": "CUDA error: busy"}})
    assert {finding.cause for finding in run()} == {"CUDA error: busy"}


def test_a_gpu(on_gpu: Any, checks: ModuleType, scratch: Path) -> None:
    config = Config(gpu=Gpu(perf=True, dtypes=("float32", "bfloat16")))
    for _ in range(2):
        findings = list(checks.check_devices_are_fast(config, gather.gather(Path()), fresh_within(60), scratch))
        assert not warnings(findings)
        assert findings[0].id == "gpu.speed"
