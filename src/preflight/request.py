"""What the command wants of a worker, as plain values that travel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be run, and how.

    `text` is the config as the command read it from `source`; `root` its folder. `lent` tells `boot` where modules that are lent lie. `scratch` and
    `inline` (the id of one check, to be run by itself) are set on the way from the worker to its stage.
    """

    source: str = ""
    text: str | None = None
    root: str = "."
    place: str = "local"
    only: Sequence[str] = ()
    tags: Sequence[str] = ()
    keyword: str = ""
    lent: str = ""
    plan_only: bool = False
    scratch: str = ""
    inline: str = ""
