"""What CUDA_VISIBLE_DEVICES leaves, and what the files of a torch tell."""

import sys
from pathlib import Path

import pytest

from preflight.system.gpu import gather as gpu
from preflight.system.gpu.gather import Device, Driver

DEVICES = tuple(Device(index=index, uuid=f"GPU-{letter}1") for index, letter in enumerate("abcc"))


@pytest.mark.parametrize(
    ("selection", "shown", "problem"),
    [
        (None, [0, 1, 2, 3], ""),
        ("", [], ""),
        (" ", [], ""),
        ("-1", [], ""),
        ("NoDevFiles", [], "NoDevFiles is no device of this machine"),
        ("2, 0", [2, 0], ""),
        ("1,-1,0", [1], ""),
        ("0,9,1", [0], "9 is no device of this machine"),
        ("1,1", [], "1 is there twice"),
        ("GPU-a,1", [0, 1], ""),
        ("GPU-a1,0", [], "0 is there twice"),
        ("GPU-c", [], "GPU-c is no device of this machine"),
    ],
)
def test_the_visible_devices(selection: str | None, shown: list[int], problem: str) -> None:
    visible = gpu.visible(DEVICES, selection)
    assert ([device.index for device in visible.devices], visible.problem) == (shown, problem)


def test_the_selection_is_a_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu.read_gpus().selection == ""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpu.read_gpus().selection is None


def test_a_machine_without_a_driver() -> None:
    gpus = gpu.read_gpus()
    if gpus.driver is Driver.ANSWERS:
        pytest.skip("this machine has a driver")
    assert not gpus.devices
    assert gpus.error


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("__version__ = '2.4.0+cu121'\ncuda: Optional[str] = '12.1'\nhip = None\n", ("2.4.0+cu121", "12.1", "")),
        ("import os\n__version__ = os.sep\nhip: str = '6.1'\n", ("", "", "6.1")),
        ("this is no Python", ("", "", "")),
    ],
)
def test_the_files_of_a_torch(
    text: str, facts: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "torch/version.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    build = gpu.read_torch_build()
    assert build is not None
    assert (build.version, build.cuda, build.hip) == facts
    assert build.file == str(tmp_path / "torch/version.py")


def test_the_version_of_a_loaded_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n"
    (tmp_path / "version").write_text(text + "GCC version: gcc version 12.2.0\n")
    monkeypatch.setattr(gpu, "DRIVER", tmp_path / "version")
    assert gpu.read_gpus().loaded == "535.104.05"
