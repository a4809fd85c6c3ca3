"""The phrases that the messages of several checks share."""

from collections.abc import Sequence


def in_a_row(names: Sequence[object], most: int = 3) -> str:
    """Return `a, b, c and 7 more`."""
    shown = ", ".join(str(name) for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return `1 file` or `2,000 files`; `plural` where an s is not enough."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
