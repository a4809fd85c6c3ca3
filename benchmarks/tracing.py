"""What tracing costs: `python -m benchmarks.tracing` compares steps of two transformers with the same steps traced.

On one thread and by that thread's clock, so that what else the machine does counts for little.
"""

import re
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.__main__ import Figure, show

from preflight.rehearsal.command import Command
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import rehearse

ROUNDS = 3
STEPS = """
import sys, time, torch
torch.set_num_threads(1)
torch.manual_seed(0)
width, batch, length, count = map(int, sys.argv[1:])
layer = torch.nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True)
encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
model = torch.nn.Sequential(torch.nn.Linear(width, width), encoder, torch.nn.Linear(width, 10))
optimizer = torch.optim.AdamW(model.parameters())
values, wanted = torch.randn(batch, length, width), torch.randint(10, (batch * length,))
times = []
for step in range(count + 2):
    began = time.thread_time()
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(values).flatten(0, 1), wanted).backward()
    optimizer.step()
    times.append(time.thread_time() - began)
print("step", sorted(times[2:])[count // 2])
"""
# Width, samples in a batch, length of a sample, steps.
SMALL = ("64", "8", "16", "20")
LARGE = ("512", "16", "128", "2")


def seconds_of_step(sizes: tuple[str, ...], *features: str) -> float:
    """Return the median seconds of a step."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "steps.py").write_text(STEPS)
        orders = Orders(root=root, answers=root / "answers", features=features)
        done = rehearse(Command(words=(sys.executable, "steps.py", *sizes)), orders, seconds=600)
    told = re.search(r"^step (\S+)$", done.output, re.MULTILINE)
    assert told, done.output
    return float(told[1])


def ratio(sizes: tuple[str, ...]) -> float:
    """Return how many times longer a traced step takes; the rounds take turns."""
    rounds = [(seconds_of_step(sizes, "trace"), seconds_of_step(sizes)) for _ in range(ROUNDS)]
    traced, plain = (median(seconds) for seconds in zip(*rounds, strict=True))
    print(f"width {sizes[0]}, {sizes[1]} x {sizes[2]} tokens: {plain * 1000:.0f} ms a step, traced {traced * 1000:.0f}")
    return traced / plain


def measure() -> list[Figure]:
    """Measure steps of many small operations, and of few large ones."""
    return [
        Figure("tracing, a step of a small transformer", ratio(SMALL), 8, "x"),
        Figure("tracing, a step of a large one", ratio(LARGE), 2, "x"),
    ]


if __name__ == "__main__":
    sys.exit(show(measure()))
