"""Nodes that differ: each kind of difference is seen, the odd one is named, and what is each node's own is not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.drift import are_alike
from preflight.model import Finding, Place, Presence, Result, Severity, Status

NODES = [f"n{number}" for number in range(1, 6)]


def nodes(usual: dict[str, Any], **odd: dict[str, Any]) -> list[Place]:
    return [Place(name=name, facts=odd.get(name, usual)) for name in NODES]


def found(results: list[Result]) -> dict[str, list[Finding]]:
    return {result.place: list(result.findings) for result in results if result.findings}


GPU = {"name": "NVIDIA H100 80GB HBM3", "index": 0}
KINDS: list[tuple[str, Severity, dict[str, Any], dict[str, Any], str]] = [
    ("packages", Severity.ERROR, {"packages": {"torch": "2.13.0"}}, {"packages": {"torch": "2.12.1"}}, "2.12.1"),
    ("packages", Severity.ERROR, {"packages": {"nvidia-nccl-cu12": "2.27"}}, {"packages": {}}, "missing"),
    ("packages", Severity.WARNING, {"packages": {"rich": "14.0"}}, {"packages": {"rich": "13.9"}}, "13.9"),
    ("packages", Severity.WARNING, {"packages": {}}, {"packages": {"rich": "13.9"}}, "13.9"),
    ("python", Severity.WARNING, {"python": "3.11.7"}, {"python": "3.12.1"}, "3.12.1"),
    ("code", Severity.ERROR, {"commit": "a" * 40}, {"commit": "b" * 40}, "b" * 40),
    ("code", Severity.WARNING, {"changed": 0}, {"changed": 3}, "3"),
    ("data", Severity.ERROR, {"data": {"a.csv": {"size": 52_000_000}}}, {"data": {"a.csv": {"size": 131}}}, "131"),
    ("data", Severity.ERROR, {"data": {"a.csv": {"size": 52_000_000}}}, {"data": {"a.csv": {"missing": True}}}, "miss"),
    ("data", Severity.ERROR, {"data": {"a": {"files": 9, "size": 9}}}, {"data": {"a": {"error": "Stale"}}}, "Stale"),
    ("mounts", Severity.WARNING, {"mounts": {"a": "nfs4 from s:/a"}}, {"mounts": {"a": "ext4 from /dev/sda1"}}, "ext4"),
    ("driver", Severity.WARNING, {"driver_version": "580.82"}, {"driver_version": "550.54"}, "550.54"),
    ("gpus", Severity.WARNING, {"gpus": [GPU] * 8}, {"gpus": [GPU] * 7}, "7 x NVIDIA"),
    ("gpus", Severity.WARNING, {"gpus": [GPU]}, {"gpus": []}, "no GPU"),
    ("limits", Severity.WARNING, {"limits": {"nofile": 65536}}, {"limits": {"nofile": 1024}}, "1,024"),
    ("limits", Severity.WARNING, {"limits": {"processes": -1}}, {"limits": {"processes": 4096}}, "4,096"),
    ("variables", Severity.WARNING, {"variables": {}}, {"variables": {"NCCL_IB_DISABLE": "1"}}, "'1'"),
    ("kernel", Severity.INFO, {"system": "Linux 6.1 x86_64"}, {"system": "Linux 5.15 x86_64"}, "5.15"),
    ("kernel", Severity.WARNING, {"processors": 64}, {"processors": 32}, "32"),
    ("clock", Severity.WARNING, {"clock": 0.01}, {"clock": -7200.0}, "7200 s behind"),
]


@pytest.mark.parametrize(("kind", "severity", "usual", "odd", "words"), KINDS)
def test_the_odd_one_is_named(
    kind: str, severity: Severity, usual: dict[str, Any], odd: dict[str, Any], words: str
) -> None:
    results = are_alike(nodes(usual, n3=odd))
    assert [result.place for result in results] == NODES
    ((place, (finding,)),) = found(results).items()
    assert (place, finding.id, finding.severity) == ("n3", f"nodes.{kind}", severity)
    assert words in finding.message
    assert "4 of 5 nodes" in finding.message
    assert finding.cause
    assert finding.fix
    failed = [result.place for result in results if result.status is Status.FAILED]
    assert failed == (["n3"] if severity is Severity.ERROR else [])
    assert not found(are_alike(nodes(usual)))


@pytest.mark.parametrize(
    ("usual", "odd"),
    [
        ({"host": "n1"}, {"host": "n3"}),
        ({"variables": {"SLURMD_NODENAME": "n1"}}, {"variables": {"SLURMD_NODENAME": "n3"}}),
        ({"variables": {"CUDA_VISIBLE_DEVICES": "0"}}, {"variables": {"CUDA_VISIBLE_DEVICES": "1"}}),
        ({"limits": {"ram": 64_000_000_000}}, {"limits": {"ram": 63_000_000_000}}),
        ({"limits": {"nofile": 1024}}, {"limits": {"nofile": 65536}}),
        ({"data": {"a": {"size": 9, "modified": 1}}}, {"data": {"a": {"size": 9, "modified": 2}}}),
        ({"clock": 0.2}, {"clock": -0.9}),
        ({"interpreter": "/opt/a/bin/python"}, {"interpreter": "/opt/b/bin/python"}),
        ({"driver_version": "580.82"}, {}),
        ({"anything": 1}, {"anything": 2}),
    ],
)
def test_what_is_each_nodes_own_is_not_spoken_of(usual: dict[str, Any], odd: dict[str, Any]) -> None:
    assert not found(are_alike(nodes(usual, n3=odd)))


def test_where_nobody_is_the_majority_nobody_is_blamed() -> None:
    old, new = {"packages": {"torch": "2.12.1"}}, {"packages": {"torch": "2.13.0"}}
    places = [Place(name=f"n{number}", facts=old if number < 3 else new) for number in range(1, 5)]
    said = found(are_alike(places))
    assert sorted(said) == ["n1", "n2", "n3", "n4"]
    assert len({findings[0].message for findings in said.values()}) == 1
    assert "2.12.1 at n[1-2], 2.13.0 at n[3-4]" in said["n1"][0].message


def test_a_node_that_has_not_answered_is_not_compared() -> None:
    places = [*nodes({"python": "3.11.7"}), Place(name="n6", presence=Presence.LOST, reason="gone", facts={})]
    assert [result.place for result in are_alike(places)] == NODES
    assert not found(are_alike(places))


def test_one_node_is_like_itself() -> None:
    assert are_alike([Place(name="n1", facts={"python": "3.11.7"})]) == []


FACTS = st.fixed_dictionaries(
    {},
    optional={
        "packages": st.dictionaries(st.sampled_from(["torch", "rich"]), st.sampled_from(["1", "2"])),
        "limits": st.dictionaries(st.sampled_from(["ram", "nofile"]), st.integers(-1, 1 << 40)),
        "clock": st.floats(-1e6, 1e6),
        "gpus": st.lists(st.just(GPU), max_size=2),
        "commit": st.sampled_from(["a", "b"]),
        "data": st.dictionaries(st.just("x"), st.fixed_dictionaries({"size": st.integers(0, 1 << 40)})),
    },
)


@given(st.lists(FACTS, max_size=6))
def test_any_facts_are_judged_and_never_a_majority(facts: list[dict[str, Any]]) -> None:
    places = [Place(name=f"n{number}", facts=each) for number, each in enumerate(facts)]
    results = are_alike(places)
    assert len(results) in (0, len(places))
    for result in results:
        for finding in result.findings:
            blamed = [other.place for other in results if finding in other.findings]
            assert len(blamed) * 2 < len(places) or "not the same everywhere" in finding.message


def test_of_a_node_that_does_not_tell_nothing_is_said() -> None:
    """Where its list of packages was lost or took too long, nothing is missing there; others still differ."""
    usual = {"packages": {"torch": "2.4"}, "python": "3.11.7", "limits": {"nofile": 65536}, "clock": 0.0}
    odd = {"packages": {"torch": "2.5"}, "python": "3.12.1", "limits": {"nofile": 1024}, "clock": 60.0}
    assert not found(are_alike(nodes(usual, n2={})))
    assert [len(each) for each in found(are_alike(nodes(usual, n2={}, n4=odd))).values()] == [4]
    bare = {**usual, "packages": {}}
    assert [each.message for each in found(are_alike(nodes(usual, n2={}, n4=bare)))["n4"]] == [
        "torch is missing, and 2.4 at 3 of 4 nodes"
    ]
