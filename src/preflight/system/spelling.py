"""Whether one name is surely another one, misspelled."""

from __future__ import annotations

import re

# What people write into a config for themselves, beside a list that the program may read.
_NOTES = {"author", "comment", "date", "description", "id", "name", "note", "project", "run", "tag", "title", "version"}
_SHORTEST = 3


def is_misspelling(written: str, meant: str) -> bool:
    """Say whether `written` is `meant` with one letter too many, missing, wrong or swapped, or other separators.

    Words that differ by their first letter or by a digit only are names of two things: `x_min` and `y_min`.
    """
    if _plain(written) == _plain(meant):
        return written != meant
    if min(len(written), len(meant)) < _SHORTEST or written.lower().rstrip("s") in _NOTES:
        return False
    one, other = _words(written), _words(meant)
    if len(one) != len(other):
        return _differs_by_one_letter(_plain(written), _plain(meant))
    differing = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
    return len(differing) == 1 and _differs_by_one_letter(*differing[0])


def _differs_by_one_letter(written: str, meant: str) -> bool:
    if min(len(written), len(meant)) < _SHORTEST or written[0] != meant[0]:
        return False
    start = next((at for at, pair in enumerate(zip(written, meant, strict=False)) if pair[0] != pair[1]), -1)
    if start < 0:
        start = min(len(written), len(meant))
    one, other = written[start:], meant[start:]
    if any(each[:1].isdigit() for each in (one, other)):
        return False
    if len(written) != len(meant):
        return one[1:] == other or one == other[1:]
    swapped = one[:2] == other[1::-1] and one[2:] == other[2:]
    # Short words are often one letter apart: min and max, train and drain.
    return swapped or (len(meant) > 4 and one[1:] == other[1:])


def _plain(name: str) -> str:
    return re.sub(r"[-_. ]", "", name).lower()


def _words(name: str) -> list[str]:
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower().replace("-", "_").split("_")
