"""The checks of GPUs together: processes on the CPU stand in for devices, one of them faulty, and it is named."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Config, Gpu, Location
from preflight.model import Finding, Severity
from preflight.system import group
from preflight.system.gpu import collectives, gather, peers
from preflight.system.gpu.facts import Build, Device, Driver, Gpus
from preflight.system.gpu.peers import Pair
from preflight.system.group import Member, Phase
from preflight.worker.fixtures import fresh_within

AT = Location("foo.yaml", 9, "preflight.gpu")
FOUR = Gpus(
    build=Build(version="2.11.0+cu130", cuda="13.0"),
    driver=Driver.ANSWERS,
    devices=tuple(Device(index=index, name="A100", pci=f"0000:{index:02x}:00.0") for index in range(4)),
)
NEED = Gpu(count=4, at=AT)
NAMES = [f"GPU {index} (A100, 0000:{index:02x}:00.0)" for index in range(4)]


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("gpu_together")


@pytest.fixture
def found(checks: ModuleType, scratch: Path) -> Callable[..., list[Finding]]:
    """Return a function that has processes on the CPU add up together, and judges them."""
    pytest.importorskip("torch")

    def judge(number: int, deadline: float = 60) -> list[Finding]:
        devices = [f"cpu:{rank}" for rank in range(number)]
        return list(checks.judge_together(NEED, devices, deadline, FOUR, scratch))

    return judge


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def in_rank(rank: int, name: str, do: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    right = getattr(group, name)

    def instead(*arguments: Any) -> Any:
        if torch.distributed.is_initialized() and torch.distributed.get_rank() == rank:
            do()
        return right(*arguments)

    monkeypatch.setattr(group, name, instead)


def test_all_add_up(found: Callable[..., list[Finding]]) -> None:
    for number in (2, 4):
        finding = only(found(number))
        assert (finding.id, finding.severity) == ("gpu.together", Severity.INFO)
        assert finding.message.startswith(f"{number} GPUs add up together with ")


def test_one_dies(found: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    in_rank(3, "add_up", lambda: os.kill(os.getpid(), signal.SIGKILL), monkeypatch)
    finding = only(found(4))
    assert (finding.id, finding.found, finding.line) == ("gpu.rank-dies", "SIGKILL", 9)
    assert finding.message.startswith(f"the process of {NAMES[3]} dies while it has not begun")


def test_one_does_not_begin(found: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    in_rank(2, "add_up", lambda: time.sleep(600), monkeypatch)
    finding = only(found(4, deadline=6))
    assert finding.id == "gpu.rank-silent"
    assert finding.message == f"{NAMES[2]} has not begun to add up, and nothing more comes within 2.4 s"
    assert finding.cause == "3 others wait for it"


def test_one_hangs_in_the_sum_and_pairs_find_it(
    found: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    right, part = group.reduce, group.take_part
    mine: list[str] = []

    def take_part(rank: int, number: int, device: str, *more: Any) -> None:
        mine.append(device)
        part(rank, number, device, *more)

    def reduce(values: Any) -> None:
        if mine == ["cpu:1"]:
            time.sleep(600)
        right(values)

    monkeypatch.setattr(group, "take_part", take_part)
    monkeypatch.setattr(group, "reduce", reduce)
    finding = only(found(3, deadline=8))
    assert finding.id == "gpu.rank-silent"
    assert finding.message.startswith(f"{NAMES[1]} is adding up, and nothing more")


def test_no_group_forms(found: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "together", lambda _: time.sleep(600))
    finding = only(found(2, deadline=3))
    assert finding.id == "gpu.group-does-not-form"
    assert "GPU 0" not in finding.message


def test_no_network_to_meet_on(found: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth77")
    finding = only(found(2, deadline=10))
    assert finding.id == "gpu.group-does-not-form"
    assert "eth77" in finding.found
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    assert only(found(2)).id == "gpu.together"


def corrupt(rank: int, monkeypatch: pytest.MonkeyPatch, *, received: bool) -> None:
    import torch

    right = group.reduce

    def reduce(values: Any) -> None:
        wrong = torch.distributed.get_rank() == rank and values.numel() > 1
        part = values[rank] if values.ndim == 2 else values
        if wrong and not received:
            part[5] += 1
        right(values)
        if wrong and received:
            part[5] += 1

    monkeypatch.setattr(group, "reduce", reduce)


def test_wrong_sums(found: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as sending:
        corrupt(2, sending, received=False)
        finding = only(found(3))
    assert finding.id == "gpu.wrong-sum"
    assert finding.message == f"{NAMES[2]} adds wrong numbers to the sum of 3 GPUs"
    corrupt(0, monkeypatch, received=True)
    finding = only(found(3))
    assert finding.message == f"{NAMES[0]} receives a wrong sum of 3 GPUs"
    assert finding.found == "1 wrong element"


def test_one_is_slow(found: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    in_rank(1, "exchange", lambda: time.sleep(0.1), monkeypatch)
    together, slow = found(4)
    assert together.id == "gpu.together"
    assert (slow.id, slow.severity) == ("gpu.slow-rank", Severity.WARNING)
    assert slow.message.startswith(f"{NAMES[1]} exchanges with every other device at ")


def test_what_was_slow_once_is_not_slow(
    found: Callable[..., list[Finding]], checks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = {rank: {other: 100e9 for other in range(3) if other != rank} for rank in range(3)}
    answers = [fast | {2: {0: 10e9, 1: 10e9}}, fast]

    def meet(devices: list[str], *_: Any) -> list[Member]:
        pairs = answers.pop(0)
        return [Member(rank=rank, device="", phase=Phase.DONE, pairs=pairs[rank]) for rank in range(3)]

    monkeypatch.setattr(collectives, "meet", meet)
    assert only(found(3)).id == "gpu.together"
    assert not answers


def test_copies(checks: ModuleType) -> None:
    good = Pair(source=0, target=1, direct=True, bytes_per_second=2e10)
    assert not list(checks.judge_pairs(Gpu(p2p=True), [good], FOUR))
    finding = only(list(checks.judge_pairs(NEED, [good, replace(good, target=2, wrong=3)], FOUR)))
    assert finding.id == "gpu.copy-changed"
    assert finding.message == f"what is copied arrives changed from {NAMES[0]} to {NAMES[2]}"
    assert finding.found == "3 wrong numbers of 2,097,152"
    finding = only(list(checks.judge_pairs(NEED, [replace(good, error="CUDA error: peer access …")], FOUR)))
    assert (finding.id, finding.cause) == ("gpu.copy-fails", "CUDA error: peer access …")
    apart = replace(good, direct=False)
    assert not list(checks.judge_pairs(NEED, [apart], FOUR))
    assert only(list(checks.judge_pairs(Gpu(p2p=True), [apart], FOUR))).id == "gpu.no-peer"


def test_copies_in_a_child(checks: ModuleType, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    config, right = Config(gpu=NEED), peers.try_pairs
    monkeypatch.setattr(peers, "NUMBER", 1 << 12)
    monkeypatch.setattr(peers, "try_pairs", lambda names, *more: right(["cpu"] * len(names), *more))

    def run(seconds: float) -> list[Finding]:
        fresh = fresh_within(seconds)
        return list(checks.check_devices_copy_to_each_other(config, FOUR, fresh, scratch))

    assert not run(40)
    with monkeypatch.context() as changing:
        changing.setattr(peers, "copy", lambda there, arrived: arrived.copy_(there.roll(1)))
        assert only(run(40)).id == "gpu.copy-changed"
    monkeypatch.setattr(peers, "copy", lambda *_: time.sleep(600))
    finding = only(run(4))
    assert finding.id == "gpu.copy-fails"
    assert finding.message == "the copy from cpu to cpu hangs"


@pytest.mark.parametrize(
    ("config", "devices"),
    [
        (Config(gpu=Gpu(count=1)), 0),
        (Config(gpu=Gpu()), 0),
        (Config(gpu=Gpu(count=2)), 2),
        (Config(gpu=Gpu(count=8)), 4),
        (Config(gpu=Gpu(p2p=True)), 4),
        (Config(gpu=Gpu(), experiment={"trainer": {"devices": 4}}), 4),
        (Config(gpu=Gpu(count=4), experiment={"device": "cpu"}), 0),
    ],
)
def test_who_is_tried_together(config: Config, devices: int, checks: ModuleType) -> None:
    assert checks._together(config, FOUR) == [f"cuda:{index}" for index in range(devices)]


def test_nobody_is_tried_where_no_device_is_usable(checks: ModuleType, scratch: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="no device"):
        list(checks.check_devices_add_up_together(Config(gpu=NEED), Gpus(build=FOUR.build), scratch))
    assert not list(checks.check_devices_add_up_together(Config(gpu=Gpu(count=1)), Gpus(), scratch))


def test_an_import_that_has_used_cuda(checks: ModuleType, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    finding = only(list(checks.check_devices_add_up_together(Config(gpu=NEED), FOUR, scratch)))
    assert (finding.id, finding.severity) == ("gpu.not-tried-together", Severity.INFO)


def test_one_gpu_that_is_asked_for_peers(on_gpu: Any, checks: ModuleType, scratch: Path) -> None:
    gpus = gather.gather(Path())
    if len(gpus.devices) > 1:
        pytest.skip("there are several GPUs")
    config = Config(gpu=Gpu(p2p=True))
    assert not list(checks.check_devices_copy_to_each_other(config, gpus, fresh_within(40), scratch))
    assert not list(checks.check_devices_add_up_together(config, gpus, scratch))


def test_several_gpus_together(on_gpu: Any, checks: ModuleType, scratch: Path) -> None:
    gpus = gather.gather(Path())
    if len(gpus.devices) < 2:
        pytest.skip("there is one GPU only")
    config = Config(gpu=Gpu(count=len(gpus.devices)))
    assert not list(checks.check_devices_copy_to_each_other(config, gpus, fresh_within(60), scratch))
    assert only(list(checks.check_devices_add_up_together(config, gpus, scratch))).id == "gpu.together"
