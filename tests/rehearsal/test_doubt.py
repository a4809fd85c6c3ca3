"""A failure that comes only of too little data is no failure of the program."""

from pathlib import Path

import pytest

from preflight import config as configuration
from preflight.rehearsal.standard import standard_run

# Who compares what a pass gave with the whole data set; the second one fails at that with all of the data too.
PROGRAM = """
import numpy, os, pathlib, sklearn, torch
from torch.utils.data import DataLoader, TensorDataset
rows = numpy.loadtxt(pathlib.Path(sklearn.__file__).parent / "datasets/data/digits.csv.gz", delimiter=",")
data = TensorDataset(torch.tensor(rows[:, :64], dtype=torch.float32), torch.tensor(rows[:, 64], dtype=torch.long))
os.mkdir("out")
assert len(DataLoader(data, 64)) == 29
model = torch.nn.Linear(64, 10)
predicted = torch.cat([model(images).argmax(1) for images, labels in DataLoader(data, 64)])
right = (predicted == data.tensors[1]EXTRA).float().mean()
print("accuracy", float(right))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("extra", "code"), [("", 0), ("[1:]", 1)])
def test_a_program_that_counts_on_all_of_its_data(extra: str, code: int, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text(PROGRAM.replace("EXTRA", extra))
    text = "preflight: {rehearsal: {command: python train.py, time: 60s}}\n"
    settings = configuration.load(project / "config.yaml", text=text, root=project)
    done = standard_run(settings, tmp_path / "run")
    assert done.code == code, done.output
    assert (tmp_path / "run" / "in-whole").exists()
    assert ("accuracy" in done.output) == (not code)
