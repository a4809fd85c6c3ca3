"""Plain hosts, each with a real sshd of its own on loopback: reached, refused, stopped, cut off."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from preflight.errors import UserError
from preflight.model import Presence, Report, Status
from preflight.places.hosts import read_hosts

NAMES = ("n1", "n2", "n3", "n4")
CHECKS = """
import os, time
from pathlib import Path

def check_that_lasts(experiment):
    Path("runs-" + os.environ["SSH_CONNECTION"].split()[3]).touch()
    time.sleep(experiment["lasts"])
"""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b", ["a", "b"]),
        ("n[1-3],login", ["n1", "n2", "n3", "login"]),
        ("# the cluster\nn1 slots=4\nn2  # old\n\nn[3-4]\nn1\n", ["n1", "n2", "n3", "n4"]),
        ("me@host.domain", ["me@host.domain"]),
    ],
)
def test_hosts_are_read(text: str, names: list[str]) -> None:
    assert read_hosts(text) == names


@pytest.mark.parametrize("text", ["", "# nothing", "-oProxyCommand=sh", "n[1-", "a,-b"])
def test_what_are_no_hosts_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no hosts"):
        read_hosts(text)


class Farm:
    """Hosts that `ssh` reaches by their names, each a sshd on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for key in ("host", "me"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
        self.ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
        told = [
            f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {folder}/me\n  LogLevel ERROR\n"
            f"  UserKnownHostsFile {folder}/known\n  StrictHostKeyChecking no\n"
            for name, port in self.ports.items()
        ]
        (folder / "config").write_text("".join(told))
        (folder / "bin").mkdir()
        (folder / "bin" / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
        (folder / "bin" / "ssh").chmod(0o755)
        self.servers: dict[str, psutil.Popen] = {}
        for name in NAMES:
            self.up(name)

    def up(self, name: str) -> None:
        server = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        options = [
            *("-D", "-f", "/dev/null", "-p", str(self.ports[name]), "-h", str(self.folder / "host")),
            *("-o", "ListenAddress=127.0.0.1", "-o", f"AuthorizedKeysFile={self.folder}/me.pub", "-o", "UsePAM=no"),
            *("-o", "StrictModes=no", "-o", "PermitRootLogin=yes", "-o", "PidFile=none", "-o", "MaxStartups=100"),
        ]
        self.servers[name] = psutil.Popen([server, *options], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while not answers(self.ports[name]):
            assert time.monotonic() < until
            time.sleep(0.05)

    def down(self, name: str) -> None:
        server = self.servers.pop(name)
        family = [server, *server.children(recursive=True)]
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        server.wait(10)


def answers(port: int) -> bool:
    with socket.socket() as tried:
        return not tried.connect_ex(("127.0.0.1", port))


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    path = f"{os.environ['PATH']}:/usr/sbin"
    if missing := [name for name in ("sshd", "ssh", "ssh-keygen") if not shutil.which(name, path=path)]:
        pytest.skip(f"needs {missing[0]}")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    made = Farm(tmp_path_factory.mktemp("farm"))
    yield made
    for name in list(made.servers):
        made.down(name)


@pytest.fixture
def start(farm: Farm, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start `preflight run --on …` in a project of one check that lasts; call what comes back for its report."""
    processes: list[subprocess.Popen[str]] = []
    (tmp_path / "preflight_checks").mkdir()
    (tmp_path / "preflight_checks" / "check_mine.py").write_text(CHECKS)
    (tmp_path / "hosts.txt").write_text("n1 slots=2\nn[2-4]\n")

    def begin(
        on: str = "ssh:n[1-4]", lasts: float = 0.0, nodes: str = "{}", launch: str = "{}"
    ) -> Callable[[], tuple[int, Report]]:
        (tmp_path / "foo.yaml").write_text(f"lasts: {lasts}\npreflight: {{nodes: {nodes}, launch: {launch}}}\n")
        words = ["run", "--config", "foo.yaml", "--on", on, "--only", "mine", "--format", "json"]
        environment = {**os.environ, "PATH": f"{farm.folder}/bin:{os.environ['PATH']}"}
        process = subprocess.Popen(
            [sys.executable, "-m", "preflight", *words],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)

        def end() -> tuple[int, Report]:
            output, errors = process.communicate(timeout=120)
            assert output, errors
            return process.returncode, Report.from_json(json.loads(output))

        return end

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def presences(report: Report) -> dict[str, Presence]:
    return {place.name: place.presence for place in report.places}


def wait_for(files: list[Path]) -> None:
    until = time.monotonic() + 60
    while not all(each.exists() for each in files):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("on", ["ssh:n[1-4]", "hosts:hosts.txt"])
def test_every_host_is_checked(start: Callable[..., Any], on: str, tmp_path: Path, farm: Farm) -> None:
    code, report = start(on)()
    assert code == 0, report
    assert presences(report) == dict.fromkeys(NAMES, Presence.ANSWERED)
    assert {(each.check, each.place, each.status) for each in report.results} == {
        ("mine.that-lasts", name, Status.PASSED) for name in NAMES
    }
    assert report.facts["on"] == "ssh:n[1-4]"
    assert all((tmp_path / f"runs-{port}").exists() for port in farm.ports.values())


@pytest.mark.slow
def test_the_hosts_may_have_another_interpreter(start: Callable[..., Any], tmp_path: Path) -> None:
    """It is theirs alone: the run does not come back to this machine for it."""
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "python").chmod(0o755)
    code, report = start(on="ssh:n[1-2]", launch=f"{{ssh: {{python: {tmp_path}/python}}}}")()
    assert code == 0, report
    assert presences(report) == dict.fromkeys(("n1", "n2"), Presence.ANSWERED)


@pytest.mark.slow
def test_hosts_that_cannot_be_reached_are_told_apart(start: Callable[..., Any], farm: Farm) -> None:
    """One refuses the connection, one takes it and says nothing: neither holds up the others."""
    farm.down("n2")
    farm.servers["n3"].send_signal(signal.SIGSTOP)
    try:
        code, report = start()()
    finally:
        farm.servers["n3"].send_signal(signal.SIGCONT)
        farm.up("n2")
    assert code == 3
    assert presences(report) == {
        "n1": Presence.ANSWERED,
        "n2": Presence.ABSENT,
        "n3": Presence.ABSENT,
        "n4": Presence.ANSWERED,
    }
    reasons = {place.name: place.reason for place in report.places}
    assert "Connection refused" in reasons["n2"]
    assert "timed out" in reasons["n3"]
    passed = {each.place for each in report.results if each.status is Status.PASSED}
    assert passed == {"n1", "n4"}


@pytest.mark.slow
def test_a_host_that_is_lost_holds_up_nobody_and_its_worker_ends(
    start: Callable[..., Any], farm: Farm, tmp_path: Path
) -> None:
    end = start(lasts=6.0)
    wait_for([tmp_path / f"runs-{port}" for port in farm.ports.values()])
    farm.down("n4")
    farm.up("n4")
    code, report = end()
    assert code == 3
    assert presences(report)["n4"] is Presence.LOST
    assert {each.place for each in report.results if each.status is Status.PASSED} == {"n1", "n2", "n3"}
    assert any("mine.that-lasts" in (*place.running,) for place in report.places if place.name == "n4")


@pytest.mark.slow
def test_a_worker_that_is_stopped_is_named_with_its_check(
    start: Callable[..., Any], farm: Farm, tmp_path: Path
) -> None:
    end = start(lasts=4.0, nodes="{silence: 5s}")
    wait_for([tmp_path / f"runs-{port}" for port in farm.ports.values()])
    below = farm.servers["n2"].children(recursive=True)
    stopped = [each for each in below if "boot.py" in " ".join(each.cmdline())]
    for each in stopped:
        each.suspend()
    code, report = end()
    for each in stopped:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    assert code == 3
    assert presences(report) == {
        "n1": Presence.ANSWERED,
        "n2": Presence.SILENT,
        "n3": Presence.ANSWERED,
        "n4": Presence.ANSWERED,
    }


def test_a_place_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    for on, words in (
        ("moon", "--on moon is no place"),
        ("hosts:nowhere", "nowhere cannot be read"),
        ("ssh:", "no hosts"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "preflight", "run", "--on", on], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 2
        assert words in done.stderr
