"""Every finding of the forecasts, over one program that takes more with each batch and one that does not."""

import itertools
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight import config as configuration
from preflight.config import Config
from preflight.model import Finding, Severity
from preflight.rehearsal.program import Rehearsed
from preflight.rehearsal.standard import standard_run

pytestmark = pytest.mark.slow

# What grows stands between the marks.
PROGRAM = """
import sys
import torch
from torch.utils.data import DataLoader, TensorDataset
import numpy, pathlib, sklearn

grows = GROWS
rows = numpy.loadtxt(pathlib.Path(sklearn.__file__).parent / "datasets/data/digits.csv.gz", delimiter=",")
images, labels = torch.tensor(rows[:, :64], dtype=torch.float32), torch.tensor(rows[:, 64], dtype=torch.long)
model = torch.nn.Linear(64, 1 << 15)
optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
loader = DataLoader(TensorDataset(images, labels), batch_size=16)
kept, opened = [], []
for epoch in range(4):
    for step, (batch, wanted) in enumerate(loader):
        loss = torch.nn.functional.cross_entropy(model(batch), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if grows:
            kept.append(model(batch))
            opened.append(open(__file__))
        else:
            kept.append(loss.item())
        if step + 1 == len(loader):
            torch.save(model.state_dict(), f"out/epoch-{epoch}.pt")
"""
BATCHES = 4 * 113


@pytest.fixture(scope="module")
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("forecasts")


def read(folder: Path, more: str = "", within: str = "1d") -> Config:
    """Return the config of a project; `more` are further sections."""
    text = f"preflight:\n  rehearsal: {{command: python train.py, within: {within}}}\n  {more}\n"
    return configuration.load(folder / "config.yaml", text=text, root=folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[bool, tuple[Path, Rehearsed]]]:
    """The project and its run, of the program that grows and of the one that does not; each saves into a small disk."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    done = {}
    with ExitStack() as mounted:
        for grows in (True, False):
            folder = tmp_path_factory.mktemp("grows" if grows else "stays") / "project"
            (folder / "out").mkdir(parents=True)
            (folder / "train.py").write_text(PROGRAM.replace("GROWS", str(grows)))
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", folder / "out"], check=True)
            mounted.callback(subprocess.run, ["umount", folder / "out"], check=True)
            run = standard_run(read(folder), folder.parent / "run")
            assert run.code == 0, run.output
            done[grows] = folder, run
        yield done


@pytest.fixture
def said(checks: ModuleType, runs: Mapping[bool, tuple[Path, Rehearsed]]) -> Callable[..., dict[str, Finding]]:
    """Return a function that judges one of the runs, on a disk of a size, and returns the findings by id."""

    def judge(grows: bool, size: str = "64m", inodes: int = 1000, **config: str) -> dict[str, Finding]:
        folder, run = runs[grows]
        options = f"remount,size={size},nr_inodes={inodes}"
        subprocess.run(["mount", "-o", options, folder / "out"], check=True)
        found = checks.check_real_run_has_what_it_takes(read(folder, **config), run)
        return {finding.id: finding for finding in found}

    return judge


def test_a_healthy_run_is_told_of_and_nothing_else(said: Callable[..., dict[str, Finding]]) -> None:
    found = said(False)
    assert set(found) == {"forecasts.run"}
    told = found["forecasts.run"].evidence
    assert (told["batches of a pass"], told["passes"]) == (113, 4)
    assert "34.1 MB of disk" in found["forecasts.run"].message


def test_the_time_is_too_short(said: Callable[..., dict[str, Finding]]) -> None:
    finding = said(False, within="1s")["forecasts.time"]
    assert finding.severity is Severity.ERROR
    assert "`rehearsal.within` allows 1 s" in finding.message
    assert "4 passes of 113 batches" in finding.cause


def test_the_job_ends_too_soon(said: Callable[..., dict[str, Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 2))
    assert "the Slurm job" in said(False)["forecasts.time"].message
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 36000))
    assert "forecasts.time" not in said(False)


def test_memory_grows(said: Callable[..., dict[str, Finding]]) -> None:
    finding = said(True, more="system: {ram: 1GB}")["forecasts.memory"]
    assert finding.severity is Severity.ERROR
    assert 2.0e6 < finding.evidence["bytes a batch"] < 2.4e6
    assert finding.evidence["batches"] == BATCHES
    assert "train.py:" in finding.cause
    assert "not given back when a pass ends" in finding.cause
    assert "forecasts.memory" not in said(False, more="system: {ram: 1GB}")
    assert "forecasts.memory" not in said(True, more="system: {ram: 4GB}")


def test_more_memory_than_the_config_says(said: Callable[..., dict[str, Finding]]) -> None:
    assert said(False, more="system: {ram: 100MB}")["forecasts.ram"].wanted == "100 MB"


def test_files_stay_open(said: Callable[..., dict[str, Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (400, before[1]))
        finding = said(True)["forecasts.files"]
        assert finding.wanted == "400"
        assert finding.cause == "each batch opens 1 and does not close them"
        assert "forecasts.files" not in said(False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_disk_is_too_small(said: Callable[..., dict[str, Finding]]) -> None:
    finding = said(False, size="20m")["forecasts.disk"]
    assert (finding.found, finding.wanted) == ("34.1 MB", "21 MB")
    assert "out/epoch-" in finding.cause


def test_too_few_files_can_be_made(said: Callable[..., dict[str, Finding]]) -> None:
    assert "the run saves 4 files" in said(False, inodes=3)["forecasts.inodes"].message


def test_cards(checks: ModuleType, runs: Mapping[bool, tuple[Path, Rehearsed]]) -> None:
    """No GPU here: what one would have been measured at is put into the events of the real run."""
    folder, run = runs[False]

    def judge(peak: int, growth: int) -> dict[str, Finding]:
        facts = {"cuda": [peak], "card": [80 << 30]}
        count = itertools.count()
        events = [
            {**event, **facts, "tensors": [growth * next(count)]} if event["kind"] == "batch" else event
            for event in run.events
        ]
        found = checks.check_real_run_has_what_it_takes(read(folder), replace(run, events=events))
        return {finding.id: finding for finding in found}

    assert "forecasts.card" not in judge(10 << 30, 0)
    assert "GPU 0 is full" in judge(79 << 30, 0)["forecasts.card"].message
    assert "leaves 537 MB" in judge(10 << 30, 1 << 29)["forecasts.card"].cause


def test_the_gpu_waits_for_data(checks: ModuleType, runs: Mapping[bool, tuple[Path, Rehearsed]]) -> None:
    folder, run = runs[False]

    def judge(waited: float, worked: float) -> dict[str, Finding]:
        events, at = [], 0.0
        for event in run.events:
            if event["kind"] == "batch":
                facts = {"cuda": [1], "card": [80 << 30], "tensors": [1], "waited": waited, "asked": at}
                at += waited
                event = {**event, **facts, "at": at}
                at += worked
            elif event["kind"] == "pass-end":
                event = {**event, "asked": at, "at": at}
            events.append(event)
        found = checks.check_real_run_has_what_it_takes(read(folder), replace(run, events=events))
        return {finding.id: finding for finding in found}

    finding = judge(waited=1.0, worked=1.0)["forecasts.stalls"]
    assert "waits for data for 50% of the run" in finding.message
    assert "num_workers" in finding.fix
    assert "forecasts.stalls" not in judge(waited=0.1, worked=2.0)
    # Half of a run that is over in no time.
    assert "forecasts.stalls" not in judge(waited=0.1, worked=0.1)


def test_what_has_failed_is_not_carried_on(checks: ModuleType, runs: Mapping[bool, tuple[Path, Rehearsed]]) -> None:
    folder, run = runs[True]
    failed: Any = replace(run, code=1)
    assert not list(checks.check_real_run_has_what_it_takes(read(folder, within="1s"), failed))
