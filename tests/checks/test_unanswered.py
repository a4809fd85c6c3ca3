"""What only a later version looks at is named, and nothing else is."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from preflight.config import Config, Data, Files, Location, Values
from preflight.model import Status
from preflight.testing import run_check


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("unanswered")


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        (Data(path="x", open="all"), "open"),
        (Data(path="x", columns=("id",)), "columns"),
        (Data(path="x", missing=False), "missing"),
        (Data(path="x", values={"label": Values(unique=True)}), "values"),
        (Data(path="x", encoding="utf-8"), "encoding"),
    ],
)
def test_each_key_of_data_is_named(entry: Data, key: str, checks: ModuleType) -> None:
    with pytest.raises(pytest.skip.Exception, match=rf"data\.{key} is read"):
        checks.check_contents_of_data(Config(data=(Data(path="y"), entry)))


def test_the_entry_is_named(checks: ModuleType) -> None:
    entry = Data(path="x", open=3, encoding="utf-8", at=Location("foo.yaml", 3, "preflight.data[0]"))
    with pytest.raises(pytest.skip.Exception, match=r"preflight\.data\[0\]\.open, preflight\.data\[0\]\.encoding"):
        checks.check_contents_of_data(Config(data=(entry,)))


def test_what_is_answered_is_not_named(checks: ModuleType) -> None:
    answered = (Data(path="x", files=Files(min=1)), Data(path="y", sha256="0" * 64), Data(hub="bert"))
    checks.check_contents_of_data(Config(data=answered))


@pytest.mark.parametrize("name", ["idle_gpu", "seeds_of_a_command", "rehearsal"])
def test_whole_sections_are_named(name: str, checks: ModuleType) -> None:
    with pytest.raises(pytest.skip.Exception, match="later version"):
        getattr(checks, f"check_{name}")()


def test_as_a_run_sees_it(tmp_path: Path) -> None:
    (result,) = run_check("unanswered.rehearsal", {"preflight": {"rehearsal": {"command": "true"}}}, root=tmp_path)
    assert result.status is Status.SKIPPED
    assert result.asked
