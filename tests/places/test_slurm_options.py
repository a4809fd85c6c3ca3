"""The options of sbatch, as the config has them."""

import pytest

from preflight import config
from preflight.places.slurm_options import as_written


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1:00:00", "1:00:00"),
        ("12:30", "12:30"),
        ("2-00:00:00", "2-00:00:00"),
        ("010", "010"),
        ("4", "4"),
        ("${n}", 7),
        ("gpu:2", "gpu:2"),
        ("true", True),
        ("null", None),
    ],
)
def test_numbers_stay_as_they_are_written(written: str, meant: object) -> None:
    text = (
        f"n: 7\npreflight: {{launch: {{slurm: {{time: {written!r}}}}}}}"
        if "$" in written
        else (f"preflight: {{launch: {{slurm: {{time: {written}}}}}}}")
    )
    loaded = config.load(None, text=text)
    assert loaded.launch
    assert as_written(loaded.launch.slurm, text) == {"time": meant}
