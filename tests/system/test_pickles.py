"""What checkpoints would import, read and never loaded; torch itself is asked in a process of its own."""

import argparse
import collections
import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from preflight.system.pickles import NotAPickle, blocked_in_checkpoint, imports_of

SAVE = """
import argparse, collections, json, sys, numpy, torch
model = torch.nn.Linear(2, 2)
optimizer = torch.optim.Adam(model.parameters())
model(torch.ones(1, 2)).sum().backward()
optimizer.step()
plain = {
    "model": model.state_dict(), "optimizer": optimizer.state_dict(), "set": {1}, "dtype": torch.float16, "z": 1 + 2j,
    "size": torch.Size([1]), "device": torch.device("cpu"), "half": torch.ones(2, dtype=torch.bfloat16), "b": b"x",
    "sparse": torch.eye(2).to_sparse(), "p": torch.nn.Parameter(torch.ones(2)), "rng": torch.get_rng_state(),
    "counter": collections.Counter("aab"), "bytes": bytearray(b"x"), "layout": torch.strided,
}
objects = {
    "plain": plain, "namespace": {"args": argparse.Namespace(lr=0.1)}, "model": model, "numpy": {"rng": numpy.ones(2)},
    "default": collections.defaultdict(int),
}
told = {}
for name, value in objects.items():
    for new in (True, False):
        file = f"{name}-{new}.pt"
        torch.save(value, file, _use_new_zipfile_serialization=new)
        try:
            torch.load(file, weights_only=True)
            told[file] = "loads"
        except Exception as problem:
            told[file] = str(problem)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("saved")
    told = subprocess.run([sys.executable, "-Wignore", "-c", SAVE], cwd=folder, capture_output=True, check=True)
    return folder, json.loads(told.stdout)


@pytest.mark.slow
def test_torch_agrees(saved: tuple[Path, dict[str, str]]) -> None:
    folder, told = saved
    assert len(told) == 10
    for name, answer in told.items():
        blocked = blocked_in_checkpoint(str(folder / name))
        assert bool(blocked) == (answer != "loads"), (name, blocked, answer)
        if blocked:
            assert any(each in answer for each in blocked), (name, blocked, answer)


@pytest.mark.parametrize("protocol", range(6))
def test_what_a_pickle_imports(protocol: int) -> None:
    value = {"a": argparse.Namespace(x=[1] * 300), "b": argparse.Namespace(), "c": collections.defaultdict(int)}
    names = imports_of(io.BytesIO(pickle.dumps(value, protocol)))
    assert {"argparse.Namespace", "collections.defaultdict", "builtins.int"} <= names


def test_archives_that_are_no_checkpoint(tmp_path: Path) -> None:
    for names in (["a.txt"], ["model/data.pkl", "model/constants.pkl"]):
        with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
            for name in names:
                archive.writestr(name, pickle.dumps(1))
        with pytest.raises(NotAPickle):
            blocked_in_checkpoint(str(tmp_path / "a.pt"))
    for content in (b"anything", pickle.dumps(argparse.Namespace()), pickle.dumps(5)[:3], b"PK\x03\x04"):
        (tmp_path / "a.pt").write_bytes(content)
        with pytest.raises(NotAPickle):
            blocked_in_checkpoint(str(tmp_path / "a.pt"))
