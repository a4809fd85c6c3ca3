"""Workers whose random numbers repeat are seen at work, and those that draw their own are left alone."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from preflight.causes.streams import explain_streams
from preflight.model import Finding
from preflight.rehearsal.command import Command
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import rehearse
from preflight.rehearsal.standard import FEATURES

pytestmark = pytest.mark.slow

BEGIN = """
import random, functools
import numpy as np, torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

class Digits(Dataset):
    def __init__(self, rng=None):
        self.images = load_digits().images[:64].astype("float32")
        self.rng = rng
    def __len__(self):
        return len(self.images)
    def __getitem__(self, index):
        return torch.from_numpy(self.images[index]) + self.noise(index)

def main(dataset, epochs=2, **more):
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for epoch in range(epochs):
        for batch in DataLoader(dataset, **{"batch_size": 8, "num_workers": 2, **more}):
            optimizer.zero_grad()
            model(batch.float()).mean().backward()
            optimizer.step()
"""


# Has every loader of the world take the function that was pasted before it.
PASTED = """
class DataLoader(DataLoader):
    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **{**more, "worker_init_fn": seed_worker})
"""
DRIVER = """
import os, runpy, sys, numpy, torch, torch._dynamo, sklearn.datasets
for name in sys.argv[1:]:
    if not (pid := os.fork()):
        runpy.run_path(name, run_name="__main__")
        os._exit(0)
    print(name, pid, os.waitpid(pid, 0)[1], flush=True)
"""


def findings_of(folder: Path, worlds: Mapping[str, str], *features: str) -> dict[str, list[Finding]]:
    """Run each world in a fork of one process, which has paid for the imports, and return what is said of it."""
    project = folder / "project"
    project.mkdir()
    (project / "driver.py").write_text(DRIVER)
    files = [f"world_{number}.py" for number in range(len(worlds))]
    for file, text in zip(files, worlds.values(), strict=True):
        (project / file).write_text(BEGIN + text)
    orders = Orders(root=project, answers=folder / "answers", features=features or ("streams",))
    done = rehearse(Command(words=(sys.executable, "-W", "ignore", "driver.py", *files)), orders, seconds=300)
    ended = [line.split() for line in done.output.splitlines() if line.startswith("world_")]
    assert [(file, status) for file, _, status in ended] == [(file, "0") for file in files], done.output
    assert not [event for event in done.events if event["kind"] == "unable"]
    found = {}
    for name, (_, pid, _) in zip(worlds, ended, strict=True):
        family = {int(pid)}
        for event in done.events:
            if event["kind"] == "process" and event["parent"] in family:
                family.add(event["pid"])
        events = [event for event in done.events if event["pid"] in family]
        assert [event for event in events if event["kind"] == "stream"], name
        found[name] = list(explain_streams(events))
    return found


BROKEN = {
    "a generator of the module": (
        "RNG",
        "repeat each other: all 2 draw the same random numbers from RNG, and again in every epoch",
        "RNG = np.random.default_rng(0)\nDigits.noise = lambda self, index: RNG.random()\nmain(Digits())",
    ),
    "a generator of the dataset": (
        "dataset.rng",
        "repeat each other: all 2 draw",
        "Digits.noise = lambda self, index: self.rng.random()\nmain(Digits(random.Random(0)), 1)",
    ),
    "a generator deep in a transform": (
        "dataset.transform.steps[0].rng",
        "repeat each other",
        """
class Shift:
    def __init__(self): self.rng = np.random.RandomState(0)
class Compose:
    def __init__(self, *steps): self.steps = steps
Digits.noise = lambda self, index: self.transform.steps[0].rng.rand()
digits = Digits()
digits.transform = Compose(Shift())
main(digits, 1)
""",
    ),
    "numpy seeded alike in all workers": (
        "numpy.random",
        "repeat each other",
        """
Digits.noise = lambda self, index: np.random.rand()
main(Digits(), worker_init_fn=lambda worker: np.random.seed(0))
""",
    ),
    "numpy seeded with the worker's number": (
        "numpy.random",
        "repeat themselves: in every epoch",
        """
Digits.noise = lambda self, index: np.random.rand()
main(Digits(), shuffle=True, worker_init_fn=lambda worker: np.random.seed(worker))
""",
    ),
    "torch seeded in each epoch": (
        "torch",
        "repeat themselves: in every epoch",
        "Digits.noise = lambda self, index: torch.rand(())\nfor epoch in range(2): main(Digits(), 1)",
    ),
    "persistent workers with copies": (
        "RNG",
        "repeat each other: all 2 draw the same random numbers from RNG",
        """
RNG = torch.Generator().manual_seed(0)
Digits.noise = lambda self, index: torch.rand((), generator=RNG)
torch.manual_seed(0)
loader = DataLoader(Digits(), batch_size=8, num_workers=2, persistent_workers=True)
for epoch in range(2):
    for batch in loader: pass
""",
    ),
    "made anew in each worker from one seed": (
        "dataset.rng",
        "repeat each other",
        """
def noise(self, index):
    if self.rng is None: self.rng = np.random.default_rng(7)
    return self.rng.random()
Digits.noise = noise
main(Digits())
""",
    ),
    "spawned workers that import it anew": (
        "RNG",
        "repeat each other",
        """
RNG = np.random.default_rng(0)
class Noisy(Digits):
    def noise(self, index): return RNG.random()
if __name__ == "__main__": main(Noisy(), 1, multiprocessing_context="spawn")
""",
    ),
    "a stream of samples": (
        "RNG",
        "repeat each other",
        """
RNG = random.Random(0)
class Stream(IterableDataset):
    def __iter__(self):
        for image in load_digits().images[get_worker_info().id:64:2]:
            yield torch.from_numpy(image) + RNG.random()
main(Stream(), 1)
""",
    ),
}

HEALTHY = {
    "torch's own seeding": (
        "Digits.noise = lambda self, index: random.random() + np.random.rand() + torch.rand(())\nmain(Digits())"
    ),
    "numbers of each sample": (
        "Digits.noise = lambda self, index: np.random.default_rng((7, index)).random()\nmain(Digits())"
    ),
    "a generator made for each sample": """
def noise(self, index):
    self.rng = np.random.default_rng((7, index))
    return self.rng.random()
Digits.noise = noise
main(Digits())
""",
    "a generator seeded for each sample": """
def noise(self, index):
    self.rng.seed(index)
    return self.rng.random()
Digits.noise = noise
main(Digits(random.Random(0)))
""",
    "seeded in each worker": """
RNG = None
Digits.noise = lambda self, index: RNG.random()
def seed_worker(worker_id):
    global RNG
    seed = torch.utils.data.get_worker_info().seed
    RNG = np.random.default_rng(seed)
main(Digits(), worker_init_fn=seed_worker)
""",
    "a validation that is the same each time": """
Digits.noise = lambda self, index: np.random.rand()
torch.manual_seed(0)
model = torch.nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), 0.01)
train = DataLoader(Digits(), batch_size=8, num_workers=2)
valid = DataLoader(Digits(), batch_size=8, num_workers=2, worker_init_fn=lambda worker: np.random.seed(0))
for epoch in range(2):
    for batch in train:
        model(batch.float()).mean().backward()
        optimizer.step()
    with torch.no_grad():
        for batch in valid: model(batch.float())
    for batch in valid: model(batch.float())
""",
    "shards in one order for all workers": """
class Shards(IterableDataset):
    def __init__(self): self.rng = random.Random(3)
    def __iter__(self):
        images = list(load_digits().images[:64])
        self.rng.shuffle(images)
        for image in images[get_worker_info().id::2]:
            yield torch.from_numpy(image) + torch.rand(())
main(Shards())
""",
    "held and never drawn from": "Digits.noise = lambda self, index: 0.0\nmain(Digits(np.random.default_rng(0)))",
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    worlds = {**{world: text for world, (_, _, text) in BROKEN.items()}, **HEALTHY}
    return findings_of(tmp_path_factory.mktemp("worlds"), worlds)


@pytest.mark.parametrize("world", BROKEN)
def test_streams_that_repeat(said: dict[str, list[Finding]], world: str) -> None:
    name, message, _ = BROKEN[world]
    (finding,) = said[world]
    assert finding.id == "seeds.workers-repeat"
    assert message in finding.message
    assert finding.message.split(" from ")[1].split(",")[0] == name
    assert finding.file
    assert finding.line
    assert finding.line > BEGIN.count("\n"), finding


@pytest.mark.parametrize("world", HEALTHY)
def test_streams_that_do_not(said: dict[str, list[Finding]], world: str) -> None:
    assert said[world] == []


def test_the_remedy_works_when_pasted(said: dict[str, list[Finding]], tmp_path: Path) -> None:
    worlds = {}
    for world in ("a generator of the module", "a generator of the dataset", "numpy seeded with the worker's number"):
        text = BROKEN[world][2]
        lines = [line[4:] for line in (said[world][0].fix or "").splitlines() if line.startswith("    ")]
        assert "worker_init_fn=seed_worker" in lines[-1]
        worlds[world] = "\n".join(["", *lines[:-1], PASTED, text])
    assert {world: found for world, found in findings_of(tmp_path, worlds).items() if found} == {}


def test_it_goes_with_the_other_features_of_a_rehearsal(tmp_path: Path) -> None:
    world = {"a generator of the module": BROKEN["a generator of the module"][2]}
    (finding,) = findings_of(tmp_path, world, *FEATURES)["a generator of the module"]
    assert finding.id == "seeds.workers-repeat"
