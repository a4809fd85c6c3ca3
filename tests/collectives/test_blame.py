"""Who is to blame, told from what a meeting has left: GPUs and large groups, which no machine here has."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from preflight.collectives.blame import blame, speed
from preflight.collectives.meeting import Met
from preflight.model import Presence
from preflight.places.engine import Gone
from preflight.system.group import Member, Phase


def met(nodes: int = 4, each: int = 2, device: str = "cuda", **variables: str) -> Met:
    """Return what a meeting leaves where all is well."""
    number = nodes * each
    members = [
        Member(
            rank=rank,
            device=f"{device}:{rank % each}" if device == "cuda" else device,
            node=f"n{rank // each + 1}",
            state="S",
            phase=Phase.DONE,
            bytes_per_second=40e9,
            compute=0.002,
            pairs={other: 200e9 if other // each == rank // each else 20e9 for other in range(number) if other != rank},
        )
        for rank in range(number)
    ]
    facts = {"own": ["10.0.0.7"], "interfaces": {"lo": ["127.0.0.1"], "ib0": ["10.0.0.7"]}, "variables": variables}
    network: dict[str, Any] = {f"n{one}": {"host": f"n{one}", "devices": each, **facts} for one in range(1, nodes + 1)}
    return Met(members=members, network=network)


def change(one: Met, ranks: set[int], **facts: Any) -> Met:
    """Return the meeting with other facts of some of its ranks."""
    one.members = [replace(member, **facts) if member.rank in ranks else member for member in one.members]
    return one


def named(one: Met) -> dict[str, str]:
    """Return which nodes are blamed, and of what; `nobody` where nobody alone is."""
    told = blame(one)
    assert not (told.guilty and told.nobody)
    if told.nobody is not None:
        return {"nobody": told.nobody.id}
    return {node: each.id for node, each in told.guilty.items()} | {
        node: " ".join(each.id for each in found) for node, found in told.slow.items()
    }


def test_all_is_well() -> None:
    one = met(NCCL_SOCKET_IFNAME="ib")
    assert named(one) == {}
    assert speed(one).message == "8 ranks on 4 nodes add up together with 40 GB/s by nccl"
    assert speed(one).evidence == {"NCCL_SOCKET_IFNAME": "ib"}


@given(some.lists(some.floats(0.6, 1.4), min_size=16, max_size=16))
def test_nodes_that_differ_a_little_are_not_slow(noise: list[float]) -> None:
    one = met()
    one.members = [
        replace(
            member,
            compute=member.compute * noise[member.rank],
            pairs={other: rate * noise[8 + member.rank] for other, rate in member.pairs.items()},
        )
        for member in one.members
    ]
    assert named(one) == {}


def test_one_card_that_computes_slowly() -> None:
    one = change(met(), {5}, compute=0.02)
    assert named(one) == {"n3": "nodes.slow-rank"}
    (finding,) = blame(one).slow["n3"]
    assert finding.message == "rank 5 computes 10 times as slowly as the others"
    assert (finding.found, finding.severity) == ("20 ms", "warning")


def test_a_node_whose_way_to_the_others_is_slow_though_its_own_cards_are_fast() -> None:
    one = met()
    for rank in (6, 7):
        pairs = {other: rate if other in (6, 7) else 2e9 for other, rate in one.members[rank].pairs.items()}
        change(one, {rank}, pairs=pairs)
    assert named(one) == {"n4": "nodes.slow-link nodes.slow-link"}


def test_of_two_nodes_none_is_slow() -> None:
    assert named(change(met(nodes=2), {0, 1}, compute=0.02)) == {}


def test_who_dies_and_not_who_fails_after_it() -> None:
    one = change(met(), set(range(8)), phase=Phase.ENTERED, error="DistBackendError: NCCL error: remote process exited")
    one = change(one, {2}, ended="SIGSEGV", error="", after=1.0)
    assert named(one) == {"n2": "nodes.rank-dies"}


def test_who_raises_first_what_comes_from_nobody_else() -> None:
    one = change(met(), set(range(8)), phase=Phase.ENTERED, after=1.5, error="RuntimeError: Connection closed by peer")
    one = change(one, {7}, error="RuntimeError: CUDA error: uncorrectable ECC error encountered", after=1.4)
    assert named(one) == {"n4": "nodes.rank-dies"}
    assert blame(one).guilty["n4"].found.endswith("ECC error encountered")


def test_two_that_fail_by_themselves() -> None:
    one = change(met(), set(range(8)), phase=Phase.READY)
    one = change(one, {0, 6}, phase=Phase.STARTED, error="ImportError: libcudnn.so.9: cannot open shared object file")
    assert named(one) == {"n1": "nodes.rank-dies", "n4": "nodes.rank-dies"}


def test_one_that_is_behind() -> None:
    one = change(met(), set(range(8)), phase=Phase.ENTERED)
    one.quiet = 30.0
    assert named(change(one, {3}, phase=Phase.FORMED)) == {"n2": "nodes.rank-silent"}
    finding = blame(one).guilty["n2"]
    assert finding.message == "rank 3 has not begun to add up, and nothing more comes within 30 s"
    assert finding.cause == "7 others wait for it"


def test_where_all_wait_at_one_point_nobody_is_blamed_yet() -> None:
    one = change(met(), set(range(8)), phase=Phase.READY)
    assert named(one) == {"nobody": "nodes.group-does-not-form"}
    one = change(one, set(range(8)), phase=Phase.ENTERED)
    assert named(one) == {"nobody": "nodes.sum-does-not-end"}
    one = change(
        one, {1, 2}, error="RuntimeError: [gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.7]"
    )
    assert named(one) == {"nobody": "nodes.sum-does-not-end"}


def test_a_node_that_is_gone_is_blamed_before_all_else() -> None:
    one = change(met(), set(range(8)), phase=Phase.ENTERED, error="RuntimeError: Connection reset by peer")
    one.gone["n3"] = Gone(Presence.LOST, "Slurm says that the node has failed")
    assert named(one) == {"n3": "nodes.rank-dies"}
    assert blame(one).guilty["n3"].cause == "Slurm says that the node has failed; its rank is adding up"


@pytest.mark.parametrize(
    ("wanted", "is_there"),
    [
        ("ib", True),
        ("ib0", True),
        ("=ib0", True),
        ("=ib", False),
        ("eth", False),
        ("eth,ib", True),
        ("^lo,docker", True),
        ("^lo,ib", False),
        ("^=lo", True),
    ],
)
def test_the_interfaces_that_nccl_finds(wanted: str, is_there: bool) -> None:
    one = change(met(NCCL_SOCKET_IFNAME=wanted), set(range(8)), phase=Phase.READY)
    expected = {"nobody": "nodes.group-does-not-form"} if is_there else dict.fromkeys(one.network, "nodes.no-interface")
    assert named(one) == expected


def test_a_variable_of_the_other_library_is_nobodys_fault() -> None:
    one = change(met(GLOO_SOCKET_IFNAME="eth7"), set(range(8)), phase=Phase.READY)
    assert named(one) == {"nobody": "nodes.group-does-not-form"}


def test_names_that_are_loopback_matter_to_gloo_alone() -> None:
    for device, expected in (("cpu", {"n2": "nodes.own-name"}), ("cuda", {"nobody": "nodes.group-does-not-form"})):
        error = "RuntimeError: Connection refused, remote=[127.0.1.1]:39312"
        one = change(met(device=device, each=1), set(range(4)), phase=Phase.READY, error=error)
        one.network["n2"] = {**one.network["n2"], "own": ["127.0.1.1"]}
        assert named(one) == expected


def test_a_wrong_sum() -> None:
    assert named(change(met(), set(range(8)), wrong=3, blamed=(4,))) == {"n3": "nodes.wrong-sum"}
    assert named(change(met(), {4}, wrong=3, blamed=(0, 1, 2, 3, 4, 5, 6, 7))) == {"n3": "nodes.wrong-sum"}


def test_the_first_node_where_nobody_reaches_it() -> None:
    one = met()
    one.members = []
    one.tried = {node: {"n1": "No route to host"} for node in ("n2", "n3", "n4")}
    assert named(one) == {"n1": "nodes.out-of-reach"}
    del one.tried["n3"]
    assert named(one) == {"n2": "nodes.out-of-reach", "n4": "nodes.out-of-reach"}
