"""Names of nodes folded as Slurm and people write them: `n[1-3,7]`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_NUMBER = re.compile(r"\d+")


def fold(names: Iterable[str]) -> str:
    """Return the names in a row, those that differ in their last number only as one: `gpu[01-03,07],login`."""
    groups: dict[tuple[str, str, int], set[int]] = {}
    whole: list[str] = []
    # Shorter numbers first, so that 09 tells that 10 is written with two digits as well.
    for name in sorted(dict.fromkeys(names), key=lambda name: (len(name), name)):
        numbers = list(_NUMBER.finditer(name))
        if not numbers:
            whole.append(name)
            continue
        digits = numbers[-1]
        before, after, width = name[: digits.start()], name[digits.end() :], len(digits[0])
        is_padded = digits[0].startswith("0") and width > 1
        if not is_padded and (before, after, width) not in groups:
            width = 0
        groups.setdefault((before, after, width), set()).add(int(digits[0]))
    folded = [_folded(*key, sorted(numbers)) for key, numbers in sorted(groups.items())]
    return ",".join([*folded, *sorted(whole)])


def _folded(before: str, after: str, width: int, numbers: Sequence[int]) -> str:
    spans = [(f"{first:0{width}}", f"{last:0{width}}") for first, last in _spans(numbers)]
    if len(numbers) == 1:
        return f"{before}{spans[0][0]}{after}"
    return f"{before}[{','.join(a if a == b else f'{a}-{b}' for a, b in spans)}]{after}"


def _spans(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1:
            yield first, last
            first = number
        last = number
    yield first, last


def expand(text: str) -> list[str]:
    """Return the names that a folded text stands for; raises ValueError where its brackets do not pair."""
    return [name for part in _parts(text) for name in _expanded(part)]


def _parts(text: str) -> Iterator[str]:
    depth, start = 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if depth not in (0, 1):
            raise ValueError(f"brackets in {text!r}")
        if letter == "," and not depth:
            yield text[start:place]
            start = place + 1
    if depth:
        raise ValueError(f"brackets in {text!r}")
    yield text[start:]


def _expanded(part: str) -> Iterator[str]:
    before, bracket, rest = part.strip().partition("[")
    if not bracket:
        if before:
            yield before
        return
    inside, _, after = rest.partition("]")
    for span in inside.split(","):
        low, _, high = span.partition("-")
        if not (low.isdecimal() and (high or low).isdecimal()):
            raise ValueError(f"{span!r} in {part!r} is no number")
        width = len(low) if low.startswith("0") else 0
        for number in range(int(low), int(high or low) + 1):
            yield from (f"{before}{number:0{width}}{tail}" for tail in (_expanded(after) if after else [""]))
