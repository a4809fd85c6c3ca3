"""What runs on what, by NVIDIA's tables."""

import pytest

from preflight.system.gpu import compatibility
from preflight.system.gpu.compatibility import Code


@pytest.mark.parametrize(
    ("driver", "newest", "cuda", "runs"),
    [
        # As the release notes have it: the same major version from 11 on, older ones always.
        ("580.159.04", (13, 0), "13.0", True),
        ("525.60.13", (12, 0), "12.8", True),
        ("470.82.01", (11, 4), "12.1", False),
        ("470.82.01", (11, 4), "11.8", True),
        ("575.51.03", (12, 9), "13.0", False),
        ("580.65.06", (13, 0), "10.2", True),
        ("440.33", (10, 2), "10.2", True),
        ("418.39", (10, 1), "10.2", False),
        # A compatibility package lets an older kernel module run a newer CUDA, which the driver then says.
        ("535.104.05", (13, 0), "13.0", True),
        # Where the driver does not say which CUDA it runs, its version has to do.
        ("535.104.05", None, "12.9", True),
        ("520.61.05", None, "12.0", False),
        ("418.39", None, "10.2", False),
        ("", None, "12.0", True),
    ],
)
def test_drivers_and_builds(driver: str, newest: tuple[int, int] | None, cuda: str, runs: bool) -> None:
    version = compatibility.version_of
    assert compatibility.runs(version(driver), newest, version(cuda)) is runs


@pytest.mark.parametrize(
    ("capability", "architectures", "code"),
    [
        ((9, 0), "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120", Code.NATIVE),
        # An RTX 3090 runs what was made for 8.0, and an L40S what was made for 8.6, not the other way round.
        ((8, 6), "sm_80", Code.NATIVE),
        ((8, 9), "sm_80 sm_86", Code.NATIVE),
        ((8, 0), "sm_86", Code.NONE),
        ((12, 0), "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90", Code.NONE),
        ((12, 0), "sm_80 sm_90 compute_90", Code.PTX),
        ((7, 0), "sm_75 sm_80 compute_80", Code.NONE),
        ((9, 0), "sm_90a", Code.NATIVE),
        ((10, 0), "sm_90a compute_90a", Code.NONE),
        ((10, 3), "sm_100f", Code.NATIVE),
        ((10, 3), "sm_100a", Code.NONE),
        ((12, 0), "sm_100f", Code.NONE),
        ((12, 0), "compute_100f", Code.NONE),
        ((9, 0), "nonsense", Code.NONE),
    ],
)
def test_devices_and_code(capability: tuple[int, int], architectures: str, code: Code) -> None:
    assert compatibility.code_for(capability, architectures.split()) is code


def test_old_drivers_compile_no_newer_ptx() -> None:
    assert compatibility.compiles_ptx((12, 4), (12, 1))
    assert not compatibility.compiles_ptx((12, 0), (12, 4))
    assert compatibility.compiles_ptx(None, (12, 4))


def test_the_words_for_versions() -> None:
    assert compatibility.oldest_driver((12, 8)) == "525.60.13"
    assert compatibility.oldest_driver((11, 8)) == "450.80.02"
    assert compatibility.oldest_driver((10, 2)) == "440.33"
    assert compatibility.oldest_driver((99, 0)) == ""
    assert compatibility.first_cuda((12, 0)) == "12.8"
    assert compatibility.last_cuda((7, 0)) == "12.9"
    assert compatibility.last_cuda((9, 0)) == ""
    assert compatibility.version_of("13.0.1+cu") == (13, 0, 1)
    assert compatibility.version_of("") == ()
