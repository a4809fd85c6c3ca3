"""Calls of a step: what is told, and the state in which the generators begin."""

import random
from pathlib import Path

import pytest

from preflight.system.steps import call_step


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "unseeded_step.py").write_text("import random\ndef step(seed):\n    return random.random()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "unseeded_step"


def test_what_comes_before_the_step_is_done_when_all_is_imported(module: str) -> None:
    first = call_step(f"{module}:step", 1, lambda: random.seed(0))
    assert first["leaves"][""]["shown"] == repr(random.Random(0).random())
    assert call_step(f"{module}:step", 1) != first


def test_plain_facts_come_back(module: str) -> None:
    facts = call_step(f"{module}:step", 1)
    assert list(facts["leaves"]) == [""]
    assert call_step(f"{module}:nothing", 1)["failed"] == "find"
    assert call_step("absent_thing:step", 1)["failed"] == "import"


def test_a_compiled_function_may_have_no_signature() -> None:
    assert call_step("builtins:int", 3)["leaves"][""]["shown"] == "3"
