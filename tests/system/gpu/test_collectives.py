"""Processes that add up together: healthy ones, and one that is silent, dies, is slow or wrong, and is told apart."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight.system import group
from preflight.system.gpu import collectives, peers
from preflight.system.group import Member, Phase

torch = pytest.importorskip("torch")


def meet(folder: Path, number: int, seconds: float = 20) -> list[Member]:
    return collectives.meet([f"cpu:{rank}" for rank in range(number)], seconds, folder)


def in_rank(rank: int, do: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have one rank do something before it goes into a function of the module."""
    right = getattr(group, name)

    def instead(*arguments: Any) -> Any:
        if torch.distributed.get_rank() == rank:
            do()
        return right(*arguments)

    monkeypatch.setattr(group, name, instead)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_all_is_well(number: int, tmp_path: Path, nothing_left: Callable[[], list[str]]) -> None:
    members = meet(tmp_path, number)
    assert [member.rank for member in members] == list(range(number))
    for member in members:
        assert (member.phase, member.wrong, member.failed, member.blamed) == (Phase.DONE, 0, False, ())
        assert member.bytes_per_second > 0
        assert sorted(member.pairs) == [rank for rank in range(number) if rank != member.rank]
        assert min(member.pairs.values()) > 0
    assert not nothing_left()


def test_one_that_never_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_left: Callable[[], list[str]]
) -> None:
    right = group.take_part
    monkeypatch.setattr(group, "take_part", lambda rank, *more: time.sleep(600) if rank == 1 else right(rank, *more))
    began = time.monotonic()
    members = meet(tmp_path, 3, seconds=2)
    assert time.monotonic() - began < 20
    assert [member.phase for member in members] == [Phase.READY, Phase.NONE, Phase.READY]
    assert not nothing_left()


def test_one_that_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_rank(2, lambda: time.sleep(600), monkeypatch, "add_up")
    members = meet(tmp_path, 4, seconds=3)
    assert [member.phase for member in members] == [Phase.ENTERED, Phase.ENTERED, Phase.FORMED, Phase.ENTERED]


def test_one_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_rank(0, lambda: os.kill(os.getpid(), signal.SIGKILL), monkeypatch, "add_up")
    began = time.monotonic()
    members = meet(tmp_path, 3, seconds=60)
    assert time.monotonic() - began < 20
    assert members[0].ended == "SIGKILL"
    assert members[0].phase is Phase.FORMED
    assert not any(member.ended or member.phase is Phase.DONE for member in members[1:])


def test_one_that_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered\nand more")

    in_rank(1, fail, monkeypatch, "exchange_all")
    members = meet(tmp_path, 3)
    assert members[1].error == "RuntimeError: CUDA error: uncorrectable ECC error encountered"
    assert members[1].phase is Phase.REDUCED
    assert members[1].after == min(member.after for member in members if member.failed)


def test_one_that_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_rank(1, lambda: time.sleep(0.2), monkeypatch, "exchange")
    members = meet(tmp_path, 4)
    best = [max(member.pairs.values()) for member in members]
    assert best[1] < 0.5 * min(best[0], best[2], best[3])


def corrupted(monkeypatch: pytest.MonkeyPatch, rank: int, *, received: bool) -> None:
    right = group.reduce

    def corrupt(values: Any) -> None:
        if torch.distributed.get_rank() == rank and values.numel() > 1:
            (values[rank] if values.ndim == 2 else values)[5:9] += 1

    def reduce(values: Any) -> None:
        if not received:
            corrupt(values)
        right(values)
        if received:
            corrupt(values)

    monkeypatch.setattr(group, "reduce", reduce)


def test_one_that_sends_wrong_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corrupted(monkeypatch, 2, received=False)
    assert [(member.wrong, member.blamed) for member in meet(tmp_path, 4)] == [(4, (2,))] * 4


def test_one_that_receives_wrong_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corrupted(monkeypatch, 1, received=True)
    assert [member.wrong for member in meet(tmp_path, 3)] == [0, 4, 0]


def test_copies_between_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    facts = peers.try_pairs(["cpu", "cpu", "cpu"], 1, notes.append)
    assert [(each["source"], each["target"]) for each in facts["pairs"]] == [
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 2),
        (2, 0),
        (2, 1),
    ]
    assert {(each["wrong"], each["error"], each["direct"]) for each in facts["pairs"]} == {(0, "", True)}
    assert "the copy from cpu to cpu" in notes
    right = peers.copy

    def copy(there: Any, arrived: Any) -> None:
        right(there, arrived)
        arrived[77] ^= 1 << 40

    monkeypatch.setattr(peers, "copy", copy)
    assert {each["wrong"] for each in peers.try_pairs(["cpu", "cpu"], 1)["pairs"]} == {1}
    monkeypatch.setattr(peers, "copy", lambda *_: None)
    assert {each["wrong"] for each in peers.try_pairs(["cpu", "cpu"], 1)["pairs"]} == {peers.NUMBER}


def test_a_group_of_one_on_a_gpu(on_gpu: Callable[..., Any], tmp_path: Path) -> None:
    (member,) = collectives.meet(["cuda:0"], 60, tmp_path)
    assert (member.phase, member.wrong, member.failed) == (Phase.DONE, 0, False), member


def test_copies_on_one_gpu(on_gpu: Callable[..., Any]) -> None:
    facts = on_gpu(peers.try_pairs, ["cuda:0", "cuda:0"], 1)
    assert {(each["wrong"], each["error"]) for each in facts["pairs"]} == {(0, "")}
    assert min(each["bytes_per_second"] for each in facts["pairs"]) > 1e10
