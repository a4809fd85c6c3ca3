"""A Slurm of four nodes, each with network, host name and mounts of its own, and a project that is run on it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from preflight.model import Place, Report

SCRIPTS = Path(__file__).parents[1] / "slurm"
CHECKS = """
import os, time
from pathlib import Path

def check_data_is_there():
    assert Path("{folder}/data/train").exists(), "the training data is not mounted"

def check_that_lasts():
    Path("{project}", "in-" + os.environ.get("SLURMD_NODENAME", "")).touch()
    time.sleep(float(os.environ.get("LASTS", "0")))
"""


def wait_for(what: Callable[[], Any], seconds: float = 40.0) -> Any:
    """Return what comes true, or fail."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.05)
    return found


@dataclass
class Run:
    """A `preflight run --on slurm` that goes, and what came of it."""

    process: subprocess.Popen[str]
    output: Path
    code: int = -1
    text: str = ""
    report: Report = field(default_factory=lambda: Report(results=()))

    def wait(self) -> "Run":
        """Return once it has ended."""
        self.text = self.process.communicate(timeout=120)[0]
        self.code = self.process.returncode
        if self.output.exists():
            self.report = Report.from_json(json.loads(self.output.read_text()))
        return self

    def place(self, name: str) -> Place:
        """Return what became of a node."""
        return next(each for each in self.report.places if each.name == name)

    def broken(self) -> set[tuple[str, str]]:
        """Return the checks without an answer, with their nodes."""
        return {(each.check, each.place) for each in self.report.results if each.status == "BROKEN"}


class Cluster:
    """The cluster, which can be broken; `mend` makes it whole."""

    nodes = ("n1", "n2", "n3", "n4")

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        up = subprocess.run([SCRIPTS / "up", folder, str(port), "4", "apart"], capture_output=True, text=True)
        assert up.returncode == 0, up.stderr

    def login(self, *argv: str) -> str:
        """Return what a command says where Slurm can be reached."""
        return subprocess.run([self.folder / "login", *argv], capture_output=True, text=True, timeout=30).stdout

    def start(self, argv: list[str], **keywords: Any) -> subprocess.Popen[str]:
        """Start a command there."""
        return subprocess.Popen([self.folder / "login", *argv], stdout=-1, stderr=-2, text=True, **keywords)

    def at(self, node: str, *argv: str) -> None:
        """Run a command at a node."""
        subprocess.run([self.folder / "at", node, *argv], check=True)

    def link(self, node: str, state: str) -> None:
        """Set the link of a node `up` or `down`."""
        subprocess.run(["ip", "-n", f"preflight-{self.port}", "link", "set", node, state], check=True)

    def daemon(self, node: str) -> int:
        """Return the process id of a node's slurmd."""
        return int((self.folder / "pid" / node).read_text())

    def worker(self, node: str) -> psutil.Process:
        """Return the worker on a node, once it is there; the children that run its checks have its command line."""
        found: list[tuple[float, int]] = wait_for(lambda: list(self._workers(node)))
        return psutil.Process(min(found)[1])

    def _workers(self, node: str) -> Iterator[tuple[float, int]]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                environment = process.environ() if process.cmdline()[2:3] == ["worker"] else {}
                conf = environment.get("SLURM_CONF"), environment.get("SLURMD_NODENAME")
                if conf == (str(self.folder / "slurm.conf"), node):
                    yield process.create_time(), process.pid

    def mend(self) -> None:
        """Make everything well again, and wait until it is."""
        for node in self.nodes:
            self.link(node, "up")
            if not psutil.pid_exists(self.daemon(node)) or psutil.Process(self.daemon(node)).status() == "zombie":
                subprocess.run([self.folder / "start", node], check=True)
        self.login("scancel", "--user=root")
        wait_for(lambda: self.login("sinfo", "--noheader", "--Node", "--format=%t").split() == ["idle"] * 4)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A real Slurm whose nodes can be cut off one by one."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    if missing := [
        name for name in ("slurmctld", "slurmd", "salloc", "munged", "ip") if not shutil.which(name, path=path)
    ]:
        pytest.skip(f"Slurm is not installed: there is no {missing[0]}")
    if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("nodes with a network of their own need root, and namespaces")
    folder = Path("/tmp", f"preflight-nodes-{os.getpid()}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        try:
            yield Cluster(folder, 10000 + os.getpid() % 20000)
        finally:
            subprocess.run([SCRIPTS / "down", folder], timeout=120)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def launch(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Return `launch(lasts=3, options=[…], before=…)`: a run that has been started on all nodes of a job."""
    tmp_path.chmod(0o755)
    (tmp_path / "preflight_checks").mkdir()
    text = CHECKS.format(folder=cluster.folder, project=tmp_path)
    (tmp_path / "preflight_checks" / "check_mine.py").write_text(text)
    (tmp_path / "foo.yaml").write_text("preflight: {nodes: {silence: 3s, start: 20s}, checks: {}}\n")
    runs: list[Run] = []

    def launch(
        *options: str, lasts: float = 0, config: str = "", before: str = "true", only: tuple[str, ...] = ("mine",)
    ) -> Run:
        if config:
            (tmp_path / "foo.yaml").write_text(config)
        output = tmp_path / "out.json"
        shown = ["--format", "terminal", "--format", "json", "--output", str(output)]
        chosen = [word for name in only for word in ("--only", name)]
        preflight = [sys.executable, "-m", "preflight", "run", "--config", "foo.yaml", *chosen, *shown]
        job = ["salloc", "--quiet", "--nodes=4", *options, "sh", "-c", f'{before}; exec "$@"', "sh"]
        environment = {**os.environ, "LASTS": str(lasts)}
        process = cluster.start([*job, *preflight, "--on", "slurm"], cwd=tmp_path, env=environment)
        runs.append(Run(process, output))
        return runs[-1]

    yield launch
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()
    cluster.mend()


@pytest.fixture
def in_check(tmp_path: Path) -> Callable[[str], Any]:
    """Return `in_check(node)`, which waits until a node is in the check that lasts."""
    return lambda node: wait_for((tmp_path / f"in-{node}").exists)
