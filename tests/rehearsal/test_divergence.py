"""Two runs are traced, and the first operation at which they part is named with its module and its line."""

import sys
from pathlib import Path

from preflight.causes.divergences import explain_divergence
from preflight.rehearsal.command import Command
from preflight.rehearsal.divergence import Divergence, How, first
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import Rehearsed, rehearse

PROGRAM = """
import sys, torch, numpy
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

run = int(sys.argv[1])
images, labels = load_digits(return_X_y=True)

class Noisy(nn.Module):
    def forward(self, values):
        # Stands for an operation that sums in another order each time.
        library = {0: torch.ops.aten.sin, 1: torch.ops.aten.sin}[0]
        return values + SOURCE

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), Noisy())
        self.head = nn.Linear(16, 10)
    def forward(self, values):
        return self.head(self.body(values))

torch.manual_seed(0)
BEGIN
model = Net()
optimizer = torch.optim.Adam(model.parameters())
data = TensorDataset(torch.from_numpy(images[:64]).float(), torch.from_numpy(labels[:64]))
for values, wanted in DataLoader(data, batch_size=32):
    loss = nn.functional.cross_entropy(model(values), wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(loss.item())
"""


def trace(folder: Path, text: str, run: int, *features: str) -> Rehearsed:
    project = folder / "project"
    project.mkdir(exist_ok=True)
    (project / "train.py").write_text(text)
    orders = Orders(root=project, answers=folder / f"answers-{run}-{len(features)}", features=features)
    done = rehearse(Command(words=(sys.executable, "train.py", str(run))), orders, seconds=120)
    assert done.code == 0, done.output
    assert not [event for event in done.events if event["kind"] == "unable"]
    return done


def part(folder: Path, source: str, begin: str = "") -> Divergence | None:
    text = PROGRAM.replace("SOURCE", source).replace("BEGIN", begin)
    one, other = (trace(folder, text, run, "trace").events for run in (0, 1))
    return first(one, other)


def line_of(found: Divergence) -> str:
    return Path(found.file).read_text().splitlines()[found.line - 1].strip()


def test_runs_that_agree_and_tracing_changes_nothing(tmp_path: Path) -> None:
    text = PROGRAM.replace("SOURCE", "torch.rand(16)").replace("BEGIN", "")
    one, other = trace(tmp_path, text, 0, "trace"), trace(tmp_path, text, 1, "trace")
    assert first(one.events, other.events) is None
    assert trace(tmp_path, text, 0).output == one.output == other.output
    assert sum(len(event["rows"]) for event in one.events if event["kind"] == "operations") > 100


def test_a_random_number_from_an_unseeded_generator(tmp_path: Path) -> None:
    found = part(tmp_path, "torch.rand(16, generator=torch.Generator().manual_seed(run))")
    assert found
    assert found.how is How.OUTPUT
    assert found.operation == "aten.rand.generator"
    assert found.module == "Noisy body.2"
    assert line_of(found).startswith("return values + torch.rand")
    assert "generator of torch" in explain_divergence(found).cause


def test_a_number_from_outside(tmp_path: Path) -> None:
    found = part(tmp_path, "float(numpy.random.default_rng(run).random())")
    assert found
    assert found.how is How.INPUT
    assert found.operation.startswith("aten.add")
    assert "come from outside" in explain_divergence(found).cause


def test_memory_that_was_never_written(tmp_path: Path) -> None:
    begin = "def dirty():\n    filled = torch.empty(16)\n    filled.numpy()[:] = run\n    return filled"
    found = part(tmp_path, "dirty()", begin)
    assert found
    assert found.how is How.UNSET
    assert line_of(found).startswith("return values + dirty()")


def test_another_path(tmp_path: Path) -> None:
    found = part(tmp_path, "(torch.ones(16) if run else torch.zeros(16))")
    assert found
    assert found.how is How.PATH
    assert {found.operation, found.instead} == {"aten.zeros.default", "aten.ones.default"}


def test_a_step_of_the_backward_pass_is_told_by_its_forward_line(tmp_path: Path) -> None:
    begin = """
class Unsteady(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values): return values.clone()
    @staticmethod
    def backward(ctx, gradient): return gradient * (1 + run)
"""
    found = part(tmp_path, "Unsteady.apply(values)", begin)
    assert found
    assert found.operation.startswith("aten.mul")
    assert found.node.startswith("UnsteadyBackward")
    assert "in the backward pass" in explain_divergence(found).what


def test_threads_that_differ_are_the_cause(tmp_path: Path) -> None:
    begin = "torch.set_num_threads(1 + run)\nlong = torch.rand(1000, 999)"
    found = part(tmp_path, "long.sum() * 0", begin)
    if found:  # that the order of a sum shows in its bits is likely, not sure
        assert found.operation.startswith("aten.sum")
        assert "threads" in explain_divergence(found).cause


def test_causes_on_a_gpu() -> None:
    settings = {"cuda": True, "cudnn_benchmark": True, "cublas_workspace": "", "deterministic": False, "tf32": [False, True]}

    def said(operation: str, node: str = "", **other: object) -> str:
        found = Divergence(
            how=How.OUTPUT, operation=operation, number=1, file="", line=0, module="", node=node,
            numerics=(settings, {**settings, **other}),
        )  # fmt: skip
        why = explain_divergence(found)
        return f"{why.cause} {why.fix}"

    assert "benchmark = False" in said("aten.convolution_backward.default")
    assert "CUBLAS_WORKSPACE_CONFIG=:4096:8" in said("aten.addmm.default")
    assert "use_deterministic_algorithms(True)" in said("aten.index_add.default")
    assert "use_deterministic_algorithms(True)" in said("aten._foo.default", "EmbeddingBackward0")
    assert "TF32" in said("aten.mm.default", tf32=[True, True])
    assert said("aten.relu.default").strip() == ""
