"""The phrases that the messages of several checks share."""

import re
from collections.abc import Sequence


def in_a_row(names: Sequence[object], most: int = 3) -> str:
    """Return `a, b, c and 7 more`."""
    shown = ", ".join(str(name) for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return `1 file` or `2,000 files`; `plural` where an s is not enough."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def without_secrets(url: str) -> str:
    """Return a URL without user and password, and without the query, where signatures and tokens stand."""
    return re.sub(r"(://)(?:[^/?#]*@)?([^?]*)(\?.*)?", r"\1\2", url, flags=re.DOTALL)
