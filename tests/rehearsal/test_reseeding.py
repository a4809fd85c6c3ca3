"""How a program is told another seed."""

import sys

import pytest

from preflight.rehearsal.reseeding import reseed


@pytest.mark.parametrize(
    ("command", "other"),
    [
        ("python t.py --seed 17", "--seed 18"),
        ("python t.py --random-seed=17", "--random-seed=18"),
        ("python t.py train.seed=17 lr=17", "train.seed=18 lr=17"),
        ("python t.py {seed} --width 17", "18 --width 17"),
        ("python t.py 17", "18"),
        ("python t.py -s 17", "-s 18"),
    ],
)
def test_the_seed_stands_in_the_command(command: str, other: str) -> None:
    found = reseed(command, 17, None)
    assert found is not None
    assert found.command.words == (sys.executable, "t.py", *other.split())
    assert found.files == {}


@pytest.mark.parametrize("command", ["python t.py", "python t.py --width 17 --height 17", "python t.py 5"])
def test_nothing_shows_where_it_stands(command: str) -> None:
    assert reseed(command, 17, None) is None
    assert reseed(command, 17, ("/p/c.yaml", "width: 17\n")) is None


def test_the_seed_stands_in_the_config() -> None:
    text = "data: {split_seed: 17, size: 17}\nseed: 17  # of all\nseed_all: 170\n"
    found = reseed("python t.py", 17, ("/p/c.yaml", text))
    assert found is not None
    assert found.files == {"/p/c.yaml": "data: {split_seed: 18, size: 17}\nseed: 18  # of all\nseed_all: 170\n"}
