"""The world of the job, and the way back from it."""

import sys
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight import config as configuration
from preflight.config import Config
from preflight.run import plan
from preflight.worker.collect import Context
from preflight.worker.request import is_named, may_name


@pytest.mark.parametrize("ends_well", [True, False])
def test_what_the_job_sees_is_taken_back(tmp_path: Path, ends_well: bool) -> None:
    """Path, modules and Python's cache are as before, also where a check file raises."""
    theirs = types.ModuleType("wave")
    context = Context(Config(), tmp_path, path=["/job"], modules={"wave": theirs, "not_there_before": theirs})
    import wave as ours

    before = (list(sys.path), sys.dont_write_bytecode)
    try:
        with context.as_the_job():
            assert (sys.path, sys.modules["wave"], sys.dont_write_bytecode) == (["/job"], theirs, True)
            del sys.modules["not_there_before"]
            if not ends_well:
                raise LookupError
    except LookupError:
        pass
    assert (list(sys.path), sys.dont_write_bytecode) == before
    assert sys.modules["wave"] is ours
    assert "not_there_before" not in sys.modules


@pytest.mark.parametrize(
    ("family", "name", "may"),
    [
        ("gpu", "gpu", True),
        ("gpu-health", "gpu", True),
        ("gpu-health", "gpu-health.devices-are-free", True),
        ("data", "data.is-there[a.b/c]", True),
        ("data", "database", False),
        ("database", "data", False),
        ("gpu", "gpu-health", False),
        ("data", "*.is-there", True),
    ],
)
def test_a_file_that_holds_nothing_of_what_is_named_is_left_alone(family: str, name: str, *, may: bool) -> None:
    assert may_name(family, name) is may
    if not may:
        assert not is_named(f"{family}.anything[x]", name)


WORDS = st.lists(st.sampled_from(["gpu", "gpu-health", "data", "is-there", ".", "[", "]", "*", "?", "x"]), max_size=6)


@given(st.sampled_from(["gpu", "gpu-health", "data"]), WORDS.map("".join), WORDS.map("".join))
def test_no_check_that_is_named_is_in_a_file_left_alone(family: str, rest: str, name: str) -> None:
    if is_named(f"{family}.{rest}", name):
        assert may_name(family, name)


def test_a_check_that_runs_the_program_has_time_for_it(tmp_path: Path) -> None:
    """The common deadline, and what each of the runs may take: the program, what goes on from it, both once more."""
    text = "preflight: {deadline: 20s, rehearsal: {command: python train.py, time: 100s}}"
    config = configuration.load(Path("foo.yaml"), text=text, root=tmp_path)
    planned = {each.id: each.deadline for each in plan(config)}
    assert planned["rehearsal.program-comes-to-its-end"] == 20 + 4 * (100 + 5)
    assert planned["config.keys-are-read"] == 20
