"""The checks of learning, as a run makes them."""

from pathlib import Path

import pytest

from preflight.errors import UserError
from preflight.model import Status
from preflight.testing import run_check

pytestmark = pytest.mark.slow

PROGRAM = """
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

digits = load_digits()
data = TensorDataset(torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target))
model = torch.nn.Linear(64, 10)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(100):
    for x, y in DataLoader(data, batch_size=64):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x.detach()), y).backward()
        optimizer.step()
"""


def test_what_is_asked_is_a_check_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PROGRAM.replace("lr=0.1", "lr=0.0"))
    section = {"command": "python train.py", "learning": ["overfit"]}
    (result,) = run_check("learning.answer-is-right[overfit]", {"preflight": {"rehearsal": section}}, root=tmp_path)
    assert result.status is Status.FAILED, result
    assert [found.id for found in result.findings] == ["learning.cannot-overfit"]


def test_a_run_that_does_not_come_to_it_is_skipped_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("raise KeyError('data')")
    section = {"command": "python train.py", "learning": ["overfit"]}
    (result,) = run_check("learning.answer-is-right[overfit]", {"preflight": {"rehearsal": section}}, root=tmp_path)
    assert result.status is Status.SKIPPED
    assert "KeyError: 'data'" in result.reason


def test_only_known_questions_are_asked(tmp_path: Path) -> None:
    section = {"command": "python train.py", "learning": ["overfitting"]}
    with pytest.raises(UserError, match="overfit, repeatable, independent, disjoint"):
        run_check("learning.answer-is-right", {"preflight": {"rehearsal": section}}, root=tmp_path)
