"""What workers say becomes results, facts and places, whatever is lost on the way or comes twice."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from preflight.config import Config
from preflight.hearing import Hearing, rests, shared
from preflight.model import Presence, Status
from preflight.places.engine import Gone
from preflight.system.secrets import Secrets

VALUES = st.none() | st.integers(0, 1) | st.just([])
FACTS = st.dictionaries(st.sampled_from("abc"), VALUES | st.dictionaries(st.sampled_from("xyz"), VALUES), max_size=3)


class Said:
    """Workers that have said what they are given."""

    python = ""
    engine = None

    def __init__(self, said: Sequence[tuple[str, dict[str, Any]]], gone: Mapping[str, Gone] | None = None) -> None:
        self.said, self.gone = said, gone or {}
        self.names = list(dict.fromkeys(name for name, _ in said))

    def ask(self, request: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def messages(self, _config: Config) -> Iterator[tuple[str, dict[str, Any]] | None]:
        yield from self.said
        yield None

    def close(self) -> None:
        raise NotImplementedError


def planned(*checks: str) -> dict[str, Any]:
    return {"kind": "planned", "checks": [{"id": check} for check in checks]}


def passed(check: str, place: str) -> dict[str, Any]:
    return {"kind": "result", "result": {"check": check, "status": "PASSED", "place": place}}


def hear(*said: tuple[str, dict[str, Any]]) -> Hearing:
    hearing = Hearing(None, Secrets())
    hearing.listen(Said(said), Config())
    return hearing


def test_an_answer_that_was_lost_is_broken_at_its_node() -> None:
    hearing = hear(("n1", planned("a.b")), ("n1", passed("a.b", "n1")), ("n2", planned("a.b")))
    results = {(each.check, each.place): each for each in hearing.results({})}
    assert results["a.b", "n1"].status is Status.PASSED
    assert results["a.b", "n2"].status is Status.BROKEN
    assert results["a.b", "n2"].reason == "the worker ended without an answer from it"
    assert len(results) == 2


def test_what_comes_twice_counts_once() -> None:
    said = [("n1", planned("a.b")), ("n1", {"kind": "started", "check": "a.b"}), ("n1", passed("a.b", "n1"))]
    hearing = hear(*said, *said)
    assert len(hearing.results({})) == 1
    assert not hearing.heard["n1"].running


def test_a_plan_that_was_lost_harms_nobody() -> None:
    """The results say which checks there were."""
    assert len(hear(("n1", planned("a.b")), ("n1", passed("a.b", "n1")), ("n2", passed("a.b", "n2"))).results({})) == 2


def test_a_node_with_another_list_of_checks_is_told_what_it_lacks() -> None:
    """An old copy of the project on one node would pass by running less."""
    hearing = hear(
        *((name, planned("a.b", "c.d")) for name in ("n1", "n2", "n3")),
        *((name, passed(check, name)) for name in ("n1", "n2", "n3") for check in ("a.b", "c.d")),
        *(("n4", message) for message in (planned("a.b", "e.f"), passed("a.b", "n4"), passed("e.f", "n4"))),
    )
    (odd,) = [each for each in hearing.results({}) if each.status is Status.BROKEN]
    assert (odd.check, odd.place) == ("node.agrees-on-checks", "n4")
    assert odd.reason == "its list of checks is not that of the other nodes: it lacks c.d, and also has e.f"


def test_a_node_that_is_gone_keeps_what_it_answered() -> None:
    hearing = hear(
        ("n1", planned("a.b", "c.d", "e.f")),
        ("n1", passed("a.b", "n1")),
        ("n1", {"kind": "started", "check": "c.d"}),
    )
    gone = {"n1": Gone(Presence.SILENT, "nothing for 30 s")}
    assert [(each.check, each.status, each.reason) for each in hearing.results(gone)] == [
        ("a.b", Status.PASSED, ""),
        ("c.d", Status.BROKEN, "nothing for 30 s"),
        ("e.f", Status.BROKEN, "nothing for 30 s"),
        ("node.answers", Status.BROKEN, "nothing for 30 s; last heard in c.d"),
    ]
    (place,) = hearing.places(gone, 0)
    assert (place.presence, place.running) == (Presence.SILENT, ["c.d"])
    assert len(hearing.results(gone, interrupted=True)) == 1


def test_a_check_that_was_ended_with_its_job_is_no_finding_about_its_node() -> None:
    broken = {"check": "a.b", "status": "BROKEN", "place": "n1", "reason": "its process was ended by SIGTERM"}
    hearing = hear(("n1", planned("a.b")), ("n1", {"kind": "result", "result": broken}))
    assert hearing.results({})[0].reason == "its process was ended by SIGTERM"
    assert hearing.results({"n1": Gone(Presence.CANCELLED, "cancelled")})[0].reason == "cancelled"


@given(st.lists(FACTS, min_size=1, max_size=5))
def test_what_is_shared_and_the_rest_make_the_whole(facts: list[dict[str, Any]]) -> None:
    """Nothing is lost and nothing told twice, within mappings as well; who does not tell of a fact gets none."""
    common = shared(facts)
    left = rests({str(number): each for number, each in enumerate(facts)}, common)
    for each, own in zip(facts, left.values(), strict=True):
        assert own.keys() <= each.keys()
        for key, value in each.items():
            mapping = isinstance(value, dict) and isinstance(common.get(key), dict) and key in common
            assert {**common[key], **own.get(key, {})} == value if mapping else {**common, **own}[key] == value
            assert not (mapping and common[key].keys() & own.get(key, {}).keys())
    for key in {key for own in left.values() for key in own if isinstance(own[key], dict)}:
        assert all((key in own) is (key in each) for each, own in zip(facts, left.values(), strict=True))
    assert shared([common, *facts]) == common


def test_facts_that_all_share_are_told_once() -> None:
    hearing = hear(
        *((name, {"kind": "facts", "facts": {"host": name, "packages": {"torch": "2.4"}}}) for name in ("n1", "n2")),
        ("n3", {"kind": "facts", "facts": {"host": "n3", "packages": {"torch": "2.5"}}}),
        ("n1", {"kind": "facts", "facts": {"python": "3.11"}}),
        ("n2", {"kind": "facts", "facts": {"python": "3.11"}}),
    )
    gone = {"n3": Gone(Presence.LOST, "gone")}
    assert hearing.facts(gone) == {"packages": {"torch": "2.4"}, "python": "3.11"}
    assert [each.facts for each in hearing.places(gone, 0)] == [
        {"host": "n1", "packages": {}},
        {"host": "n2", "packages": {}},
        {"host": "n3", "packages": {"torch": "2.5"}},
    ]


@given(st.lists(FACTS, min_size=1, max_size=4), FACTS)
def test_a_place_that_is_not_among_those_that_share_keeps_its_own(told: list[dict[str, Any]], other: Any) -> None:
    """One that fell silent has facts too, of any kind."""
    own = rests({"n1": other}, shared(told))["n1"]
    for key, value in other.items():
        assert key not in own or own[key] == value or isinstance(value, dict)


def test_a_result_has_the_name_of_who_spoke_and_times_from_the_start_of_the_run() -> None:
    """Whatever else the worker on a node takes for its name."""
    hearing = Hearing(None, Secrets(), began=1000.0)
    told = {**passed("a.b", "localhost")["result"], "started": 1002.5, "seconds": 0.123456}
    hearing.listen(Said([("n1", {"kind": "result", "result": told}), ("n2", passed("a.b", "n2"))]), Config())
    first, second = hearing.results({})
    assert (first.place, first.started, first.seconds) == ("n1", 2.5, 0.1235)
    assert (second.place, second.started) == ("n2", 0.0)


def test_what_nodes_share_is_kept_once() -> None:
    """Plans come in parts and nodes in turns; a node that differs has its own, without what is secret."""
    both = [planned("a.b"), planned("c.d"), {"kind": "facts", "facts": {"packages": {"torch": "2.13"}}}]
    odd = {"kind": "facts", "facts": {"packages": {"torch": "the-secret-build"}}}
    hearing = Hearing(None, Secrets(["the-secret-build"]))
    said = [(name, json.loads(json.dumps(message))) for message in both for name in ("n1", "n2")]
    hearing.listen(Said([*said, ("n3", odd), ("n4", both[2])]), Config())
    heard = hearing.heard
    assert [*heard["n1"].plan] == [*heard["n2"].plan] == ["c.d", "a.b"]
    assert heard["n1"].plan["a.b"] is heard["n2"].plan["a.b"]
    assert heard["n1"].facts["packages"] is heard["n2"].facts["packages"] is heard["n4"].facts["packages"]
    assert heard["n3"].facts == {"packages": {"torch": "***"}}
