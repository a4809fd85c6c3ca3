"""An experiment in a repository of its own, and what it is launched onto: tmux, a host with sshd, a real Slurm."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from preflight.records.folder import Records, Run
from preflight.records.record import Record

REPOSITORY = Path(__file__).parents[3]
# What the job saw, for whoever started it: its words, its folder, some of its environment.
TRAIN = """
import json, os, pathlib, sys, time
words, place = sys.argv[2:], pathlib.Path(sys.argv[1])
print("training", flush=True)
seen = {"argv": words, "folder": os.getcwd(), "variable": os.environ.get("GIVEN", ""), "pid": os.getpid()}
(place / "seen.new").write_text(json.dumps(seen))
os.replace(place / "seen.new", place / "seen.json")
while (place / "wait").exists():
    time.sleep(0.05)
sys.exit(int((place / "code").read_text()) if (place / "code").exists() else 0)
"""
# A file `bad` makes every node bad, `bad-n2` one of them; `busy` keeps the check going.
NODE_CHECK = """
import os, time
from pathlib import Path
from preflight import check

@check(at="node")
def check_node_is_well():
    bad = Path({0!r})
    while bad.with_name("busy").exists():
        time.sleep(0.05)
    assert not bad.exists() and not Path(f"{{bad}}-{{os.environ.get('SLURMD_NODENAME')}}").exists(), "this node is bad"
"""


class Experiment:
    """A project, and how it is launched."""

    def __init__(self, folder: Path, outside: Path) -> None:
        self.folder, self.outside = folder, outside
        self.section: dict[str, object] = {}
        (folder / "preflight_checks").mkdir(parents=True)
        (folder / "preflight_checks" / "check_node.py").write_text(NODE_CHECK.format(str(outside / "bad")))
        (folder / "train.py").write_text(TRAIN)
        self.write()
        for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=first"]):
            self.git(*words)

    def git(self, *words: str) -> str:
        who = ["-c", "user.name=Me", "-c", "user.email=me@example.org"]
        return subprocess.run(["git", *who, *words], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def write(self, **section: object) -> None:
        """Write the config; `section` is `launch:`."""
        text = json.dumps({"preflight": {"deadline": 30, "launch": section}})  # JSON is YAML
        (self.folder / "foo.yaml").write_text(text)

    def command(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of preflight in the project."""
        process = [sys.executable, "-m", "preflight", command, *words]
        return subprocess.run(process, cwd=self.folder, capture_output=True, text=True, timeout=120)

    def launch(self, way: str, *words: str, name: str = "one", more: tuple[str, ...] = ()) -> Run:
        """Launch train.py with these words, and return the run."""
        train = [sys.executable, "train.py", str(self.outside), *words]
        self.done = self.command("launch", "--config", "foo.yaml", "--name", name, "--on", way, *more, "--", *train)
        return self.run(name)

    def run(self, name: str = "one") -> Run:
        return Run(Records(self.folder / ".preflight" / "runs").folder / name)

    def seen(self) -> dict[str, object]:
        """Wait for what the job says that it saw."""
        self.until(lambda: (self.outside / "seen.json").exists())
        return json.loads((self.outside / "seen.json").read_text())

    def until(self, is_so: Callable[[], object], seconds: float = 90) -> None:
        """Wait until something is so."""
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end, "it never was"
            time.sleep(0.05)

    def end(self, name: str = "one") -> Record:
        """Wait until the run has ended, and return its record."""
        self.until(lambda: self.run(name).read().state.is_end)
        return self.run(name).read()


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """A healthy experiment."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TMUX")) and name != "SLURM_CONF"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("GIVEN", "given $(x) 'ü'")
    (tmp_path / "outside").mkdir()
    return Experiment(tmp_path / "my project", tmp_path / "outside")


@pytest.fixture
def tmux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Tmux with sockets of this test's own."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    sockets = Path("/tmp", f"preflight-tmux-{os.getpid()}")  # a socket's path must be short
    sockets.mkdir(exist_ok=True)
    monkeypatch.setenv("TMUX_TMPDIR", str(sockets))
    yield
    for socket_file in sockets.glob("tmux-*/*"):
        subprocess.run(["tmux", "-S", str(socket_file), "kill-server"], capture_output=True)
    shutil.rmtree(sockets, ignore_errors=True)


def free_ports(count: int) -> int:
    """Return the first of so many ports in a row that nobody listens on."""
    for first in range(27_000 + os.getpid() % 1000 * 5, 60_000, 10):
        try:
            for port in range(first, first + count):
                with socket.socket() as tried:
                    tried.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no ports")


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A host that `ssh` reaches: a real sshd on loopback, with a key, a port and a config of its own."""
    server = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if server is None or shutil.which("ssh-keygen") is None:
        pytest.skip("sshd is not installed")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    folder = tmp_path_factory.mktemp("ssh")
    for key in ("host", "me"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    port = free_ports(1)
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/me.pub\n"
        f"StrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile {folder}/pid\n"
    )
    (folder / "config").write_text(
        f"Host node\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {folder}/me\n"
        f"  UserKnownHostsFile {folder}/known\n  StrictHostKeyChecking no\n  LogLevel ERROR\n"
    )
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
    (folder / "bin" / "ssh").chmod(0o755)
    process = subprocess.Popen([server, "-D", "-f", str(folder / "sshd_config"), "-E", str(folder / "log")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
        patch.setenv("TMPDIR", "/tmp")
        for _ in range(100):
            if not subprocess.run(["ssh", "node", "true"], capture_output=True).returncode:
                break
            time.sleep(0.05)
        else:
            pytest.skip(f"sshd does not answer: {(folder / 'log').read_text()[-300:]}")
        yield "ssh:node"
        shared = f"ControlPath=/tmp/preflight-ssh-{os.getuid()}/%C"
        subprocess.run(["ssh", "-O", "exit", "-o", shared, "node"], capture_output=True)
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real Slurm of four nodes; the folder of its files."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    if missing := [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if not shutil.which(name, path=path)]:
        pytest.skip(f"Slurm is not installed: there is no {missing[0]}")
    folder = Path("/tmp", f"preflight-slurm-{os.getpid()}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        scripts = REPOSITORY / "tests" / "slurm"
        up = subprocess.run([scripts / "up", folder, str(free_ports(5)), "4"], capture_output=True, text=True)
        assert up.returncode == 0, up.stderr
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        yield folder
        subprocess.run([scripts / "down", folder], timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
