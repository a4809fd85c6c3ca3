import textwrap

import pytest

from preflight.system.amounts import Amounts
from preflight.system.code import parse_file
from preflight.system.demands import read_demands
from preflight.system.flow import Flow


@pytest.fixture
def demands(tmp_path):
    def read(*texts, **config):
        paths = []
        for number, text in enumerate(texts):
            path = tmp_path / f"file{number}.py"
            path.write_text(textwrap.dedent(text))
            paths.append(path)
        flow = Flow([parse_file(path) for path in paths])
        return read_demands(flow, Amounts(flow, lambda key: config.get(key[-1])))

    return read


def test_variables_that_must_be_set_are_known(demands):
    text = """
    import os
    from os import environ
    a = os.environ["A"], environ["B"], os.environ.get("C"), os.getenv("D")
    os.environ["E"] = "1"
    e = os.environ["E"]
    if a:
        f = os.environ["F"]
    os.environ.setdefault("G", "1")
    g = os.environ["G"]
    os.environ.update(H="1")
    h = os.environ["H"]
    """
    assert demands(text).variables == ("A", "B")


@pytest.mark.parametrize(
    "text", ["m.cuda()", "m.to('cuda')", "torch.device('cuda')", "torch.zeros(3, device='cuda:0')"]
)
def test_cuda_is_seen_where_nothing_asks_for_it(demands, text):
    assert demands(text).cuda
    assert not demands(text, "import torch\nok = torch.cuda.is_available()").cuda
    assert not demands(f"if fast:\n    {text}").cuda


@pytest.mark.parametrize("text", ["print('cuda')", "m.to('cpu')", "x == 'cuda'", "torch.device(cfg['device'])"])
def test_cuda_is_not_seen_elsewhere(demands, text):
    assert not demands(text).cuda


def test_calls_have_their_full_names(demands):
    found = demands("import wandb as w\nfrom torch.hub import load\nw.init()\nload('x')\n")
    assert {"wandb.init", "torch.hub.load"} <= found.calls
    assert "wandb.init" not in demands("import wandb\nwandb.init(mode='offline')").calls
