"""Text from anywhere made fit to print: what would move the cursor, hide or mislead is shown instead of passed on."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import TextIO

from preflight.quantities import format_duration

# Controls, what is invisible or turns the direction of writing, line separators, halves of surrogate pairs.
_UNSEEN = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)


_LONGEST_LINE = 2_000


def visible(text: str) -> str:
    r"""Return `text` as one line in which control and invisible characters stand as Python writes them (`\x1b`)."""
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text.expandtabs())


def clipped(text: str) -> str:
    """Return `text` visible, and cut where nobody would read on."""
    cut = f" ... {len(text) - _LONGEST_LINE:,} characters more" if len(text) > _LONGEST_LINE else ""
    return visible(text[:_LONGEST_LINE]) + cut


def visible_lines(text: str) -> list[str]:
    """Return the lines of `text`, visible and clipped; blank ones at both ends are left out."""
    lines = [clipped(line).rstrip() for line in text.splitlines()]
    while lines and not lines[0]:
        del lines[0]
    while lines and not lines[-1]:
        del lines[-1]
    return lines


def elapsed(seconds: float) -> str:
    """Return seconds as people say them, as exactly as anybody cares: `0.02 s`, `3.2 s`, `2m5s`."""
    return format_duration(round(seconds, 2))


def moment(at: str) -> str:
    """Return an ISO 8601 time as people here say it: `Tue 14:02` in the last days, else `2026-11-20 14:02`."""
    try:
        then = datetime.fromisoformat(at).astimezone()
    except (ValueError, OverflowError, OSError):
        return visible(at)
    recent = 0 <= (datetime.now(UTC) - then).total_seconds() < 6 * 86_400
    return then.strftime("%a %H:%M" if recent else "%Y-%m-%d %H:%M")


def is_live(stream: TextIO) -> bool:
    """Tell whether a person may be watching who sees the cursor move."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colors(stream: TextIO) -> bool:
    """Tell whether colours are wanted: on a terminal, unless `NO_COLOR` or `FORCE_COLOR` says otherwise."""
    if os.environ.get("NO_COLOR"):
        return False
    return os.environ.get("FORCE_COLOR", "0") not in ("", "0") or is_live(stream)


def printable(text: str, stream: TextIO) -> str:
    """Return `text` with what the stream's encoding has no character for written as an escape."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
