"""The CUDA driver library: started in a child, whatever it does there."""

from pathlib import Path
from typing import Any

import pytest

from preflight.system.gpu import host, library

UUID = "0000000{}-1111-2222-3333-444444444444"


def started(in_world: Any, setup: str, limit: float = 20.0) -> Any:
    return in_world(setup, library.start, limit)


def test_it_starts(in_world: Any, nvidia_driver: Any) -> None:
    cuda = started(in_world, nvidia_driver(2))
    assert (cuda.code, cuda.error, cuda.newest, cuda.version) == (0, "", (13, 0), "580.159.04")
    assert cuda.file.endswith("/libcuda.so.580.159.04")
    assert cuda.devices == (UUID.format(0), UUID.format(1))


@pytest.mark.parametrize(
    ("scenario", "code", "error"),
    [
        ("802", 802, "CUDA_ERROR_802: system not yet initialized"),
        ("999", 999, "CUDA_ERROR_999: said so"),
        ("crash", None, "cuInit ends the process that asks"),
    ],
)
def test_it_does_not_start(scenario: str, code: int | None, error: str, *, in_world: Any, nvidia_driver: Any) -> None:
    cuda = started(in_world, nvidia_driver(1, cuda=scenario))
    assert (cuda.code, cuda.error, cuda.devices) == (code, error, ())


def test_it_hangs(in_world: Any, nvidia_driver: Any) -> None:
    cuda = started(in_world, nvidia_driver(1, cuda="hang"), limit=0.5)
    assert (cuda.code, cuda.error) == (None, "cuInit does not answer within 0.5 s")
    assert cuda.seconds < 5


@pytest.mark.parametrize(("content", "words"), [(None, "cannot open shared object file"), ("", "file too short")])
def test_it_does_not_load(content: str | None, words: str, tmp_path: Path, in_world: Any) -> None:
    if content is None and host.has_nvml():
        pytest.skip("this machine has a driver")
    if content is not None:
        (tmp_path / "libcuda.so.1").write_text(content)
    cuda = started(in_world, f"export LD_LIBRARY_PATH={tmp_path}")
    assert cuda.code is None
    assert cuda.file == ""
    assert words in cuda.error
