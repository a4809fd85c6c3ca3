"""A text as a program puts it together: parts that come from its config, its surroundings and its own lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

MOST_ORIGINS = 8


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable, and the text that the program takes where it is not set."""

    name: str
    default: str = ""


Part = str | tuple[str, ...] | Variable


@dataclass(frozen=True, slots=True)
class Origin:
    """How a text is put together: config keys (tuples), variables, literal parts; not `whole` where more follows.

    A number counts as the text that it is written as.
    """

    parts: tuple[Part, ...]
    whole: bool = True

    @property
    def key(self) -> tuple[str, ...]:
        """The config key that this is, wholly; empty where it is something else."""
        only = self.parts[0] if len(self.parts) == 1 and self.whole else ()
        return only if isinstance(only, tuple) else ()


def without_beginnings(origins: set[Origin]) -> set[Origin]:
    """Return the origins without those that only say how another one begins."""
    return {each for each in origins if each.whole or not any(_begins(other, each) for other in origins - {each})}


def _begins(longer: Origin, start: Origin) -> bool:
    *before, last = start.parts
    if len(longer.parts) <= len(before) or list(longer.parts[: len(before)]) != before:
        return False
    same = longer.parts[len(before)]
    return same == last or (isinstance(same, str) and isinstance(last, str) and same.startswith(last))


def cut(origins: set[Origin]) -> set[Origin]:
    """Return the same with an unknown rest."""
    return {replace(origin, whole=False) for origin in origins}


def concatenated(pieces: Sequence[set[Origin]]) -> set[Origin]:
    """Return every text that the pieces can make; an unknown piece ends it."""
    found = {Origin(())}
    for piece in pieces:
        found = {
            longer if not left.whole else Origin(_merged(left.parts, right.parts), right.whole)
            for left in found
            for right in sorted(piece, key=str)[:MOST_ORIGINS] or [Origin((), whole=False)]
            for longer in [left]
        }
    return {origin for origin in found if origin.parts}


def joined(pieces: Sequence[set[Origin]]) -> set[Origin]:
    """Return every path that the pieces can make."""
    between: list[set[Origin]] = []
    for piece in pieces:
        between += [piece, {Origin(("/",))}]
    return concatenated(between[:-1])


def _merged(left: tuple[Part, ...], right: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the parts of both; literal texts side by side become one, without a double slash."""
    if left and right and isinstance(left[-1], str) and isinstance(right[0], str):
        return (*left[:-1], (left[-1] + right[0]).replace("//", "/"), *right[1:])
    return (*left, *right)
