"""Small real programs with one defect each: its true cause is named, and the mended program fails of nothing."""

import re
from collections.abc import Callable
from typing import NamedTuple

import pytest

from preflight.causes.known import KNOWN
from preflight.causes.rehearsals import why
from preflight.discovery import builtin
from preflight.rehearsal.program import Rehearsed

DIGITS = """
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
digits = load_digits()
images, labels = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
data = TensorDataset(images, labels)
model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

def learn(batches):
    for x, y in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
"""


class Case(NamedTuple):
    """A program, what stands in it in place of what when it is mended, and what is said of it until then."""

    program: str
    broken: str
    mended: str
    id: str
    words: str
    line: str = ""


CASES = {
    "last_batch_of_one": Case(
        DIGITS
        + """
model = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
data = TensorDataset(images[:961], labels[:961])
learn(DataLoader(data, batch_size=32, shuffle=True))
""",
        "shuffle=True",
        "shuffle=True, drop_last=True",
        "last-batch-of-one",
        r"the last batch of 961 samples with batch size 32 holds one sample, on which BatchNorm1d `1` fails.*drop_last",
        "cross_entropy",
    ),
    "hidden_state_of_full_batches": Case(
        DIGITS
        + """
reader = nn.GRU(8, 16, batch_first=True)
hidden = torch.zeros(1, 50, 16)
for x, y in DataLoader(data, batch_size=50):
    reader(x.view(-1, 8, 8), hidden)
""",
        "x.view(-1, 8, 8), hidden",
        "x.view(-1, 8, 8), hidden[:, :len(x)]",
        "last-batch-size",
        r"the last batch of 1,797 samples with batch size 50 holds 47 samples, the program expects 50",
        "reader(x",
    ),
    "label_range": Case(
        DIGITS + "labels += 1\nlearn(DataLoader(data, batch_size=64))\n",
        "labels += 1",
        "",
        "label-range",
        r"label 10 is out of range: the model gives 10 classes \(0\.\.9\).*labels run from 1 to 10.*subtracting 1",
        "cross_entropy",
    ),
    "token_range": Case(
        DIGITS
        + "table = nn.Embedding(16, 4)\nfor x, y in DataLoader(data, batch_size=64):\n    table((x * 16).long())\n",
        "nn.Embedding(16",
        "nn.Embedding(17",
        "index-range",
        r"index 16 is out of range: Embedding has 16 rows",
        "table(",
    ),
    "position_range": Case(
        DIGITS
        + """
class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.pos_embed = nn.Embedding(32, 4)
    def forward(self, x):
        return self.pos_embed(torch.arange(x.shape[1]))
reader = Reader()
for x, y in DataLoader(data, batch_size=64):
    reader(x)
""",
        "nn.Embedding(32",
        "nn.Embedding(64",
        "index-range",
        r"a sequence is longer than the model has positions: Embedding `pos_embed` has 32 rows",
        "self.pos_embed(",
    ),
    "wrong_input": Case(
        DIGITS + "learn(DataLoader(TensorDataset(images[:, 1:], labels), batch_size=64))\n",
        "images[:, 1:]",
        "images",
        "shape",
        r"Linear `0` takes 64 values of a sample and is given 63",
        "cross_entropy",
    ),
    "wrong_channels": Case(
        DIGITS + "nn.Conv2d(3, 4, 3)(images[:8].view(8, 1, 8, 8))\n",
        "Conv2d(3",
        "Conv2d(1",
        "shape",
        r"Conv2d takes 3 channels and is given 1",
    ),
    "unequal_samples": Case(
        DIGITS
        + """
class Cut(torch.utils.data.Dataset):
    def __len__(self):
        return 100
    def __getitem__(self, index):
        return images[index][: int(labels[index]) + 1]
for x in DataLoader(Cut(), batch_size=4, num_workers=2):
    pass
""",
        "[: int(labels[index]) + 1]",
        "",
        "unequal-samples",
        r"samples of unequal shape are to be one batch: \[\d+\] and \[\d+\].*collate_fn",
    ),
    "lambda_in_model": Case(
        DIGITS + "model.act = lambda x: x\nlearn(DataLoader(data, batch_size=64))\ntorch.save(model, 'whole.pt')\n",
        "torch.save(model,",
        "torch.save(model.state_dict(),",
        "unpicklable",
        r"<lambda>.* cannot be pickled, and so the checkpoint is not saved.*state_dict",
        "torch.save",
    ),
    "namespace_in_checkpoint": Case(
        DIGITS
        + """
import argparse
settings = argparse.Namespace(lr=0.1)
torch.save({"model": model.state_dict(), "settings": settings}, "namespace.pt")
torch.load("namespace.pt")
""",
        '"settings": settings',
        '"settings": vars(settings)',
        "weights-only",
        r"the checkpoint holds argparse.Namespace, which torch.load refuses: weights_only.*weights_only=False",
        "torch.load",
    ),
    "data_parallel_checkpoint": Case(
        DIGITS + "model.load_state_dict({f'module.{k}': v for k, v in model.state_dict().items()})\n",
        "module.{k}",
        "{k}",
        "state-prefix",
        r"the prefix module\. in its names",
    ),
    "headless_plot": Case(
        DIGITS
        + """
learn(DataLoader(data, batch_size=64))
from matplotlib import pyplot
pyplot.switch_backend("TkAgg")
pyplot.savefig("loss.png")
""",
        "TkAgg",
        "Agg",
        "no-display",
        r"TkAgg needs a display.*headless.*MPLBACKEND=Agg",
        "switch_backend",
    ),
    "logger_closed_twice": Case(
        DIGITS
        + """
log = open("log.txt", "w")
for epoch in range(2):
    learn(DataLoader(data, batch_size=64))
    log.write("epoch")
    log.close()
""",
        "    log.close()",
        "log.close()",
        "closed-file",
        r"writes to a file that it has closed before",
        'log.write("epoch")',
    ),
    "results_as_json": Case(
        DIGITS + "import json\njson.dump({'loss': images.mean()}, open('r.json', 'w'))\n",
        "images.mean()",
        "images.mean().item()",
        "not-json",
        r"a Tensor is written as JSON.*\.item\(\)",
        "json.dump",
    ),
    "results_as_yaml": Case(
        DIGITS + "import yaml\nyaml.safe_dump({'loss': images.numpy().mean()}, open('r.yaml', 'w'))\n",
        "images.numpy().mean()",
        "images.mean().item()",
        "not-yaml",
        r"a np\.float32 is written as YAML.*\.item\(\)",
        "yaml.safe_dump",
    ),
    "without_launcher": Case(
        DIGITS + "from torch import distributed\ndistributed.init_process_group('gloo')\n",
        "distributed.init_process_group('gloo')",
        "learn(DataLoader(data, batch_size=64))",
        "no-launcher",
        r"RANK is not set.*torchrun",
        "init_process_group",
    ),
    "nccl_without_gpu": Case(
        DIGITS
        + "from torch import distributed\n"
        + "distributed.init_process_group('nccl', rank=0, world_size=1, store=distributed.HashStore())\n",
        "'nccl'",
        "'gloo'",
        "no-nccl",
        r"NCCL.*needs GPUs.*gloo",
        "init_process_group",
    ),
    "no_folder": Case(
        DIGITS + "torch.save(model.state_dict(), 'runs/one/last.pt')\n",
        "runs/one/",
        "",
        "no-folder",
        r"the folder runs/one is not there, and the program saves into it",
        "torch.save",
    ),
    "relative_path_after_a_change_of_folder": Case(
        DIGITS
        + """
import os
os.makedirs("runs/b", exist_ok=True)
open("settings.txt", "w").close()
os.chdir("runs/b")
open("settings.txt").close()
""",
        'os.chdir("runs/b")',
        "",
        "moved",
        r"settings\.txt is looked for in runs/b.*os\.chdir",
        "open",
    ),
    "name_of_all_settings": Case(
        DIGITS
        + """
from pathlib import Path
name = "-".join(f"setting{number}={number}" for number in range(40))
Path("sweeps", name).mkdir(parents=True, exist_ok=True)
""",
        "range(40)",
        "range(4)",
        "name-too-long",
        r"longer than file systems take: sweeps/setting0=0-.*255 bytes",
        "mkdir",
    ),
    "parent_that_is_a_file": Case(
        DIGITS
        + """
from pathlib import Path
Path("notes").write_text("")
Path("notes/one/two").mkdir(parents=True, exist_ok=True)
""",
        "notes/one/two",
        "noted/one/two",
        "raises",
        r"NotADirectoryError",
        "mkdir",
    ),
    "record_that_is_cut_off": Case(
        DIGITS
        + """
import json
from pathlib import Path
def read(folder):
    for path in sorted(Path(folder).iterdir()):
        json.loads(path.read_text())
Path("records").mkdir(exist_ok=True)
Path("records/1.txt").write_text("{}")
Path("records/2.txt").write_text('{"a": ')
read("records")
""",
        "'{\"a\": '",
        "'{\"a\": 1}'",
        "raises",
        r"JSONDecodeError.* raises it in read, where path is \S*records/2\.txt",
        "json.loads",
    ),
    "evaluation_crashes": Case(
        DIGITS
        + """
learn(DataLoader(data, batch_size=64))
with torch.no_grad():
    accuracy = {"train": 1.0}["val"]
""",
        '["val"]',
        '["train"]',
        "raises",
        r"the program fails: KeyError: 'val'.*evaluation_crashes.py:\d+ raises it",
        '["val"]',
    ),
    "caught_and_exit": Case(
        DIGITS
        + """
import sys
def main():
    learn(DataLoader(TensorDataset(images[:, 1:], labels), batch_size=64))
try:
    main()
except Exception as problem:
    print("failed:", problem)
    sys.exit(1)
""",
        "images[:, 1:]",
        "images",
        "shape",
        r"takes 64 values of a sample and is given 63",
        "cross_entropy",
    ),
    "deterministic": Case(
        DIGITS + "torch.use_deterministic_algorithms(True)\ntorch.zeros(4).put_(torch.tensor([0]), torch.ones(1))\n",
        "torch.use_deterministic_algorithms(True)\n",
        "",
        "deterministic",
        r"put_ has no deterministic version",
    ),
    "hidden_state_over_steps": Case(
        DIGITS
        + """
state = torch.zeros(16, requires_grad=True)
for x, y in DataLoader(data, batch_size=64):
    state = (state * model[0](x).mean(0))
    state.sum().backward()
""",
        "    state.sum().backward()",
        "    state.sum().backward()\n    state = state.detach()",
        "graph-twice",
        r"backward goes through one graph for the second time.*detach",
        "backward()",
    ),
    "empty_dataset": Case(
        DIGITS + "learn(DataLoader(TensorDataset(images[:0], labels[:0]), shuffle=True))\n",
        "images[:0], labels[:0]",
        "images, labels",
        "empty-data",
        r"the dataset is empty",
        "DataLoader(",
    ),
    "cuda_in_worker": Case(
        DIGITS
        + """
class OnGpu(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, index):
        if torch.utils.data.get_worker_info() is not None:
            torch.cuda._is_in_bad_fork = lambda: True
            torch.cuda._lazy_init()
        return images[index]
for x in DataLoader(OnGpu(), batch_size=4, num_workers=1):
    pass
""",
        "num_workers=1",
        "num_workers=0",
        "cuda-fork",
        r"CUDA is used in a forked worker.*spawn",
        "_lazy_init",
    ),
    "thread_fails": Case(
        DIGITS
        + """
import sys, threading
seen = []
thread = threading.Thread(target=lambda: seen.append({"a": 1}["b"]))
thread.start()
thread.join()
sys.exit(0 if seen else 3)
""",
        '["b"]',
        '["a"]',
        "raises",
        r"KeyError: 'b'",
        '["b"]',
    ),
    "divides_by_batches": Case(
        DIGITS
        + """
batches = DataLoader(data, batch_size=64)
for number, (x, y) in enumerate(batches):
    if number % (len(batches) // 10) == 0:
        print(number)
""",
        "(len(batches) // 10)",
        "max(1, len(batches) // 10)",
        "too-few",
        r"divides by zero, maybe since its passes are this short",
        "len(batches)",
    ),
    "asks": Case(
        DIGITS + "import sys\nsys.stdin = open('/dev/null')\nname = input('name of the run? ')\n",
        "input('name of the run? ')",
        "'digits'",
        "asks-input",
        r"the program asks for input",
        "input(",
    ),
    "usage": Case(
        DIGITS
        + """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.parse_args()
""",
        "required=True",
        "default='digits'",
        "usage",
        r"the command line is refused: the following arguments are required: --data",
    ),
    "labels_with_fraction": Case(
        DIGITS + "learn(DataLoader(TensorDataset(images, labels.float()), batch_size=64))\n",
        "labels.float()",
        "labels",
        "dtype",
        r"the labels of a cross entropy are Float.*long\(\)",
        "cross_entropy",
    ),
    "sample_of_nothing": Case(
        DIGITS
        + """
class Found(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, index):
        return images[index] if index else None
for x in DataLoader(Found(), batch_size=4):
    pass
""",
        "images[index] if index else None",
        "images[index]",
        "not-a-batch",
        r"a sample holds a NoneType",
    ),
    "late_import": Case(
        DIGITS + "def report():\n    import nothing_of_that_name\nreport()\n",
        "    import nothing_of_that_name",
        "    import json",
        "missing-module",
        r"nothing_of_that_name is not installed, and the program imports it while it runs.*pip install",
        "import nothing",
    ),
    "worker_dies": Case(
        DIGITS
        + """
import os
class Odd(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, index):
        return os.abort() if index == 5 else images[index]
for x in DataLoader(Odd(), batch_size=4, num_workers=1):
    pass
""",
        "os.abort() if index == 5 else images[index]",
        "images[index]",
        "worker-dies",
        r"a worker of the DataLoader dies without an exception",
    ),
    "worker_dies_while_it_sends": Case(
        DIGITS
        + """
import os, time
class Odd(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, index):
        return {"when": When(), "image": images[index]} if index < 5 else self.end(index)
    def end(self, index):
        time.sleep(0.2)
        os.closerange(3, 256)
        time.sleep(1)
        os.abort()
class When:
    def __setstate__(self, state):
        time.sleep(0.6)
    def __getstate__(self):
        return "later"
for x in DataLoader(Odd(), batch_size=4, num_workers=1, collate_fn=list):
    pass
""",
        "self.end(index)",
        "{}",
        "worker-dies",
        r"a worker of the DataLoader dies without an exception",
    ),
    "whole_model_of_another_program": Case(
        DIGITS
        + """
import pickle, sys, types
other = types.ModuleType("other")
sys.modules["other"] = other
other.Reader = type("Reader", (), {"__module__": "other"})
text = pickle.dumps(other.Reader())
del other.Reader
pickle.loads(text)
""",
        "del other.Reader",
        "",
        "not-importable",
        r"Reader was pickled by its name in other, and is not there",
        "pickle.loads",
    ),
    "memory": Case(
        DIGITS + "everything = torch.empty(10**15)\n",
        "10**15",
        "10**3",
        "memory",
        r"asks for \d+ bytes of memory at once",
        "torch.empty",
    ),
}


@pytest.fixture(scope="module")
def runs(rehearse_all: Callable[..., dict[str, Rehearsed]]) -> dict[str, Rehearsed]:
    programs = {}
    for name, case in CASES.items():
        assert case.program.count(case.broken) == 1, name
        programs[name] = case.program
        programs[f"{name}_mended"] = case.program.replace(case.broken, case.mended)
    return rehearse_all(programs, "failures", "loaders")


@pytest.mark.parametrize("name", CASES)
def test_the_true_cause_is_named(name: str, runs: dict[str, Rehearsed]) -> None:
    case, done = CASES[name], runs[name]
    found = why(done)
    assert found is not None, done.output
    said = f"{found.message}\n{found.cause}\n{found.fix}"
    assert found.id == f"rehearsal.{case.id}", said
    assert re.search(case.words, said, re.DOTALL), said
    if case.line:
        lines = case.program.splitlines()
        assert found.file.endswith(f"{name}.py"), said
        assert case.line in lines[found.line - 1]


@pytest.mark.parametrize("name", CASES)
def test_mended_it_fails_of_nothing(name: str, runs: dict[str, Rehearsed]) -> None:
    done = runs[f"{name}_mended"]
    assert done.code == 0, done.output
    assert why(done) is None


# What torch and others print where there is a GPU, a display or a network, which no machine here has.
TEXTS = {
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.15 GiB "
    "of which 1.12 GiB is free. Process 7 has 78.02 GiB memory in use.": (
        "gpu-memory",
        "GPU 0 is out of memory: 2.00 GiB more are needed, 1.12 GiB of 79.15 GiB are free",
    ),
    "RuntimeError: Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or "
    "`at::Context::setDeterministicAlgorithms(true)`, but this operation is not deterministic because it uses CuBLAS "
    "and you have CUDA >= 10.2. To enable deterministic behavior in this case, you must set an environment variable "
    "before running your PyTorch application: CUBLAS_WORKSPACE_CONFIG=:4096:8 or CUBLAS_WORKSPACE_CONFIG=:16:8.": (
        "deterministic",
        "cuBLAS is not told to be so",
    ),
    "RuntimeError: Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!": (
        "devices",
        "one operation is given tensors on cuda:0 and on cpu",
    ),
    "RuntimeError: DataLoader worker (pid 812) is killed by signal: Bus error. It is possible that dataloader's "
    "workers are out of shared memory. Please try to raise your shared memory limit.": ("shared-memory", "/dev/shm"),
    "RuntimeError: received 0 items of ancdata": ("open-files", "more files open"),
    "_tkinter.TclError: no display name and no $DISPLAY environment variable": ("no-display", "no display"),
    "RuntimeError: The server socket has failed to listen on any local network address. port: 29500, useIpv6: false, "
    "code: -98, name: EADDRINUSE, message: address already in use": ("address-in-use", "in use"),
    "OSError: [Errno 28] No space left on device: 'out/epoch3.pt'": ("disk-full", "the disk is full"),
    "OSError: [Errno 28] No space left on device: '/dev/shm/torch_81'": ("shared-memory", "/dev/shm"),
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_machines_that_are_not_here(text: str) -> None:
    name, words = TEXTS[text]
    said = next(said for known in KNOWN if (said := known.said_of(text)))
    assert said["name"] == name
    assert words in said["message"]


def test_a_text_that_nothing_is_known_of() -> None:
    assert not [known for known in KNOWN if known.said_of("KeyError: 'loss'")]


def test_each_failure_that_is_known_stands_in_the_page_of_the_check() -> None:
    page = (builtin() / "check_rehearsal.py").read_text()
    told = {known.name for known in KNOWN} | {case.id for case in CASES.values()}
    assert not {name for name in told if f"rehearsal.{name} " not in page}
