"""The questions of `rehearsal.learning`: programs that have a bad answer to one, and twins that have a good one."""

import re
from collections.abc import Callable

import pytest

from preflight.causes import answers
from preflight.rehearsal.program import Rehearsed

pytestmark = pytest.mark.slow

DIGITS = """
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

torch.manual_seed(0)
digits = load_digits()
images, labels = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)

class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.norm, self.outer = nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Linear(32, 10)
    def forward(self, x):
        {body}

model = Reader()
optimizer = torch.optim.Adam(model.parameters(), lr={rate})
data = TensorDataset(images, labels)
training = DataLoader(Subset(data, range(0, 1400)), batch_size=32, shuffle=True)
validation = DataLoader(Subset(data, range({start}, 1797)), batch_size=32)
for epoch in range(2):
    model.train()
    for x, y in training:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        hits = [model(x).argmax(1) == y for x, y in validation]
print(model.outer.weight.sum().item(), torch.rand(1).item())
"""
BODY = "return self.outer(self.norm(self.inner(x)).relu())"


def program(*, body: str = BODY, rate: float = 1e-3, start: int = 1400) -> str:
    return DIGITS.format(body=body, rate=rate, start=start)


BROKEN = {
    "repeatable": (
        program(body="return self.outer(nn.functional.dropout(self.inner(x)))"),
        r"Reader in eval mode gives two results for one batch",
    ),
    "independent": (
        program(body="return self.outer(self.inner(x).softmax(0))"),
        r"Reader mixes the samples of a batch: one was exchanged, and others change by 0\.\d+",
    ),
    "disjoint": (program(start=1300), r"100 of 497 samples that are not to be learned from are in the training set"),
    "overfit": (
        program(rate=0.0),
        r"one batch cannot be learned: its loss is 2\.\d+ at first and 2\.\d+ after 80 steps",
    ),
}


@pytest.fixture(scope="module")
def runs(rehearse_all: Callable[..., dict[str, Rehearsed]]) -> dict[str, Rehearsed]:
    probed = {name: text for name, (text, _) in BROKEN.items() if name != "overfit"}
    probed |= {"healthy": program(), "constant": program(body="return self.outer(self.inner(x) * 0)")}
    done = rehearse_all(
        probed, "failures", "loaders", "questions", questions={"ask": ["repeatable", "independent", "disjoint"]}
    )
    repeated = {"overfit": BROKEN["overfit"][0], "overfit_healthy": program(rate=1e-2)}
    done |= rehearse_all(repeated, "failures", "questions", questions={"ask": ["overfit"]})
    assert not {name: each.output for name, each in done.items() if each.code}
    assert not [each for run in done.values() for each in run.of("unable")]
    return done


@pytest.mark.parametrize("question", BROKEN)
def test_a_bad_answer_is_told(question: str, runs: dict[str, Rehearsed]) -> None:
    (found,) = answers.judge(question, runs[question])
    assert re.search(BROKEN[question][1], found.message), found


def test_an_output_that_ignores_its_input_is_told(runs: dict[str, Rehearsed]) -> None:
    (found,) = answers.judge("independent", runs["constant"])
    assert found.id == "learning.ignores-input"


@pytest.mark.parametrize("question", BROKEN)
def test_a_good_answer_is_not(question: str, runs: dict[str, Rehearsed]) -> None:
    done = runs["overfit_healthy" if question == "overfit" else "healthy"]
    assert answers.is_answered(question, done)
    assert not list(answers.judge(question, done))


def test_the_program_does_not_notice_the_questions(
    rehearse_all: Callable[..., dict[str, Rehearsed]], runs: dict[str, Rehearsed]
) -> None:
    alone = rehearse_all({"alone": program()}, "loaders")["alone"]
    assert runs["healthy"].output == alone.output != ""
