"""Programs that cannot learn are told from what a few of their batches show; those that can are not spoken of."""

import re
from collections.abc import Callable

import pytest

from preflight.causes import learning
from preflight.model import Finding, Severity
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
        self.inner, self.outer, self.spare = nn.Linear(64, 16), nn.Linear(16, 10), nn.Linear(64, 10)
    def forward(self, x):
        return self.outer(self.inner(x).relu())

def new_model():
    return Reader()

def learn(model, optimizer, data, rate=1.0, shuffle=True):
    for x, y in DataLoader(data, batch_size=32, shuffle=shuffle):
        optimizer.zero_grad()
        (rate * nn.functional.cross_entropy(model(x), y)).backward()
        optimizer.step()

data = TensorDataset(images, labels)
model = new_model()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
"""
CYCLE = """
def tune():
    model = new_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(data, batch_size=32)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps={total})
    for epoch in range(9):
        for number, (x, y) in enumerate(loader):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            cycle.step()
            {leave}
tune()
"""
JUDGES = (
    learning.not_finite,
    learning.without_gradient,
    learning.rests,
    learning.ends_early,
    learning.one_class,
    learning.far_from_chance,
)
BROKEN = {
    "missing_value": (
        "images[:, 0] = float('nan')\nlearn(model, optimizer, data)\n",
        "not-finite",
        r"the loss is nan in backward pass 1.*missing value",
    ),
    "diverges": (
        "for group in optimizer.param_groups:\n    group['lr'] = 1e13\nlearn(model, optimizer, data)\n",
        "not-finite",
        r"the loss is (nan|inf) in backward pass \d",
    ),
    "other_model": (
        "model = new_model()\nlearn(model, optimizer, data)\n",
        "no-gradient",
        r"SGD learns nothing: none of its 6 parameters ever gets a gradient.*another model",
    ),
    # What a function has made is gone at the end of the program.
    "replaced_layer": (
        """
def tune():
    model = new_model()
    optimizer = torch.optim.Adam(model.outer.parameters())
    model.outer = nn.Linear(16, 10)
    learn(model, optimizer, data)
tune()
""",
        "no-gradient",
        r"Adam learns nothing: none of its 2 parameters ever gets a gradient.*another model",
    ),
    "replaced_head": (
        """
def tune():
    model = new_model()
    optimizer = torch.optim.Adam(model.parameters())
    model.outer = nn.Linear(16, 10)
    learn(model, optimizer, data)
tune()
""",
        "no-gradient",
        r"no optimizer steps outer\.weight, outer\.bias, and Adam holds 2 parameters of no module.*was replaced",
    ),
    "cut_graph_in_function": (
        """
def forward(self, x):
    return self.outer(self.inner(x).relu().detach())
Reader.forward = forward
def tune():
    model = new_model()
    learn(model, torch.optim.SGD(model.parameters(), lr=0.1), data)
tune()
""",
        "no-gradient",
        r"2 parameters of 6 never get a gradient: inner\.weight, inner\.bias.*detach",
    ),
    "cut_graph": (
        """
def forward(self, x):
    return self.outer(self.inner(x).relu().detach())
Reader.forward = forward
learn(model, optimizer, data)
""",
        "no-gradient",
        r"2 parameters of 6 never get a gradient: inner\.weight, inner\.bias.*detach",
    ),
    "times_zero": (
        "learn(model, optimizer, data, rate=0.0)\n",
        "no-gradient",
        r"all gradients of its 6 parameters are 0",
    ),
    "rate_of_zero": (
        "optimizer = torch.optim.Adam(model.parameters(), lr=0.0)\nlearn(model, optimizer, data)\n",
        "no-rate",
        r"Adam moves nothing: its learning rate is 0 in all 4 steps",
    ),
    "short_cycle": (
        CYCLE.format(total="9 * (len(data) // 32)", leave=""),
        "schedule-ends",
        r"OneCycleLR ends after 504 steps, and the program makes 513.*1,797 samples in batches of 32 are 57 batches",
    ),
    "one_class": (
        "labels[:] = 3\nlearn(model, optimizer, data)\n",
        "one-class",
        r"all labels of the training are 3, in \d+ samples from all over",
    ),
    "sorted": (
        """
order = labels.argsort()
data = TensorDataset(images[order], labels[order])
learn(model, optimizer, data, shuffle=False)
""",
        "sorted-labels",
        r"each batch of the training holds one class: 0, 9",
    ),
    "unscaled": (
        "learn(model, optimizer, TensorDataset(images * 4080, labels))\n",
        "start-loss",
        r"chance gives 2\.3 for 10",
    ),
}
HEALTHY = {
    "plain": "learn(model, optimizer, data)\n",
    # A rare class: few batches hold none of it.
    "rare": "labels[:] = (labels == 3) & (torch.arange(len(labels)) % 20 == 0)\nlearn(model, optimizer, data)\n",
    # The first step of a warm-up has a rate of 0.
    "warm_up": """
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 100)
for x, y in DataLoader(data, batch_size=32):
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
    scheduler.step()
""",
    # An optimizer that is there for the sake of its scheduler.
    "rate_alone": """
alone = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = torch.optim.lr_scheduler.ExponentialLR(alone, 0.9)
for x, y in DataLoader(data, batch_size=32):
    optimizer.param_groups[0]["lr"] = alone.param_groups[0]["lr"] / 10
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
    alone.step()
    scheduler.step()
""",
    "whole_cycle": CYCLE.format(total="9 * -(-len(data) // 32)", leave=""),
    "cycle_by_length": CYCLE.format(total="9 * len(loader)", leave=""),
    "cycle_of_some": CYCLE.format(total="9 * 20", leave="if number == 19: break"),
    # The gradients of the only step are computed inside of it.
    "closure": """
def tune():
    model = new_model()
    optimizer = torch.optim.LBFGS([*model.inner.parameters(), *model.outer.parameters()], max_iter=3)
    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images[:64]), labels[:64])
        loss.backward()
        return loss
    optimizer.step(closure)
tune()
""",
    # A part is learned by nobody on purpose, and another one waits for its turn.
    "some_layers": """
def tune():
    model, later = new_model(), new_model()
    learn(model, torch.optim.SGD([*model.outer.parameters(), *later.parameters()], lr=0.1), data)
tune()
""",
    "prompt": """
def tune():
    model, prompt, spare = new_model(), nn.Parameter(torch.zeros(64)), [torch.zeros(3, requires_grad=True)]
    optimizer = torch.optim.SGD([prompt, *model.outer.parameters(), *spare], lr=0.1)
    for x, y in DataLoader(data, batch_size=32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x + prompt), y).backward()
        optimizer.step()
    model.inner.requires_grad_(False)
tune()
""",
    # Layers that wait at first, in a function of their own.
    "thawed": """
def tune():
    model = new_model()
    model.inner.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        learn(model, optimizer, data)
        model.inner.requires_grad_(True)
tune()
""",
    # One network learns from another, which has an optimizer of its own.
    "two_networks": """
critic = nn.Sequential(nn.Linear(10, 1))
second = torch.optim.Adam(critic.parameters())
for x, y in DataLoader(data, batch_size=32):
    second.zero_grad()
    critic(model(x).detach()).mean().backward()
    second.step()
    optimizer.zero_grad()
    critic(model(x)).mean().backward()
    optimizer.step()
""",
    # Each loss of these is of one class, which is not that of the data.
    "adversary": """
critic = nn.Sequential(nn.Linear(64, 1))
second = torch.optim.Adam(critic.parameters())
for x, y in DataLoader(TensorDataset(images, torch.zeros(len(images))), batch_size=32):
    for given, wanted in ((x, torch.ones(32)), (torch.rand(len(x), 64), torch.zeros(32))):
        second.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(critic(given)[:, 0], wanted[:len(given)]).backward()
        second.step()
""",
    "contrast": """
for x, y in DataLoader(TensorDataset(images, torch.zeros(len(images))), batch_size=32):
    scores = model(x) @ model(x + 0.1).T
    optimizer.zero_grad()
    nn.functional.cross_entropy(scores, torch.zeros(len(x), dtype=torch.long)).backward()
    optimizer.step()
""",
    "ignored_labels": """
labels[::2] = -100
learn(model, optimizer, data)
""",
    "binary": """
for x, y in DataLoader(data, batch_size=32, shuffle=True):
    nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], (y > 4).float()).backward()
    optimizer.step()
""",
    "half": """
scaler = torch.amp.GradScaler("cpu")
for x, y in DataLoader(data, batch_size=32):
    scaler.scale(nn.functional.cross_entropy(model(x), y).half()).backward()
    scaler.step(optimizer)
    scaler.update()
""",
}


@pytest.fixture(scope="module")
def runs(rehearse_all: Callable[..., dict[str, Rehearsed]]) -> dict[str, Rehearsed]:
    programs = {name: DIGITS + text for name, text in HEALTHY.items()}
    programs |= {name: DIGITS + text for name, (text, *_) in BROKEN.items()}
    done = rehearse_all(programs, "failures", "loaders", "learning", "schedules")
    assert not {name: each.output for name, each in done.items() if each.code}
    assert not [each for run in done.values() for each in run.of("unable")]
    return done


def findings(done: Rehearsed) -> list[Finding]:
    return [found for judge in JUDGES for found in judge(done)]


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_learn_is_told(name: str, runs: dict[str, Rehearsed]) -> None:
    _, kind, words = BROKEN[name]
    found = {each.id: each for each in findings(runs[name])}
    assert f"learning.{kind}" in found
    said = found[f"learning.{kind}"]
    assert re.search(words, f"{said.message}\n{said.cause}", re.DOTALL), said
    assert said.file.endswith(f"{name}.py")
    assert not {key for key in found if key != f"learning.{kind}" and found[key].severity is Severity.ERROR}


@pytest.mark.parametrize("name", HEALTHY)
def test_what_can_is_not_spoken_of(name: str, runs: dict[str, Rehearsed]) -> None:
    assert runs[name].of("loss")
    assert "preflight" not in runs[name].output
    assert not findings(runs[name])
