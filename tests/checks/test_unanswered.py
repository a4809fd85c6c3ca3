"""What only a later version looks at is named, and nothing else is."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from preflight.model import Status
from preflight.testing import run_check


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("unanswered")


@pytest.mark.parametrize("name", ["seeds_of_a_command"])
def test_whole_sections_are_named(name: str, checks: ModuleType) -> None:
    with pytest.raises(pytest.skip.Exception, match="later version"):
        getattr(checks, f"check_{name}")()


def test_as_a_run_sees_it(tmp_path: Path) -> None:
    (result,) = run_check("unanswered.seeds-of-a-command", {"preflight": {"seeds": {"command": "true"}}}, root=tmp_path)
    assert result.status is Status.SKIPPED
    assert result.asked
