"""How fast a device is, what its data sheet promises, what it was before, and that one check at a time measures."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight.system.gpu import history, speed, turns
from preflight.system.gpu.cards import CARDS, card_called
from preflight.system.gpu.speed import Speed

torch = pytest.importorskip("torch")


def test_the_cpu_is_measured() -> None:
    found = Speed(**json.loads(json.dumps(speed.measure("cpu", ["float32", "float64", "float8", "int8", "nonsense"]))))
    assert set(found.figures) == {"float32", "float64", "float8_e4m3fn", "int8", "memory", "to device", "from device"}
    assert min(found.figures.values()) > 1e6
    assert found.torch == torch.__version__
    assert not found.refused


def test_a_product_that_takes_twice_as_long_is_half_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "multiply", lambda *_: time.sleep(0.02))
    once = speed.products("cpu", "float32")
    monkeypatch.setattr(speed, "multiply", lambda *_: time.sleep(0.04))
    assert 0.4 < speed.products("cpu", "float32") / once < 0.6
    assert once == pytest.approx(2 * 256**3 / 0.02, rel=0.2)


def test_what_cannot_be_measured_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "_int_mm")
    told = speed.measure("cpu", ["int8"])
    assert list(told["refused"]) == ["int8"]
    assert "memory" in told["figures"]


def test_the_best_of_several_times_counts() -> None:
    waits = iter([0.0, 0.0, 0.05, 0.01, 0.05, *[0.1] * 20])
    assert 0.01 <= speed.best(lambda: time.sleep(next(waits)), "cpu") < 0.04


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM 80 GB"),
        ("NVIDIA A10", "A10"),
        ("Tesla T4", "T4"),
        ("Tesla V100-SXM2-32GB", "V100 SXM2"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA A10G", None),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("", None),
    ],
)
def test_cards(name: str, card: str | None) -> None:
    found = card_called(name)
    assert (found.name if found else None) == card


def test_all_cards_are_plausible() -> None:
    for card in CARDS.values():
        assert card.source
        assert 1e11 < card.memory < 1e13
        assert all(5e12 < peak < 5e15 for peak in card.peaks.values())
        assert card.peaks.get("float16", 1e15) > card.peaks["float32"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return history.file()


def test_what_was_measured_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert history.earlier("GPU-1", "2.11") == []
    history.keep("GPU-1", "2.11", {"float32": 5e13})
    history.keep("GPU-2", "2.11", {"float32": 1e13})
    history.keep("GPU-1", "2.12", {"float32": 2e13})
    with cache.open("ab") as file:
        file.write(b'{"host": "torn')
    history.keep("GPU-1", "2.11", {"float32": 4e13})
    with cache.open("ab") as file:
        file.write(b'[]\n{"figures": 3}\n\xff\n')
    assert history.earlier("GPU-1", "2.11") == [{"float32": 5e13}, {"float32": 4e13}]
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    assert history.earlier("GPU-1", "2.11") == []


def test_only_the_last_are_looked_at(cache: Path) -> None:
    for number in range(history.MOST + 5):
        history.keep("GPU-1", "2.11", {"memory": float(number)})
    assert [each["memory"] for each in history.earlier("GPU-1", "2.11")] == list(map(float, range(5, history.MOST + 5)))


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    history.keep("GPU-1", "2.11", {"memory": 1.0})
    assert history.earlier("GPU-1", "2.11") == []


HOLDING = """
import sys
from pathlib import Path
from preflight.system.gpu import turns
with turns.alone_on([1, 0], Path(sys.argv[1]), 5) as alone:
    print(alone, flush=True)
    sys.stdin.read()
"""


def test_one_at_a_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with turns.alone_on([2], tmp_path, 0) as alone:
            assert alone
        with turns.alone_on([1, 2], tmp_path, 0.1) as alone:
            assert not alone
        other.stdin.close()
        with turns.alone_on([0, 1], tmp_path, 10) as alone:
            assert alone


def test_a_gpu_is_measured(on_gpu: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    found = Speed(**on_gpu(speed.measure, "cuda:0", ["float32", "tf32", "float16", "bfloat16", "float8", "int8"]))
    with capsys.disabled():
        print(f"\n{found.name}, {found.seconds:.1f} s")
        for name, value in found.figures.items():
            print(f"  {name:14} {value / 1e12:8.3f} T/s")
        print(found.refused or "")
    card = card_called(found.name)
    for name, value in found.figures.items():
        peak = card and (card.memory if name == speed.MEMORY else card.peaks.get(name))
        assert not peak or 0.2 * peak < value < 1.1 * peak, name
    assert found.figures["to device"] > 1e9
