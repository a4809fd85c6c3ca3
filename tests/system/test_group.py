"""Who exchanges with whom in which turn, and who fails with everybody."""

import pytest

from preflight.system import group


@pytest.mark.parametrize("number", range(2, 9))
def test_rounds(number: int) -> None:
    turns = list(group.rounds(range(number)))
    assert len(turns) == (number - 1 if number % 2 == 0 else number)
    assert all(len({rank for pair in turn for rank in pair}) == 2 * len(turn) for turn in turns)
    pairs = [pair for turn in turns for pair in turn]
    assert sorted(pairs) == [(one, two) for one in range(number) for two in range(one + 1, number)]


def test_who_fails_alone() -> None:
    assert group.failing_alone({(0, 1): True, (0, 2): False, (1, 2): False}) == [2]
    assert group.failing_alone({(0, 1): False, (0, 2): False, (1, 2): False}) == []
    assert group.failing_alone({(0, 1): True, (0, 2): False, (1, 2): True}) == []
