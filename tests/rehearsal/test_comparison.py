"""Small programs with one defect each, of which the source and the place are named, and healthy ones like them."""

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

import pytest

from preflight.causes.seeds import explain_differences, explain_no_effect
from preflight.config import Seeds
from preflight.model import Finding, Severity
from preflight.rehearsal.comparison import Comparison, compare
from preflight.rehearsal.repeats import Repeats
from preflight.rehearsal.reseeding import read_seeded, reseed

pytestmark = pytest.mark.slow

COMMAND = "python train.py --seed 17"
SEED = "import sys\nseed = int(sys.argv[2])\n"
Judge = Callable[..., tuple[Comparison, list[Finding]]]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Return a function that compares runs of a program, and returns what came of it and what is said."""
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    for name in "abcd":
        (project / "data" / f"{name}.txt").write_text(name)

    def run(
        text: str, command: str = COMMAND, config: tuple[str, str] | None = None
    ) -> tuple[Comparison, list[Finding]]:
        (project / "train.py").write_text(text)
        repeats = Repeats(
            command=read_seeded(command, 17),
            root=project,
            folder=tmp_path,
            seconds=100,
            until=time.monotonic() + 200,
            features=("evidence",),
            reseeded=reseed(command, 17, config),
            told=lambda text: None,
        )
        found, seeds = compare(repeats), Seeds(value=17, command=command)
        assert found.first.code == 0, found.first.output
        assert [event for event in found.first.events if event["kind"] == "unable"] == []
        said = [*explain_differences(found, seeds, "it"), *explain_no_effect(found, seeds, "it")]
        return found, said

    return run


DEFECTS = {
    "random": ("seeds.unseeded", "import random\nprint(random.random() + seed)\n", 4),
    "entropy": ("seeds.unseeded", "import random\nrng = random.Random()\nprint(rng.random() + seed)\n", 4),
    "uuid": ("seeds.unseeded", "import random, uuid\nrandom.seed(uuid.uuid4().int)\nprint(random.random())\n", 4),
    "set order": (
        "seeds.hash-order",
        "labels = ['cat', 'dog', 'bird', 'cow'] * 3\nclasses = list(set(labels))\nprint(classes, seed)\n",
        4,
    ),
    "two classes": ("seeds.hash-order", "print(list({'spam', 'ham'}), seed)\n", 3),
    "hash": ("seeds.hash-order", "print([n for n in range(30) if hash(f'img{n}') % 10 < 8], seed)\n", 3),
    "listdir": ("seeds.name-order", "import os\nnames = os.listdir('data')\nprint(names[:2], seed)\n", 4),
    "glob": ("seeds.name-order", "import glob\nprint(glob.glob('data/*')[0], seed)\n", 4),
    "iterdir": (
        "seeds.name-order",
        """\
import random
from pathlib import Path
random.seed(seed)
files = [*Path("data").iterdir()]
random.shuffle(files)
print(files[0].name)
""",
        6,
    ),
    "time": ("seeds.time", "import random, time\nrandom.seed(int(time.time()))\nprint(random.random())\n", 4),
    "datetime": (
        "seeds.time",
        "import datetime, random\n\nrandom.seed(datetime.datetime.now().microsecond)\nprint(random.random())\n",
        5,
    ),
    "completion": (
        "seeds.completion-order",
        """\
from concurrent.futures import ThreadPoolExecutor, as_completed
with ThreadPoolExecutor(4) as pool:
    futures = [pool.submit(pow, 10.0, n) for n in range(-20, 20)]
    print(sum(each.result() / 3 for each in as_completed(futures)) + seed * 1e-9)
""",
        6,
    ),
}
NUMPY_DEFECTS = {
    "numpy": ("seeds.unseeded", "import numpy as np\nnoise = np.random.rand(3)\nprint(noise + seed)\n", 4),
    "default_rng": (
        "seeds.unseeded",
        "import numpy as np\nrng = np.random.default_rng()\nprint(rng.random() + seed)\n",
        4,
    ),
    "empty": (
        "seeds.uninitialised",
        "import numpy as np\ntotals = np.empty(5000)\ntotals[:9] = seed\nprint(totals.sum())\n",
        4,
    ),
    "shuffled in place": (
        "seeds.unseeded",
        """\
import numpy as np
rng = np.random.default_rng(seed)
data = np.arange(20)
np.random.shuffle(data)
np.save("data/order.npy", data)
print("saved")
""",
        6,
    ),
}
HEALTHY = {
    "seeded": "import random\nrandom.seed(seed)\nprint(random.random())\n",
    "sorted": "import os, random\nrandom.seed(seed)\nnames = sorted(os.listdir('data'))\nrandom.shuffle(names)\n"
    "print(names, sorted({'a', 'b'}), random.random())\n",
    "times and names": """
        import datetime, logging, os, random, sys, tempfile, time, uuid
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
        random.seed(seed)
        began = time.time()
        run = f"runs/{datetime.datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"
        os.makedirs(run)
        logging.info("writing to %s", run)
        for step in range(3):
            sys.stderr.write(f"\\r {step * 33}%|###   | {step}/3 [00:0{step}<00:01, {time.time() % 9:.2f}it/s]")
        print()
        with tempfile.NamedTemporaryFile("w") as file:
            print("scratch", file.name)
        print(f"loss {random.random():.5f} after {time.time() - began:.3f} s, id {id(run)} at {hex(id(run))}")
        with open(f"{run}/metrics.json", "w") as file:
            file.write(f'{{"loss": {random.random()}, "time": {time.time()}, "when": "{datetime.datetime.now()}"}}')
        """,
}


@pytest.mark.parametrize("name", DEFECTS)
def test_the_source_and_the_place_are_named(judge: Judge, name: str) -> None:
    told, text, line = DEFECTS[name]
    _, findings = judge(SEED + text)
    assert [(each.id, each.line, Path(each.file).name) for each in findings] == [(told, line, "train.py")]


@pytest.mark.skipif(not find_spec("numpy"), reason="needs numpy")
@pytest.mark.parametrize("name", NUMPY_DEFECTS)
def test_numpy_is_seen_at_its_sources(judge: Judge, name: str) -> None:
    told, text, line = NUMPY_DEFECTS[name]
    _, findings = judge(SEED + text)
    assert [(each.id, each.line, Path(each.file).name) for each in findings] == [(told, line, "train.py")]


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_said_of_a_healthy_program(judge: Judge, name: str) -> None:
    found, findings = judge(SEED + dedent(HEALTHY[name]))
    assert findings == []
    assert found.has_effect


def test_a_seed_without_effect(judge: Judge) -> None:
    program = "import random\nrandom.seed({})\nprint('seed', seed)\nprint(random.random())\n"
    _, [finding] = judge(SEED + program.format(3))
    assert finding.id == "seeds.no-effect"
    assert judge(SEED + program.format("seed"))[1] == []


def test_the_seed_of_a_config_file_is_another_in_the_view(judge: Judge, tmp_path: Path) -> None:
    config = tmp_path / "project" / "config.yaml"
    config.write_text("seed: 17\n")
    program = "import random\nrandom.seed(open('config.yaml').read())\nprint(random.random())\n"
    found, findings = judge(program, "python train.py", (str(config), config.read_text()))
    assert (found.has_effect, findings) == (True, [])
    assert config.read_text() == "seed: 17\n"


def test_nothing_is_left_behind(judge: Judge, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    judge(SEED + "open('written.txt', 'w').write(str(seed * 0.1234))\n")
    after = [path for path in tmp_path.rglob("*") if "run-" not in str(path)]
    assert [path for path in after if path not in before] == [tmp_path / "project" / "train.py"]


DIVIDED = """
import os, random
from concurrent.futures import ThreadPoolExecutor
random.seed(seed)
threads = {threads}
values = [random.random() for _ in range(1000)]
with ThreadPoolExecutor(threads) as pool:
    means = list(pool.map(lambda part: sum(part) / len(part), (values[start::threads] for start in range(threads))))
print(sum(means) / threads)
"""


def test_work_that_is_divided_among_threads(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    _, [finding] = judge(SEED + DIVIDED.format(threads="int(os.environ.get('OMP_NUM_THREADS', 3))"))
    assert (finding.id, finding.severity, finding.line) == ("seeds.threads", Severity.WARNING, 9)
    assert judge(SEED + DIVIDED.format(threads="3"))[1] == []


TRAINING = """
import random, time
import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(seed)
digits = np.load("digits.npz")
samples = TensorDataset(torch.tensor(digits["data"][:99], dtype=torch.float32), torch.tensor(digits["target"][:99]))
model = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 10))
optimizer = torch.optim.SGD(model.parameters(), 0.01)
for inputs, targets in DataLoader(samples, batch_size=32, shuffle=True):
    inputs = inputs + NOISE
    loss = torch.nn.functional.cross_entropy(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
states = {"rng": torch.get_rng_state(), "numpy": np.random.get_state(), "python": random.getstate()}
torch.save({"model": model.state_dict(), "time": time.time(), **states}, f"model-{time.time()}.pt")
"""


@pytest.mark.skipif(not find_spec("torch") or not find_spec("sklearn"), reason="needs torch and scikit-learn")
def test_a_training_is_compared_by_what_it_computes(judge: Judge, tmp_path: Path) -> None:
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    np.savez(tmp_path / "project" / "digits.npz", data=digits.data, target=digits.target)
    found, findings = judge(SEED + TRAINING.replace("NOISE", "0"))
    assert (findings, found.has_effect) == ([], True)
    assert found.evidence.counts() == {"batch": 4, "loss": 4, "parameters": 4, "saved": 1}
    _, [finding] = judge(SEED + TRAINING.replace("NOISE", "np.random.normal(0, 0.1)"))
    assert (finding.id, finding.line) == ("seeds.unseeded", 15)
    assert finding.message.startswith("numpy's global generator is used and never seeded")
    assert "loss no. 1 is " in finding.cause
