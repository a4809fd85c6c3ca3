"""What a launch does where the environment is not what its lock says."""

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from preflight import config as configuration
from preflight.config import Config
from preflight.errors import UserError
from preflight.launch import surroundings

HAVE = f"packaging=={version('packaging')}\n"


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Return `configured(lock, mode)`: the config of a project that has this lock."""
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)

    def make(lock: str, mode: str) -> Config:
        (tmp_path / "requirements.txt").write_text(lock)
        text = f"preflight: {{packages: {{lock: requirements.txt}}, launch: {{environment: {mode}}}}}"
        return replace(configuration.load(None, text=text, root=tmp_path), root=tmp_path)

    return make


def test_what_is_as_locked_is_noted(configured: Callable[..., Config]) -> None:
    agreed = surroundings.agree(configured(HAVE, "refuse"))
    assert len(agreed.lock) == 64
    assert agreed.prefix
    assert agreed.lock != surroundings.agree(configured(HAVE + "# other\n", "refuse")).lock


def test_drift_refuses_with_what_differs(configured: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match=r"the environment is not what .*requirements.txt says: packaging"):
        surroundings.agree(configured("packaging==1.0\n", "refuse"))


def test_drift_can_be_ignored(configured: Callable[..., Config]) -> None:
    assert surroundings.agree(configured("packaging==1.0\n", "ignore")).lock


def test_without_a_lock_nothing_is_asked(tmp_path: Path) -> None:
    assert surroundings.agree(Config(root=tmp_path)).lock == ""


def test_another_word_is_refused(configured: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match="wanted commit, refuse or ignore"):
        configured(HAVE, "warn")
