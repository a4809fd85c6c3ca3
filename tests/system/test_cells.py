"""What a column of cells tells."""

import math
from typing import Any

import pytest

from preflight.system.cells import Cells, Column


def fed(cells: list[Any], **more: Any) -> Column:
    column = Column(name="x", **more)
    column.feed("a.csv", 1, cells[:2])
    column.feed("a.csv", 3, cells[2:])
    return column


@pytest.mark.parametrize("cells", [["1", "9", "10", "2"], [1, 9, 10, 2], [1, 9, None, 10.0]])
def test_a_range(cells: list[Any]) -> None:
    column = fed(cells, between=(0, 9))
    assert (column.low, column.high) == (1, 10)
    assert column.is_whole
    assert column.is_numeric
    assert column.outside.count == 1
    assert column.outside.shown.startswith("10")
    assert fed(cells, between=(1, 10)).outside == Cells()


@pytest.mark.parametrize("gap", ["", None, math.nan, "?", "NA", " nan "])
def test_a_gap_among_numbers(gap: Any) -> None:
    column = fed(["1", "2", "3", gap])
    assert column.missing.count == 1
    assert column.missing.row == 4
    assert fed(["1", "2", "3", "4"]).missing == Cells()


def test_the_first_of_two_kinds_of_gaps() -> None:
    missing = fed(["1", "?", "3", ""]).missing
    assert (missing.count, missing.row, missing.shown) == (2, 2, "?")


def test_texts_that_look_like_gaps_are_texts_among_texts() -> None:
    assert fed(["NA", "DE", "FR", "None"]).missing == Cells()
    assert fed(["NA", "DE", "FR", ""]).missing.row == 4


def test_numbers_that_are_not_finite() -> None:
    column = fed(["inf", "1", "nan", "2"])
    assert column.missing.row == 3
    assert not column.is_whole


@pytest.mark.parametrize("cells", [["cat", "dog", "cow"], [1, 2, 3], ["1", "2", "3.0"]])
def test_a_set(cells: list[Any]) -> None:
    assert fed(cells, one_of=cells[:2]).foreign.row == 3
    assert fed([*cells, "", None], one_of=cells).foreign == Cells()


def test_one_value_in_several_ways_of_writing() -> None:
    assert fed(["1", "1.0", 1, 1.0], one_of=[1]).foreign == Cells()


def test_repetitions() -> None:
    assert fed(["a", "b", "a", "", ""], unique=True).repeated == Cells(1, "a.csv", 3, "a")
    assert fed([[1], [2], [1]], unique=True).repeated.row == 3
    assert fed(["a", "b", "c"], unique=True).repeated == Cells()
