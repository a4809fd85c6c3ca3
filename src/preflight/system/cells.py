"""What the cells of a column hold: numbers and their range, gaps, repetitions, and what breaks a rule."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

# Texts that stand for no value in a column of numbers; in one of texts they may be values (`NA`, Namibia).
_MARKS = {"?", "na", "n/a", "nan", "null", "none", "#n/a", "nil", "-nan", "<na>"}


@dataclass(slots=True)
class Cells:
    """Some cells that have something in common: how many, and the first of them."""

    count: int = 0
    path: str = ""
    row: int = 0
    shown: str = ""

    def add(self, path: str, row: int, cell: object) -> None:
        """Count one cell."""
        if not self.count:
            self.path, self.row, self.shown = path, row, str(cell)
        self.count += 1


@dataclass(slots=True, kw_only=True)
class Column:
    """One column of one table or of several alike, filled by `feed`.

    `between` and `one_of` are what the values may be, `unique` whether a repetition is looked for. `gaps` are cells
    that are missing in any column, `marks` texts such as `?` that stand for one in a column of numbers.
    """

    name: str
    between: tuple[float, float] | None = None
    one_of: Collection[Any] = ()
    unique: bool = False
    cells: int = 0
    numbers: int = 0
    is_whole: bool = True
    low: float = math.inf
    high: float = -math.inf
    highest: Cells = field(default_factory=Cells)
    gaps: Cells = field(default_factory=Cells)
    marks: Cells = field(default_factory=Cells)
    texts: Cells = field(default_factory=Cells)
    outside: Cells = field(default_factory=Cells)
    foreign: Cells = field(default_factory=Cells)
    repeated: Cells = field(default_factory=Cells)
    _seen: set[object] = field(default_factory=set)

    @property
    def is_numeric(self) -> bool:
        """Tell whether the column is one of numbers: all cells but the missing ones are."""
        return self.numbers > 0 and not self.texts.count

    @property
    def missing(self) -> Cells:
        """The cells without a value: in a column of numbers also those that say so in words."""
        if not self.is_numeric or not self.marks.count:
            return self.gaps
        first = self.marks if not self.gaps.count else min(self.gaps, self.marks, key=lambda each: each.row)
        return Cells(self.gaps.count + self.marks.count, first.path, first.row, first.shown)

    def feed(self, path: str, first: int, cells: Sequence[Any]) -> None:
        """Take in the next cells, which begin at row `first` of the table `path`."""
        self.cells += len(cells)
        if not self._feed_numbers(path, first, cells):
            for row, cell in enumerate(cells, first):
                self._feed_cell(path, row, cell)
        if self.one_of:
            self._compare(path, first, cells)
        if self.unique:
            self._look_for_repetition(path, first, cells)

    def _feed_numbers(self, path: str, first: int, cells: Sequence[Any]) -> bool:
        """Take cells that are all numbers; false where they are not, and nothing was taken."""
        try:
            numbers = list(map(float, cells))
        except (TypeError, ValueError, OverflowError):
            return False
        if not numbers or not math.isfinite(sum(numbers)):
            return False
        low, high = min(numbers), max(numbers)
        self.numbers += len(numbers)
        self.is_whole = self.is_whole and all(map(float.is_integer, numbers))
        self.low = min(self.low, low)
        if high > self.high:
            self._rise(high, path, first + numbers.index(high), cells[numbers.index(high)])
        if self.between and not self.between[0] <= low <= high <= self.between[1]:
            for row, number in enumerate(numbers, first):
                self._judge(number, path, row, cells[row - first])
        return True

    def _feed_cell(self, path: str, row: int, cell: Any) -> None:
        text = cell.strip() if isinstance(cell, str) else cell
        if text is None or text == "" or (isinstance(text, float) and math.isnan(text)):
            self.gaps.add(path, row, "" if cell is None else cell)
            return
        if isinstance(text, str) and text.lower() in _MARKS:
            self.marks.add(path, row, text)
            return
        try:
            number = float(text)
        except (TypeError, ValueError, OverflowError):
            self.texts.add(path, row, cell)
            return
        self.numbers += 1
        self.is_whole = self.is_whole and number.is_integer()
        self.low = min(self.low, number)
        if number > self.high:
            self._rise(number, path, row, text)
        self._judge(number, path, row, text)

    def _rise(self, number: float, path: str, row: int, cell: Any) -> None:
        self.high, self.highest = number, Cells(1, path, row, str(cell))

    def _judge(self, number: float, path: str, row: int, cell: Any) -> None:
        if self.between and not self.between[0] <= number <= self.between[1]:
            self.outside.add(path, row, cell)

    def _compare(self, path: str, first: int, cells: Sequence[Any]) -> None:
        """Note cells that are none of the allowed values; `1`, `"1"` and `1.0` are one, a missing cell is none."""
        allowed = {str(each) for each in self.one_of} | {float(each) for each in self.one_of if _is_number(each)}
        for row, cell in enumerate(cells, first):
            text = "" if cell is None else str(cell).strip()
            if text and text not in allowed and not (_is_number(text) and float(text) in allowed):
                self.foreign.add(path, row, cell)

    def _look_for_repetition(self, path: str, first: int, cells: Sequence[Any]) -> None:
        for row, cell in enumerate(cells, first):
            key = cell if isinstance(cell, str | int | float) else str(cell)
            if cell is not None and cell != "" and key in self._seen:
                self.repeated.add(path, row, cell)
            self._seen.add(key)


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False
