"""What many nodes cost: `python -m benchmarks.nodes`, four under a real Slurm; with `scale` up to 10,000, replayed."""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.__main__ import DIGITS, PREFLIGHT, Figure, show

from preflight import config as configuration
from preflight.places.local import lent_to
from preflight.places.nodes import Nodes
from preflight.places.slurm import SlurmStep
from preflight.reports import render
from preflight.reports.progress import Progress
from preflight.run import run
from preflight.verdict import decide
from preflight.worker.stage import BOOT
from preflight.worker.wire import Reader, frames

ROUNDS = 5
SLURM = Path(__file__).parents[1] / "tests" / "slurm"
PORT = 17150
NODES = (10, 100, 1000, 10000)
# Of a thousand frames so many are lost, or come twice; of a thousand nodes so many die half-way.
LOST, TWICE, DEAD = 0.05, 10, 5


def seconds_of(argv: Sequence[str], folder: Path) -> float:
    """Return how long a command takes, whatever it says."""
    began = time.perf_counter()
    subprocess.run(argv, cwd=folder, capture_output=True, check=False)
    return time.perf_counter() - began


def own_seconds(source: str, folder: Path, output: Path) -> float:
    """Return how long the slowest of four nodes takes for its checks, each run by itself and by its own report."""
    each = 'exec "$@" --output "$0/$SLURMD_NODENAME.json"'
    alone = [*PREFLIGHT, "run", "--config", source, "--format", "terminal", "--format", "json"]
    seconds_of(["srun", "--overlap", "--nodes=4", "--ntasks=4", "sh", "-c", each, str(output), *alone], folder)
    return max(float(json.loads(file.read_text())["seconds"]) for file in output.glob("n*.json"))


def measure_overhead() -> list[Figure]:
    """Compare a run on four nodes with `srun true` and the slowest node's own checks; called within a job of four.

    Their own checks are what `preflight run` on each says in its report, all four at once, as they are in the run:
    where nodes share a machine four worth of checks are done in both. What the command, srun and the collecting add is
    the rest.
    """
    figures = []
    for name, folder, source in projects():
        rounds = []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as output:
                own = own_seconds(source, folder, Path(output))
            empty = seconds_of(["srun", "--overlap", "--nodes=4", "--ntasks=4", "true"], folder)
            whole = seconds_of([*PREFLIGHT, "run", "--config", source, "--on", "slurm"], folder)
            rounds.append((whole, empty, own))
        middle = [median(each) for each in zip(*rounds, strict=True)]
        print("{}: run --on slurm {:.2f} s, srun true {:.2f} s, slowest node alone {:.2f} s".format(name, *middle))
        ratio = median(whole / (empty + own) for whole, empty, own in rounds)
        figures.append(Figure(f"4 nodes, {name} / srun true + their own checks", ratio, 1.3, "x"))
    return figures


def projects() -> list[tuple[str, Path, str]]:
    """Return a project whose checks take two seconds, and the example with its imports and its data."""
    subprocess.run([sys.executable, "prepare.py"], cwd=DIGITS, check=True)
    folder = Path(tempfile.mkdtemp(prefix="preflight-bench-"))
    (folder / "preflight_checks").mkdir()
    checks = "import time\n\n\ndef check_that_lasts():\n    time.sleep(2)\n"
    (folder / "preflight_checks" / "check_sleep.py").write_text(checks)
    (folder / "foo.yaml").write_text("preflight: {}\n")
    text = (DIGITS / "config.yaml").read_text()
    short = "".join(line for line in text.splitlines(keepends=True) if "rehearsal:" not in line)
    (folder / "digits.yaml").write_text(short)
    return [("a check of 2 s", folder, "foo.yaml"), ("examples/digits", DIGITS, str(folder / "digits.yaml"))]


class Scale(NamedTuple):
    """What collecting from so many nodes cost."""

    nodes: int
    messages: int
    wall: float
    cpu: float
    memory: float
    report: float
    terminal: float
    lines: int
    gone: int


def record(folder: Path) -> list[tuple[float, dict[str, Any]]]:
    """Return what a real worker says on the example, with when, and leave the config in `folder`."""
    (folder / "config.yaml").write_text(Path(projects()[1][2]).read_text())
    text = (folder / "config.yaml").read_text()
    config = configuration.load(folder / "config.yaml", text=text, root=DIGITS)
    request = {"text": text, "source": "config.yaml", "root": str(DIGITS), "deadline": config.deadline}
    lent = lent_to("")
    argv = [sys.executable, BOOT, "worker", lent, "recorded"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin is not None
    assert process.stdout is not None
    line = json.dumps({**request, "lent": lent, "imports": config.import_seconds})
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()
    reader, said, began = Reader(), [], time.monotonic()
    for frame in process.stdout:
        said += [(time.monotonic() - began, message) for _, message in reader.feed(frame)]
        if said and said[-1][1]["kind"] == "end":
            break
    process.stdin.close()
    process.wait()
    process.stdout.close()
    return said


def feed(count: int, file: Path) -> None:
    """Say on the standard output what `count` workers would: late, with frames lost and doubled, some to die."""
    chance = random.Random(count)  # noqa: S311 - the same world each time
    first, *said = json.loads(file.read_text())
    names = [f"node{number:05}" for number in range(count)]
    for name in names:
        sys.stdout.buffer.write(b"".join(frames(first[1], 0, name)))
    sys.stdout.flush()
    sys.stdin.readline()
    dead = {name: chance.randrange(len(said)) for name in names if chance.random() < DEAD / 1000}
    late = {name: min(3.0, chance.lognormvariate(-1, 0.7)) for name in names}
    due = sorted(
        (when + late[name], name, number)
        for name in names
        for number, (when, _) in enumerate(said[: dead.get(name, len(said))])
    )
    began = time.monotonic() - due[0][0]
    for when, name, number in due:
        if (left := began + when - time.monotonic()) > 0.01:
            sys.stdout.flush()
            time.sleep(left)
        for frame in frames(own(said[number][1], name, late[name]), number + 1, name):
            luck = chance.random() * 1000
            if luck >= LOST or number == len(said) - 1:
                sys.stdout.buffer.write(frame * (2 if luck > 1000 - TWICE else 1))


def own(message: dict[str, Any], name: str, late: float) -> dict[str, Any]:
    """Return a message as the node of that name would say it: in its name, with times and a host of its own."""
    match message:
        case {"kind": "result", "result": told}:
            times = {"started": told["started"] + late, "seconds": told["seconds"] * (1 + late)}
            return {**message, "result": {**told, **times, "place": name}}
        case {"kind": "facts", "facts": {"host": _, **told}}:
            return {**message, "facts": {**told, "host": name}}
    return message


class Replay:
    """An engine whose one step is `feed`, read as srun is."""

    kind = own_name = "replay"

    def __init__(self, count: int, file: Path) -> None:
        self.nodes = tuple(f"node{number:05}" for number in range(count))
        self._argv = [sys.executable, "-m", "benchmarks.nodes", "feed", str(count), str(file)]

    def start(self, argv: Sequence[str], nodes: Sequence[str]) -> SlurmStep:
        """Start it; a greeting reaches nobody, since whoever is silent here is dead."""
        return SlurmStep(self._argv if "worker" in argv else ["true"], nodes, dict(os.environ))


def collect(count: int, file: Path) -> Scale:
    """Collect from `count` workers, render the report, and return what that cost this process."""
    config = configuration.load(file.with_name("config.yaml"), root=DIGITS)
    messages = len(json.loads(file.read_text())) * count
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, cpu = time.perf_counter(), time.process_time()
    report = run(config, place=Nodes(Replay(count, file)), watcher=Progress(StringIO()))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    verdict = decide(report)
    size = len(render("json", report, verdict)) / 1e6
    began = time.perf_counter()
    page = render("terminal", report, verdict)
    gone = sum(each.presence != "answered" for each in report.places)
    return Scale(count, messages, wall, cpu, memory, size, time.perf_counter() - began, page.count("\n"), gone)


def measure_scale() -> None:
    """Print the curve, each point from a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "said.json")
        file.write_text(json.dumps(record(Path(name))))
        print("  nodes  messages   wall s   cpu s     MB  json MB  page s  lines  gone")
        for count in NODES:
            argv = [sys.executable, "-m", "benchmarks.nodes", "collect", str(count), str(file)]
            told = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
            each = Scale(*json.loads(told))
            print(
                f"{each.nodes:>7,}{each.messages:>10,}{each.wall:>9.1f}{each.cpu:>8.2f}{each.memory:>7.0f}"
                f"{each.report:>9.2f}{each.terminal:>8.2f}{each.lines:>7,}{each.gone:>6}"
            )


def main(words: Sequence[str]) -> int:
    """Do what the first word says; without one, start a Slurm and measure in a job of its four nodes."""
    match words:
        case ["feed", count, file]:
            feed(int(count), Path(file))
        case ["collect", count, file]:
            print(json.dumps(collect(int(count), Path(file))))
        case ["scale"]:
            measure_scale()
        case ["job"]:
            return show(measure_overhead())
        case _:
            with tempfile.TemporaryDirectory(prefix="preflight-slurm-") as folder:
                Path(folder).chmod(0o755)
                subprocess.run([SLURM / "up", folder, str(PORT), "4"], check=True)
                try:
                    os.environ["SLURM_CONF"] = f"{folder}/slurm.conf"
                    job = ["salloc", "--quiet", "--nodes=4", sys.executable, "-m", "benchmarks.nodes", "job"]
                    return subprocess.run(job, check=False).returncode
                finally:
                    subprocess.run([SLURM / "down", folder], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
