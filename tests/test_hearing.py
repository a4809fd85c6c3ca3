"""Facts of many places: what all share is told once, and nothing is lost."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from preflight.hearing import rest, shared

VALUES = st.one_of(st.integers(0, 2), st.text(max_size=1), st.none(), st.lists(st.integers(0, 1), max_size=1))
FACTS = st.dictionaries(
    st.sampled_from("abcd"), st.one_of(VALUES, st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3)), max_size=4
)


def whole(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Put the two together again."""
    both = {**common}
    for key, value in own.items():
        other = common.get(key)
        both[key] = {**other, **value} if isinstance(other, dict) and isinstance(value, dict) else value
    return both


def test_a_check_that_was_ended_with_its_job_is_no_finding_about_its_node() -> None:
    broken = {"check": "a.b", "status": "BROKEN", "place": "n1", "reason": "its process was ended by SIGTERM"}
    hearing = hear(("n1", planned("a.b")), ("n1", {"kind": "result", "result": broken}))
    assert hearing.results({})[0].reason == "its process was ended by SIGTERM"
    assert hearing.results({"n1": Gone(Presence.CANCELLED, "cancelled")})[0].reason == "cancelled"


@given(st.lists(FACTS, min_size=1, max_size=5))
def test_what_is_shared_and_what_is_not_are_all(told: list[dict[str, Any]]) -> None:
    common = shared(told)
    for facts in told:
        assert whole(common, rest(facts, common)) == facts


@given(st.lists(FACTS, min_size=1, max_size=4), FACTS)
def test_a_place_that_is_not_among_those_that_share_keeps_its_own(told: list[dict[str, Any]], other: Any) -> None:
    """One that fell silent has facts too, of any kind."""
    own = rest(other, shared(told))
    for key, value in other.items():
        assert key not in own or own[key] == value or isinstance(value, dict)
