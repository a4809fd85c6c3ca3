"""Two runs are traced, and the first operation at which they part is named with its module and its line."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from preflight.causes.divergences import explain_divergence
from preflight.rehearsal.command import Command
from preflight.rehearsal.divergence import Divergence, How, first
from preflight.rehearsal.events import Event
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import rehearse

pytestmark = pytest.mark.slow

Part = Callable[[str], Divergence | None]

DRIVER = """
import os, runpy, sys, torch, torch._dynamo, numpy, sklearn.datasets
for name in sys.argv[1:]:
    if not (pid := os.fork()):
        runpy.run_path(name, run_name="__main__")
        import atexit
        atexit._run_exitfuncs()
        os._exit(0)
    print(name, pid, os.waitpid(pid, 0)[1], flush=True)
"""
PROGRAM = """
import os, torch, numpy
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

run = int(os.environ["RUN"])
images, labels = load_digits(return_X_y=True)

class Noisy(nn.Module):
    def forward(self, values):
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
print("loss", loss.item(), flush=True)
"""
UNSTEADY = """
class Unsteady(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values): return values.clone()
    @staticmethod
    def backward(ctx, gradient): return gradient * (1 + run)
"""
DIRTY = """
def dirty():
    filled = torch.empty(16)
    filled.numpy()[:] = run
    return filled
"""
WORLDS = {
    "healthy": ("torch.rand(16)", ""),
    "unseeded": ("torch.rand(16, generator=torch.Generator().manual_seed(run))", ""),
    "outside": ("float(numpy.random.default_rng(run).random())", ""),
    "unset": ("dirty()", DIRTY),
    "path": ("(torch.ones(16) if run else torch.zeros(16))", ""),
    "backward": ("Unsteady.apply(values)", UNSTEADY),
    "threads": ("long.sum() * 0", "torch.set_num_threads(1 + run)\nlong = torch.rand(1000, 999)"),
}
Traced = tuple[dict[str, list[Event]], list[str]]


def trace(folder: Path, run: int, *features: str) -> Traced:
    """Run each world in a fork of one process; return the events of each, and the losses that were printed."""
    project = folder / "project"
    project.mkdir(exist_ok=True)
    (project / "driver.py").write_text(DRIVER)
    for world, (source, begin) in WORLDS.items():
        (project / f"{world}.py").write_text(PROGRAM.replace("SOURCE", source).replace("BEGIN", begin))
    orders = Orders(root=project, answers=folder / f"answers-{run}-{len(features)}", features=features)
    words = (sys.executable, "driver.py", *(f"{world}.py" for world in WORLDS))
    done = rehearse(Command(words=words, variables={"RUN": str(run)}), orders, seconds=120)
    lines = [line.split() for line in done.output.splitlines()]
    ended = {line[0].removesuffix(".py"): (int(line[1]), line[2]) for line in lines if len(line) == 3}
    assert [status for _, status in ended.values()] == ["0"] * len(WORLDS), done.output
    assert not [event for event in done.events if event["kind"] == "unable"]
    events = {world: [event for event in done.events if event["pid"] == ended[world][0]] for world in WORLDS}
    return events, [line[1] for line in lines if line[:1] == ["loss"]]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Traced, Traced, Traced]:
    folder = tmp_path_factory.mktemp("traced")
    return trace(folder, 0, "trace"), trace(folder, 1, "trace"), trace(folder, 0)


@pytest.fixture
def part(traced: tuple[Traced, Traced, Traced]) -> Callable[[str], Divergence | None]:
    return lambda world: first(traced[0][0][world], traced[1][0][world])


def line_of(found: Divergence) -> str:
    return Path(found.file).read_text().splitlines()[found.line - 1].strip()


def test_runs_that_agree(part: Part, traced: tuple[Traced, Traced, Traced]) -> None:
    assert part("healthy") is None
    operations = [event for event in traced[0][0]["healthy"] if event["kind"] == "operations"]
    assert sum(len(event["rows"]) for event in operations) > 100


def test_tracing_changes_nothing(traced: tuple[Traced, Traced, Traced]) -> None:
    assert traced[0][1] == traced[2][1]


def test_a_random_number_from_another_generator(part: Part) -> None:
    found = part("unseeded")
    assert found
    assert found.how is How.OUTPUT
    assert found.operation == "aten.rand.generator"
    assert found.module == "Noisy body.2"
    assert line_of(found).startswith("return values + torch.rand")
    assert "generator of torch" in explain_divergence(found).cause


def test_a_number_from_outside(part: Part) -> None:
    found = part("outside")
    assert found
    assert found.how is How.INPUT
    assert found.operation.startswith("aten.add")
    assert "come from outside" in explain_divergence(found).cause


def test_memory_that_was_never_written(part: Part) -> None:
    found = part("unset")
    assert found
    assert found.how is How.UNSET
    assert line_of(found).startswith("return values + dirty()")


def test_another_path(part: Part) -> None:
    found = part("path")
    assert found
    assert found.how is How.PATH
    assert {found.operation, found.instead} == {"aten.zeros.default", "aten.ones.default"}


def test_a_step_of_the_backward_pass(part: Part) -> None:
    found = part("backward")
    assert found
    assert found.operation.startswith("aten.mul")
    assert found.node.startswith("UnsteadyBackward")
    assert "in the backward pass" in explain_divergence(found).what


def test_threads_that_differ_are_the_cause(part: Part) -> None:
    found = part("threads")
    if found:  # that the order of a sum shows in its bits is likely, not sure
        assert found.how is How.OUTPUT
        assert "threads" in explain_divergence(found).cause


def test_causes_on_a_gpu() -> None:
    settings = {
        "cuda": True,
        "cudnn_benchmark": True,
        "cublas_workspace": "",
        "deterministic": False,
        "tf32": [False, True],
    }

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
