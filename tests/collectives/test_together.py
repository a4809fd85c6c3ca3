"""Nodes that really add up together: healthy ones are silent, and the one that is broken is named, and no other."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from preflight.model import Finding, Result

Blamed = Callable[[dict[str, Result]], dict[str, Finding]]


def test_healthy_nodes(farm: Any, blamed: Blamed) -> None:
    results = farm.results(4)
    assert blamed(results) == {}
    assert [each.id for each in results["n1"].findings] == ["nodes.together"]
    assert results["n1"].findings[0].message.startswith("4 ranks on 4 nodes add up together with ")


def test_one_that_dies(farm: Any, blamed: Blamed) -> None:
    farm.fault("n3", "kill", number=4)
    found = blamed(farm.results(4))
    assert {node: each.id for node, each in found.items()} == {"n3": "nodes.rank-dies"}
    assert found["n3"].message == "rank 2 dies while it is adding up"
    assert found["n3"].found == "SIGKILL"


@pytest.mark.slow
@pytest.mark.parametrize("node", ["n1", "n4"])
@pytest.mark.parametrize(
    ("what", "function", "number", "finding", "words"),
    [
        ("kill", "init_process_group", 1, "rank-dies", "dies while it is waiting for the group to form"),
        ("kill", "batch_isend_irecv", 2, "rank-dies", "dies while it is exchanging with one other at a time"),
        ("stop", "all_reduce", 4, "rank-silent", "is adding up, and nothing more comes"),
        ("stop", "init_process_group", 1, "rank-silent", "is waiting for the group to form, and nothing more comes"),
        ("sleep", "all_reduce", 4, "rank-silent", "no other node adds up with it"),
        ("sleep", "init_process_group", 1, "rank-silent", "no other node adds up with it"),
        ("raise", "all_reduce", 4, "rank-dies", "fails while it is adding up"),
        ("sends", "all_reduce", "", "wrong-sum", "adds wrong numbers to the sum of 4 ranks"),
        ("receives", "all_reduce", "", "wrong-sum", "receives a wrong sum of 4 ranks"),
    ],
)
def test_one_that_is_broken(
    farm: Any, blamed: Blamed, node: str, what: str, function: str, number: int | str, finding: str, words: str
) -> None:
    farm.fault(node, what, function, number)
    began = time.monotonic()
    found = blamed(farm.results(4))
    assert {name: each.id for name, each in found.items()} == {node: f"nodes.{finding}"}, found
    assert words in found[node].message
    output = "NCCL WARN the card has fallen off the bus" if what == "raise" else None
    assert found[node].evidence.get("output") == output
    assert time.monotonic() - began < 240


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "finding", "words"),
    [
        ("exit 3", "rank-absent", "its ranks do not start"),
        ("exec sleep 600", "rank-absent", "its ranks do not start"),
        ("export GLOO_SOCKET_IFNAME=ib7", "no-interface", "GLOO_SOCKET_IFNAME is ib7, and this node has no such"),
    ],
)
def test_one_that_never_comes(farm: Any, blamed: Blamed, script: str, finding: str, words: str) -> None:
    farm.at("n2", script)
    found = blamed(farm.results(4, start="15s"))
    assert {name: each.id for name, each in found.items()} == {"n2": f"nodes.{finding}"}, found
    assert words in found["n2"].message


@pytest.mark.slow
@pytest.mark.parametrize("node", ["n1", "n3"])
def test_one_that_is_slowed_tenfold(farm: Any, node: str) -> None:
    farm.fault(node, "slow", "init_process_group", 1)
    results = farm.results(4, silence="15s")
    assert [each.id for each in results[node].findings][:2] == ["nodes.together", "nodes.slow-rank"]
    others = [each.id for name in results if name != node for each in results[name].findings]
    assert others == ["nodes.together"] * 3


@pytest.mark.slow
def test_a_busy_machine_is_no_slow_node(farm: Any, blamed: Blamed) -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        for _ in range(3):
            assert blamed(farm.results(4)) == {}
    finally:
        for each in busy:
            each.kill()
            each.wait()


@pytest.mark.slow
def test_a_supervisor_that_is_stopped_is_silent(farm: Any, blamed: Blamed) -> None:
    stopped: list[int] = []

    def stop() -> None:
        stopped.append(farm.rank("n2").ppid())
        os.kill(stopped[0], signal.SIGSTOP)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        found = blamed(farm.results(4))
    finally:
        thread.join()
        os.kill(stopped[0], signal.SIGCONT)  # it sees that nobody hears it any more, and ends
    assert {name: each.id for name, each in found.items()} == {"n2": "nodes.rank-silent"}
    assert found["n2"].message == "the node falls silent while all add up together"


def test_a_node_alone_has_nobody_to_add_up_with(farm: Any) -> None:
    (result,) = farm.results(1).values()
    assert (result.status, result.asked) == ("SKIPPED", False)
    assert result.reason == "no other node is left to add up with"
