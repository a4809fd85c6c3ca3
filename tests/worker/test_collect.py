"""The world of the job, and the way back from it."""

import sys
import types
from pathlib import Path

import pytest

from preflight.config import Config
from preflight.worker.collect import Context


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
