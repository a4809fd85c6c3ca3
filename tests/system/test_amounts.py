import ast
import textwrap

import pytest

from preflight.system.amounts import Amounts
from preflight.system.code import parse_file
from preflight.system.flow import Flow

MEGABYTE = 512 * 512 * 4


@pytest.fixture
def read(tmp_path):
    """Return the amounts of a program, and the event of its call to `here`."""

    def amounts_of(text, **config):
        path = tmp_path / "train.py"
        path.write_text(textwrap.dedent(text))
        flow = Flow([parse_file(path)])
        calls = [event for event in flow.events if isinstance(event.node, ast.Call)]
        here = next((each for each in calls if flow.called(each).endswith("here")), None)
        return Amounts(flow, lambda key: config.get(key[-1])), here

    return amounts_of


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("here(20)", 20),
        ("n = 4\nhere(n * 5 + 1)", 21),
        ("here(cfg['epochs'])", 7),
        ("here(int(cfg['epochs']) // 2 - 1)", 2),
        ("here(cfg.get('epochs', 3))", 7),
        ("here(cfg.get('absent', 3))", 3),
        ("def f(n):\n    here(n)\nf(cfg['epochs'])", 7),
        ("def f(n):\n    here(n)\nf(1)\nf(2)", None),
        ("here(1.5)", None),
        ("here(True)", None),
        ("here(x)", None),
        ("here(cfg['name'])", None),
        ("here(cfg['flag'])", None),
        ("here(5 // 0)", 0),
        ("here(" + " * ".join(["1000"] * 30) + ")", None),
    ],
)
def test_numbers_are_followed_to_config_and_literals(read, text, number):
    amounts, here = read(text, epochs=7, name="x", flag=True)
    assert amounts.number(here.node.args[0], here) == number


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("here()", 1),
        ("for epoch in range(cfg['epochs']):\n    here()", 20),
        ("for epoch in range(1, cfg['epochs'] + 1):\n    here()", 20),
        ("for epoch in tqdm(range(5)):\n    for i, x in enumerate(range(3)):\n        here()", 15),
        ("while trainer.epoch < cfg['epochs']:\n    here()", 20),
        ("for batch in loader:\n    here()", 1),
        ("for epoch in range(20):\n    if epoch % 5 == 0:\n        here()", 4),
        ("for epoch in range(20):\n    if loss < best:\n        here()", 1),
        ("if cfg['x']:\n    for epoch in range(20):\n        here()", 20),
        ("def save():\n    here()\nfor epoch in range(20):\n    save()", 20),
        ("def save():\n    here()\n    save()\nsave()", 1),
        ("for epoch in range(-3):\n    here()", 1),
    ],
)
def test_loops_are_counted_as_far_as_they_are_known(read, text, times):
    amounts, here = read(text, epochs=20)
    assert amounts.repetitions(here) == times


@pytest.mark.parametrize(
    ("call", "size"),
    [
        ("np.zeros((1000, cfg['n']))", 80_000),
        ("np.zeros(1000, dtype=np.float32)", 4000),
        ("np.zeros((10, 10), dtype='int8')", 800),
        ("np.random.rand(10, 10)", 800),
        ("np.random.normal(size=(10, 10))", 800),
        ("np.full((10, 10), 3.5)", 800),
        ("torch.zeros(3, 512, 512)", 3 * MEGABYTE),
        ("torch.randn((3, 5), dtype=torch.float16)", 30),
        ("np.zeros(shape)", 0),
        ("np.zeros_like(x)", 0),
        ("len((3, 4))", 0),
        ("np.random.normal(0, 1)", 0),
    ],
)
def test_arrays_are_measured(read, call, size):
    amounts, here = read(f"import numpy as np, torch\nhere({call})", n=10)
    assert amounts.array(here.node.args[0], here) == size


@pytest.mark.parametrize(
    ("layers", "size"),
    [
        ("torch.nn.Linear(512, 512)", MEGABYTE),
        ("nn.Sequential(nn.Linear(512, cfg['width']), nn.ReLU(), nn.Dropout(0.1))", MEGABYTE),
        ("nn.Embedding(512, 512)", MEGABYTE),
        ("nn.Conv2d(16, 8, 3)", 16 * 8 * 9 * 4),
        ("nn.Linear(width, 2)", 0),
        ("nn.Linear(512, 512), nn.LSTM(3, 4)", 0),
        ("nn.Linear(512, 512), torchvision.models.resnet18()", 0),
        ("AutoModel.from_pretrained('x')", 0),
    ],
)
def test_a_model_is_measured_where_every_layer_is_known(read, layers, size):
    head = "import torch, torchvision\nfrom torch import nn\nfrom transformers import AutoModel\n"
    assert read(f"{head}here({layers})", width=512)[0].state == size


def test_what_optimizers_keep_is_known_of_adam(read):
    assert read("import torch\ntorch.optim.AdamW(p)")[0].uses_adam
    assert not read("import torch\ntorch.optim.SGD(p)")[0].uses_adam
    assert not read("import torch\ntorch.optim.Adam(p) if x else torch.optim.SGD(p)")[0].uses_adam


def test_programs_that_remove_files_are_known(read):
    assert read("import os\nos.remove(old)")[0].removes
    assert read("path.unlink()")[0].removes
    assert not read("names.remove('x')")[0].removes
