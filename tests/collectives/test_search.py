"""Who works with nobody is found by trying parts, whoever it is, and nobody else is named."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as some

from preflight.collectives.search import find_guilty


@given(some.integers(3, 200), some.data())
def test_one_guilty_is_found(number: int, data: some.DataObject) -> None:
    guilty = data.draw(some.integers(0, number - 1))
    nodes = [f"n{each}" for each in range(number)]
    tried: list[Sequence[str]] = []

    def works(part: Sequence[str]) -> bool:
        tried.append(part)
        return nodes[guilty] not in part

    found, worked = find_guilty(nodes, works)
    assert found == [nodes[guilty]]
    assert worked
    assert all(len(part) > 1 for part in tried)
    assert len(tried) <= 2 * number.bit_length() + 3


@given(some.integers(4, 60), some.sets(some.integers(0, 59), min_size=1, max_size=2))
def test_whoever_is_named_is_guilty(number: int, bad: set[int]) -> None:
    nodes = [f"n{each}" for each in range(number)]
    names = {f"n{each}" for each in bad}
    found, _ = find_guilty(nodes, lambda part: not names & set(part))
    assert set(found) <= names


def test_a_pair_that_does_not_meet_is_nobodys_fault() -> None:
    found, worked = find_guilty(["a", "b", "c", "d"], lambda part: not {"b", "c"} <= set(part))
    assert found == []
    assert worked == [["a", "b"], ["c", "d"]]


def test_where_nothing_works_nobody_is_named() -> None:
    assert find_guilty(["a", "b", "c"], lambda _: False) == ([], [])
    assert find_guilty(["a", "b"], lambda _: False) == ([], [])
    tried: list[int] = []
    assert find_guilty([str(each) for each in range(64)], lambda part: bool(tried.append(len(part)))) == ([], [])
    assert tried == [32, 32, 16, 16, 16, 16]
