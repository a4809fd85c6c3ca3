"""What CUDA_VISIBLE_DEVICES leaves, what CUDA itself shows, and what Slurm has given."""

from dataclasses import replace

import pytest

from preflight.system.gpu import selection
from preflight.system.gpu.facts import Cuda, Device, Gpus

DEVICES = tuple(Device(index=index, uuid=f"GPU-{letter}1") for index, letter in enumerate("abcc"))
SLICED = (
    Device(index=0, uuid="GPU-a1", sliced=True, slices=("MIG-s1", "MIG-t1")),
    Device(index=1, uuid="GPU-b1"),
)


@pytest.mark.parametrize(
    ("chosen", "shown", "problem"),
    [
        (None, [0, 1, 2, 3], ""),
        ("", [], ""),
        (" ", [], ""),
        ("-1", [], ""),
        ("NoDevFiles", [], "NoDevFiles is no device of this machine"),
        ("2, 0", [2, 0], ""),
        ("1,-1,0", [1], ""),
        ("0,9,1", [0], "9 is no device of this machine"),
        ("0,", [0], "an empty word is no device of this machine"),
        ("1,1", [], "1 is there twice"),
        ("GPU-a,1", [0, 1], ""),
        ("GPU-a1,0", [], "0 is there twice"),
        ("GPU-c", [], "GPU-c is no device of this machine"),
    ],
)
def test_the_visible_devices(chosen: str | None, shown: list[int], problem: str) -> None:
    visible = selection.visible(DEVICES, chosen)
    assert ([device.index for device in visible.devices], visible.problem) == (shown, problem)


@pytest.mark.parametrize(
    ("chosen", "number"), [(None, None), ("", 0), ("-1", 0), ("0", 1), ("0,-1,2", 1), ("GPU-a,GPU-b", 2), ("0,", 1)]
)
def test_the_most_that_a_selection_names(chosen: str | None, number: int | None) -> None:
    assert selection.most_named(chosen) == number


def test_slices_are_named_by_their_own_ids() -> None:
    visible = selection.visible(SLICED, "MIG-s,MIG-t1")
    assert [device.index for device in visible.devices] == [0, 0]
    assert visible.slices == 2
    assert selection.visible(SLICED, "MIG-s,MIG-s1").problem == "MIG-s1 is there twice"
    assert selection.visible(SLICED, None).slices == 1


def test_what_cuda_shows_counts_first() -> None:
    """Its order may be another than the driver's: the fastest first."""
    gpus = Gpus(devices=DEVICES[:2], environment={"CUDA_VISIBLE_DEVICES": "0"})
    assert [device.index for device in selection.of_job(gpus).devices] == [0]
    told = replace(gpus, library=Cuda(code=0, devices=("b1",)))
    assert [device.index for device in selection.of_job(told).devices] == [1]
    failed = replace(gpus, library=Cuda(code=999, devices=()))
    assert [device.index for device in selection.of_job(failed).devices] == [0]
    strangers = replace(gpus, library=Cuda(code=0, devices=("z1",)))
    assert [device.index for device in selection.of_job(strangers).devices] == [0]


def test_cuda_shows_a_slice() -> None:
    gpus = Gpus(devices=SLICED, library=Cuda(code=0, devices=("t1",)))
    assert [device.index for device in selection.of_job(gpus).devices] == [0]
    assert selection.of_job(gpus).slices == 1


@pytest.mark.parametrize(
    ("environment", "given"),
    [
        ({}, ("", 0)),
        ({"SLURM_GPUS_ON_NODE": "4", "SLURM_JOB_GPUS": "0"}, ("SLURM_GPUS_ON_NODE", 4)),
        ({"SLURM_JOB_GPUS": "2,3"}, ("SLURM_JOB_GPUS", 2)),
        ({"SLURM_JOB_GPUS": "2,3", "SLURM_STEP_GPUS": "3"}, ("SLURM_STEP_GPUS", 1)),
    ],
)
def test_what_slurm_has_given(environment: dict[str, str], given: tuple[str, int]) -> None:
    assert selection.granted(environment) == given
