"""Runs that are broken off and resumed: what is not the same afterwards is named, and nothing where all is."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from preflight.config import Config, Rehearsal, Seeds
from preflight.model import Finding, Severity
from preflight.rehearsal.command import Command
from preflight.rehearsal.program import Rehearsed
from preflight.rehearsal.resumption import Plan, Resumption, is_repeatable, parting, run_resumption

pytestmark = pytest.mark.slow

PROGRAM = """
import os, random, sys
import numpy as np, torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

random.seed(0); np.random.seed(0); torch.manual_seed(0)
FILE = os.path.basename(__file__) + ".pt"
images, labels = load_digits(return_X_y=True)
data = TensorDataset(torch.from_numpy(images).float() / 16, torch.from_numpy(labels))
model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Dropout(0.1), torch.nn.Linear(32, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
first = 0

def states():
    return {"random": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}

if "--resume" in sys.argv:
    saved = torch.load(FILE, weights_only=False)
    LOAD
    first = saved["epoch"] + 1
for epoch in range(first, 3):
    for values, wanted in DataLoader(data, batch_size=256, shuffle=SHUFFLE):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(values), wanted).backward()
        optimizer.step()
    scheduler.step()
    everything = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict(),
                  "scheduler": scheduler.state_dict(), **states()}
    SAVE
"""
MODEL = 'model.load_state_dict(saved["model"])'
OPTIMIZER = 'optimizer.load_state_dict(saved["optimizer"])'
SCHEDULER = 'scheduler.load_state_dict(saved["scheduler"])'
STATES = 'random.setstate(saved["random"]); np.random.set_state(saved["numpy"]); torch.set_rng_state(saved["torch"])'
SAVE = "torch.save(everything, FILE)"


def program(*loads: str, shuffle: bool = True, save: str = SAVE) -> str:
    text = PROGRAM.replace("LOAD", "\n    ".join([*loads, "pass"])).replace("SAVE", save)
    return text.replace("SHUFFLE", str(shuffle))


WORLDS = {
    "whole": program(MODEL, OPTIMIZER, SCHEDULER, STATES),
    "without generators": program(MODEL, OPTIMIZER, SCHEDULER),
    "without optimizer": program(MODEL, STATES),
    "without scheduler": program(MODEL, OPTIMIZER, STATES, shuffle=False),
    "without anything": program("pass"),
    "without a need for generators": program(MODEL, OPTIMIZER, SCHEDULER, shuffle=False).replace(
        "Dropout(0.1)", "ReLU()"
    ),
    "refused": program(MODEL, 'raise SystemExit("no such key")'),
    "unsaved": program(MODEL, save="pass"),
}
DRIVER = """
import os, runpy, sys, numpy, torch, torch._dynamo, sklearn.datasets
for name in sys.argv[1].split(","):
    if not (pid := os.fork()):
        try:
            runpy.run_path(name, run_name="__main__")
        except BaseException as problem:
            print(problem, flush=True)
            os._exit(1)
        os._exit(0)
    print("ended", name, pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Resumption]:
    """Make the three runs of each world in forks of one process, which has paid for the imports."""
    project = tmp_path_factory.mktemp("project")
    (project / "driver.py").write_text(DRIVER)
    files = {f"world{number}.py": world for number, world in enumerate(WORLDS)}
    for file, world in files.items():
        (project / file).write_text(WORLDS[world])
    words = (sys.executable, "-W", "ignore", "driver.py", ",".join(files))
    plan = Plan(Command(words=words), Command(words=(*words, "--resume")), project, tmp_path_factory.mktemp("scratch"))
    whole = run_resumption(plan, 200, 1e12)
    assert whole.resumed, whole.broken.output
    assert not [event for ran in (whole.straight, whole.broken, whole.resumed) for event in ran.of("unable")]
    assert not [*project.glob("*.pt")]
    return {world: of_world(whole, file) for file, world in files.items()}


def of_world(whole: Resumption, file: str) -> Resumption:
    assert whole.resumed
    straight, broken, resumed = (part(ran, file) for ran in (whole.straight, whole.broken, whole.resumed))
    ended = broken.of("broken-off")
    steps = ended[0]["steps"] if ended else 0
    return Resumption(straight=straight, broken=broken, resumed=resumed if ended else None, steps=steps)


def part(ran: Rehearsed, file: str) -> Rehearsed:
    """Return what one world did in a run of the driver."""
    (line,) = (line for line in ran.output.splitlines() if line.startswith(f"ended {file}"))
    *_, pid, code = line.split()
    events = [event for event in ran.events if event["pid"] == int(pid)]
    return replace(ran, events=events, code=int(code))


def judge(checks: ModuleType, monkeypatch: pytest.MonkeyPatch, found: Resumption, tmp_path: Path) -> list[Finding]:
    monkeypatch.setattr(checks, "run_resumption", lambda *_: found)
    seeds = Seeds(command="python train.py", resume="python train.py --resume")
    return list(checks.check_resumed_run_ends_alike(Config(root=tmp_path, seeds=seeds), tmp_path))


DIFFERING = {
    "without generators": {"torch", "batch"},
    "without optimizer": {"state", "rates"},
    "without scheduler": {"rates"},
}


def test_it_is_broken_off_between_a_save_and_the_next_step(runs: Mapping[str, Resumption]) -> None:
    for world, each in runs.items():
        if world != "unsaved":
            assert each.broken.code == -9
            # Two batches of an epoch are shown, and it saves after each epoch.
            assert each.steps == 2
            assert len(each.straight.of("progress")) == 6
            assert is_repeatable(each)


@pytest.mark.parametrize("world", DIFFERING)
def test_what_is_not_the_same_is_named(
    runs: Mapping[str, Resumption], world: str, checks: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = parting(runs[world])
    assert found
    assert DIFFERING[world] <= set(found.differing)
    assert "parameters" not in found.differing
    (finding,) = judge(checks, monkeypatch, runs[world], tmp_path)
    assert finding.id == "resume.differs"
    assert all(checks.NAMES[name] in finding.message for name in DIFFERING[world])


@pytest.mark.parametrize(
    ("world", "id"),
    [("without anything", "resume.starts-over"), ("refused", "resume.fails"), ("unsaved", "resume.no-save")],
)
def test_what_else_is_wrong(
    runs: Mapping[str, Resumption],
    world: str,
    id: str,
    checks: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (finding,) = judge(checks, monkeypatch, runs[world], tmp_path)
    assert finding.id == id
    assert finding.severity is (Severity.WARNING if id == "resume.no-save" else Severity.ERROR)


@pytest.mark.parametrize("world", ["whole", "without a need for generators"])
def test_a_run_that_goes_on_as_it_was(
    runs: Mapping[str, Resumption], world: str, checks: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert judge(checks, monkeypatch, runs[world], tmp_path) == []


def test_the_whole_way(checks: ModuleType, tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "train.py").write_text(WORLDS["without generators"])
    seeds = Seeds(command="python train.py", resume="python train.py --resume")
    config = Config(root=tmp_path, seeds=seeds, rehearsal=Rehearsal(time=100))
    (finding,) = checks.check_resumed_run_ends_alike(config, scratch)
    assert finding.id == "resume.differs"
    assert [each.name for each in tmp_path.iterdir() if each.name != "scratch"] == ["train.py"]


@pytest.fixture(scope="module")
def checks(load_check_file) -> ModuleType:
    return load_check_file("resume")
