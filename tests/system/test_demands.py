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


@pytest.mark.parametrize(
    "text",
    [
        "subprocess.run(['ffmpeg', '-i', x])",
        "subprocess.check_call(['ffmpeg'])",
        "subprocess.run('ffmpeg -i x', shell=True)",
        "os.system(f'ffmpeg -i {x}')",
        "subprocess.Popen(('ffmpeg', x))",
        "command = 'ffmpeg -i x'\nos.popen(command)",
    ],
)
def test_commands_are_seen(demands, text):
    assert demands(f"import os, subprocess\n{text}").commands == ("ffmpeg",)
    assert demands(f"import os, subprocess\nif fast:\n    {text.splitlines()[-1]}").commands == ()


@pytest.mark.parametrize(
    "text",
    ["subprocess.run([sys.executable, 'x'])", "subprocess.run(command)", "os.system(x + ' -i')", "m.run('a b')"],
)
def test_commands_of_unknown_name_are_passed_over(demands, text):
    assert demands(f"import os, subprocess, sys\n{text}").commands == ()


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("os.environ['MASTER_PORT'] = '29500'", "29500"),
        ("os.environ['MASTER_PORT'] = str(cfg['port'])", ("port",)),
        ("os.environ.setdefault('MASTER_PORT', '29500')", "29500"),
        ("os.environ.update(MASTER_PORT=str(cfg['port']))", ("port",)),
        ("dist.init_process_group('gloo', init_method='tcp://127.0.0.1:29500')", "29500"),
        ("dist.init_process_group('gloo', init_method=f\"tcp://127.0.0.1:{cfg['port']}\")", ("port",)),
        ("dist.TCPStore('localhost', cfg['port'], 2)", ("port",)),
        ("socket.socket().bind(('', 29500))", "29500"),
        ("HTTPServer(('', cfg['port']), Handler)", ("port",)),
    ],
)
def test_ports_are_seen(demands, text, port):
    head = "import os, socket\nimport torch.distributed as dist\nfrom http.server import HTTPServer\n"
    assert [origin.parts for origin in demands(head + text).ports] == [(port,)]


@pytest.mark.parametrize(
    "text", ["s.connect(('', 80))", "port = 29500", "dist.init_process_group(init_method='env://')"]
)
def test_other_numbers_are_no_ports(demands, text):
    assert demands(f"import torch.distributed as dist\n{text}").ports == ()


LOADER = """
import torch
from torch.utils.data import DataLoader
class Pictures:
    def __getitem__(self, index):
        return torch.zeros(3, cfg["size"], cfg["size"])
DataLoader(Pictures(), batch_size=16, num_workers=cfg["workers"])
"""


def test_workers_and_what_they_hold_ready_are_counted(demands):
    found = demands(LOADER, size=512, workers=8)
    assert (found.workers, found.batches) == (8, 3 * 512 * 512 * 4 * 16 * 2 * 8)
    assert (demands(LOADER, workers=8).batches, demands(LOADER).workers) == (0, 0)


def test_threads_and_arrays_are_counted(demands):
    text = "import numpy, torch\nThreadPoolExecutor(max_workers=4)\ntorch.set_num_threads(cfg['n'])\nnumpy.zeros(10**9)"
    assert demands(text, n=40).threads == 40
    assert demands("import numpy\nx = numpy.zeros((1000, 1000))").array == 8_000_000
    assert demands("import numpy\nif big:\n    x = numpy.zeros((1000, 1000))").array == 0


@pytest.mark.parametrize(
    ("text", "builds"),
    [
        ("import torch\nm = torch.compile(m)", True),
        ("from torch.utils.cpp_extension import load_inline\nload_inline('x')", True),
        ("import ctypes, tempfile\nctypes.CDLL(tempfile.mkdtemp() + '/k.so')", True),
        ("import ctypes\nctypes.CDLL('libc.so.6')", False),
        ("import re\nre.compile('x')", False),
    ],
)
def test_programs_that_build_code_are_known(demands, text, builds):
    assert demands(text).builds == builds
