"""A model in the wrong mode is seen at work, and one in the right mode is not spoken of."""

import re
from collections.abc import Callable

import pytest

from preflight.causes.modes import wrong_modes
from preflight.rehearsal.program import Rehearsed

pytestmark = pytest.mark.slow

DIGITS = """
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
digits = load_digits()
images, labels = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)

class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 10)]
        self.layers = nn.Sequential(*layers)
    def forward(self, x):
        return self.layers(x)

model = Reader()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
training = DataLoader(TensorDataset(images[:1000], labels[:1000]), batch_size=50, shuffle=True)
validation = DataLoader(TensorDataset(images[1000:], labels[1000:]), batch_size=50)

def learn():
    for x, y in training:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

@torch.no_grad()
def evaluate():
    return sum((model(x).argmax(1) == y).sum() for x, y in validation)
"""
PROGRAMS = {
    "healthy": "for epoch in range(3):\n    model.train()\n    learn()\n    model.eval()\n    evaluate()\n",
    "no_eval": "for epoch in range(3):\n    learn()\n    evaluate()\n",
    "no_train": "for epoch in range(3):\n    learn()\n    model.eval()\n    evaluate()\n",
    # A mean over dropped-out models, on purpose: the rest of the model is in eval mode.
    "monte_carlo": """
for epoch in range(2):
    model.train()
    learn()
    model.eval()
    model.layers[3].train()
    evaluate()
""",
    # The statistics of batch norm are made anew by a pass without gradients.
    "statistics": """
for epoch in range(2):
    model.train()
    learn()
    torch.optim.swa_utils.update_bn(training, model)
    model.eval()
    evaluate()
""",
    # A frozen teacher, and batch norm frozen while the rest learns.
    "frozen_norm": """
for epoch in range(3):
    model.train()
    model.layers[1].eval()
    learn()
    model.eval()
    evaluate()
""",
    "no_modes": """
model = nn.Linear(64, 10)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    learn()
    evaluate()
""",
    "compiled": "model = torch.compile(model, backend='eager')\nfor epoch in range(2):\n    learn()\n    evaluate()\n",
}


@pytest.fixture(scope="module")
def runs(rehearse_all: Callable[..., dict[str, Rehearsed]]) -> dict[str, Rehearsed]:
    done = rehearse_all({name: DIGITS + text for name, text in PROGRAMS.items()}, "failures", "loaders", "modes")
    assert not {name: each.output for name, each in done.items() if each.code}
    assert not [each for name in PROGRAMS.keys() - {"compiled"} for each in done[name].of("unable")]
    return done


@pytest.mark.parametrize(
    ("name", "id", "words", "line"),
    [
        ("no_eval", "evaluated-in-training", "Reader is evaluated in training mode: BatchNorm1d", "argmax"),
        ("no_train", "trained-in-evaluation", "Reader stays in eval mode where it is trained from pass 2", "backward"),
    ],
)
def test_a_wrong_mode_is_named(name: str, id: str, words: str, line: str, runs: dict[str, Rehearsed]) -> None:
    (found,) = wrong_modes(runs[name])
    assert found.id == f"rehearsal.{id}"
    assert re.search(words, found.message)
    assert line in (DIGITS + PROGRAMS[name]).splitlines()[found.line - 1]


@pytest.mark.parametrize("name", sorted(PROGRAMS.keys() - {"no_eval", "no_train"}))
def test_what_is_meant_so_is_not_spoken_of(name: str, runs: dict[str, Rehearsed]) -> None:
    assert not list(wrong_modes(runs[name]))


def test_once_a_model_is_compiled_nothing_is_watched(runs: dict[str, Rehearsed]) -> None:
    assert [each["feature"] for each in runs["compiled"].of("unable")] == ["hooks"]
    assert not runs["compiled"].of("mode")
