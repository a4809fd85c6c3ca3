"""Nodes with a network of their own that is cut, slowed or told wrongly."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from preflight.model import Finding, Result

pytestmark = pytest.mark.slow

Blamed = Callable[[dict[str, Result]], dict[str, Finding]]


def test_all_is_well(apart: Any, blamed: Blamed) -> None:
    assert blamed(apart.results(4)) == {}


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_node_whose_own_name_is_the_loopback(apart: Any, blamed: Blamed, node: str) -> None:
    apart.hosts(node, **{node: "127.0.1.1"})
    found = blamed(apart.results(4))
    assert {name: each.id for name, each in found.items()} == {node: "nodes.own-name"}
    assert found[node].message == f"{node}, its own name, stands there for 127.0.1.1"
    apart.at(node, "export GLOO_SOCKET_IFNAME=eth0")
    assert "export GLOO_SOCKET_IFNAME=eth0" in found[node].fix
    assert blamed(apart.results(4)) == {}


@pytest.mark.parametrize("node", ["n1", "n3"])
def test_a_node_that_is_cut_off(apart: Any, blamed: Blamed, node: str) -> None:
    apart.within("link", "set", node, "down")
    found = blamed(apart.results(4))
    assert {name: each.id for name, each in found.items()} == {node: "nodes.out-of-reach"}
    apart.within("link", "set", node, "up")
    assert blamed(apart.results(4)) == {}


def test_a_node_that_is_cut_off_on_the_way(apart: Any, blamed: Blamed) -> None:
    apart.fault("n4", "cut", number=4)
    found = blamed(apart.results(4))
    assert found.keys() == {"n4"}, found
    assert found["n4"].id in {"nodes.rank-silent", "nodes.out-of-reach"}


def test_a_slow_network_card(apart: Any) -> None:
    tc = ["ip", "netns", "exec", f"{apart.space}-n3", "tc", "qdisc", "add", "dev", "eth0", "root", "tbf"]
    subprocess.run([*tc, "rate", "100mbit", "burst", "64kb", "latency", "400ms"], check=True)
    results = apart.results(4)
    assert [each.id for each in results["n3"].findings] == ["nodes.together", "nodes.slow-link"]
    others = [each.id for name in ("n1", "n2", "n4") for each in results[name].findings]
    assert others == ["nodes.together"] * 3


def test_two_nodes_that_do_not_reach_each_other(apart: Any) -> None:
    apart.within("route", "add", "blackhole", "198.18.2.3", node="n2")
    results = apart.results(4)
    assert {each.findings[0].id for each in results.values()} == {"nodes.group-does-not-form"}
    assert results["n1"].findings[0].evidence == {"these add up by themselves": ["n1, n2", "n3, n4"]}
