"""Nodes on this machine, each with an environment of its own that can be broken."""

import os
import shlex
import shutil
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from preflight.collectives.together import add_up_together
from preflight.config import Config, load
from preflight.model import Finding, Result
from preflight.places.hosts import Hosts

# What stands in for ssh: the command runs here, as it would on a host, and the node's own file is read before it.
SSH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
export NODE="$2" FARM={farm}
shift 2
[ ! -e "$FARM/$NODE.sh" ] || . "$FARM/$NODE.sh"
{exec}
"""
# Python reads this before anything else: at one call of a function of torch.distributed, something happens.
FAULT = """
import importlib.abc, os, signal, sys, time

WHAT, FUNCTION, NUMBER = os.environ.get("FAULT", "::0").split(":")

def slow(process):
    # From now on the process runs a tenth of the time.
    if os.fork() == 0:
        while os.getppid() == process:
            os.kill(process, signal.SIGSTOP)
            time.sleep(0.045)
            os.kill(process, signal.SIGCONT)
            time.sleep(0.005)
        os._exit(0)

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "torch.distributed.distributed_c10d":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def execute_and_break(module):
            execute(module)
            right, calls = getattr(module, FUNCTION), []
            def wrong(tensor, *more, **named):
                calls.append(1)
                is_due = len(calls) >= int(NUMBER) if NUMBER else True
                if is_due and WHAT == "sends" and tensor.numel() > 1:
                    (tensor[module.get_rank()] if tensor.ndim == 2 else tensor)[7] += 1
                elif is_due and WHAT == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                elif is_due and WHAT == "stop":
                    os.kill(os.getpid(), signal.SIGSTOP)
                elif is_due and WHAT == "slow":
                    slow(os.getpid())
                elif is_due and WHAT == "cut":
                    os.system("ip link set eth0 down")
                elif is_due and WHAT == "sleep":
                    time.sleep(600)
                elif is_due and WHAT == "raise":
                    print("NCCL WARN the card has fallen off the bus", flush=True)
                    raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
                done = right(tensor, *more, **named)
                if is_due and WHAT == "receives" and tensor.numel() > 1:
                    tensor[..., 7] += 1
                return done
            setattr(module, FUNCTION, wrong)
        spec.loader.exec_module = execute_and_break
        return spec

if FUNCTION and "rank" in sys.orig_argv:
    import importlib.util

    sys.meta_path.insert(0, Finder())
"""

NODES = range(1, 5)
ENTER = """exec nsenter --net=/run/netns/{space}-$NODE unshare --uts --mount sh -c \\
    'hostname $NODE && mount --bind "$FARM/$NODE.hosts" /etc/hosts && exec sh -c "$1"' sh "$*"
"""


class Farm:
    """Nodes that can be broken one by one; `found` has them add up together."""

    def __init__(self, folder: Path, run: str = 'exec sh -c "$*"') -> None:
        self.folder = folder
        (folder / "ssh").write_text(SSH.format(farm=shlex.quote(str(folder)), exec=run))
        (folder / "ssh").chmod(0o755)
        (folder / "fault").mkdir()
        (folder / "fault" / "sitecustomize.py").write_text(textwrap.dedent(FAULT))

    def at(self, node: str, script: str) -> None:
        """Have a node's processes begin with these lines of shell."""
        (self.folder / f"{node}.sh").write_text(script + "\n")

    def fault(self, node: str, what: str, function: str = "all_reduce", number: int | str = "") -> None:
        """Have something happen in a node's rank at so many calls of a function, by default at each."""
        self.at(node, f"export PYTHONPATH={self.folder}/fault FAULT={what}:{function}:{number}")

    def config(self, **nodes: str) -> Config:
        """Return a config with these words under `nodes:`."""
        words = {"silence": "6s", "start": "60s", **nodes}
        told = ", ".join(f"{name}: {value}" for name, value in words.items())
        return load(None, text=f"preflight: {{nodes: {{collectives: true, {told}}}}}")

    def results(self, number: int = 4, **nodes: str) -> dict[str, Result]:
        """Return what is said of each node."""
        engine = Hosts([f"n{each}" for each in range(1, number + 1)], ssh=(str(self.folder / "ssh"),))
        results = add_up_together(engine, engine.nodes, self.config(**nodes))
        assert [each.place for each in results] == list(dict.fromkeys(each.place for each in results))
        return {each.place: each for each in results}

    def rank(self, node: str) -> psutil.Process:
        """Return the process of a node's rank, once it is there."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for process in psutil.process_iter():
                try:
                    if process.cmdline()[2:3] == ["rank"]:
                        told = process.environ()
                        if (told.get("NODE"), told.get("FARM")) == (node, str(self.folder)):
                            return process
                except psutil.Error:
                    continue
            time.sleep(0.02)
        raise TimeoutError


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    """Nodes that share this machine's network; none of their processes is left."""
    pytest.importorskip("torch")
    yield Farm(tmp_path)
    until = time.monotonic() + 10
    while left := _left(tmp_path):
        assert time.monotonic() < until, left
        time.sleep(0.1)


def _left(folder: Path) -> list[list[str]]:
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FARM") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process.cmdline())
        except psutil.Error:
            continue
    return left


class Apart(Farm):
    """Nodes in network namespaces on one bridge."""

    def __init__(self, folder: Path) -> None:
        self.space = f"pf{os.getpid()}"
        super().__init__(folder, ENTER.format(space=self.space))
        self.ip("netns", "add", self.space)
        self.within("link", "set", "lo", "up")
        self.within("link", "add", "bridge", "type", "bridge")
        self.within("link", "set", "bridge", "up")
        for number in NODES:
            node = f"n{number}"
            self.ip("netns", "add", f"{self.space}-{node}")
            self.within("link", "add", node, "type", "veth", "peer", "name", "eth0", "netns", f"{self.space}-{node}")
            self.within("link", "set", node, "master", "bridge", "up")
            self.within("addr", "add", f"198.18.2.{number}/16", "dev", "eth0", node=node)
            for name in ("eth0", "lo"):
                self.within("link", "set", name, "up", node=node)
            self.hosts(node)

    def ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    def within(self, *words: str, node: str = "") -> None:
        self.ip("-n", f"{self.space}-{node}" if node else self.space, *words)

    def hosts(self, node: str, **others: str) -> None:
        """Write what a node's /etc/hosts says, of some names something else than what is right."""
        told = {f"n{each}": f"198.18.2.{each}" for each in NODES} | others
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in told.items())]
        (self.folder / f"{node}.hosts").write_text("\n".join(lines) + "\n")

    def close(self) -> None:
        for space in (*(f"{self.space}-n{number}" for number in NODES), self.space):
            subprocess.run(["ip", "netns", "delete", space])


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Apart]:
    pytest.importorskip("torch")
    if os.geteuid() or not all(map(shutil.which, ("ip", "nsenter", "unshare"))):
        pytest.skip("nodes with a network of their own need root, ip and nsenter")
    if subprocess.run(["unshare", "--net", "--uts", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("there are no namespaces")
    apart = Apart(tmp_path)
    yield apart
    apart.close()


@pytest.fixture(scope="session")
def blamed() -> Callable[[dict[str, Result]], dict[str, Finding]]:
    """Return `blamed(results)`: the error or warning of each node that has one; the others have passed."""

    def blamed(results: dict[str, Result]) -> dict[str, Finding]:
        found = {}
        for node, result in results.items():
            bad = [each for each in result.findings if each.severity != "info"]
            assert bad or result.status == "PASSED", result
            if bad:
                (found[node],) = bad
        return found

    return blamed
