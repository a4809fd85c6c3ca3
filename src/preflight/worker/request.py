"""What is wanted of a run: the selection of checks, and the request that travels to a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


def is_named(check: str, name: str) -> bool:
    """Tell whether `--only NAME` means this check: by its id, the id without entry, its family, or as a glob.

    `gpu` also means the families `gpu-health` and its like.
    """
    from fnmatch import fnmatchcase

    family = check.partition(".")[0]
    names = {check, check.partition("[")[0], family, family.partition("-")[0]}
    return name in names or fnmatchcase(check, name.replace("[", "[[]"))


def may_name(family: str, name: str) -> bool:
    """Tell whether `--only NAME` may mean a check of this family; a glob may mean any."""
    first = name.partition("[")[0].partition(".")[0]
    return first in (family, family.partition("-")[0]) or any(letter in name for letter in "*?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which checks take part: `only` ids (whole, without entry, a family or a glob), one of `tags`, pytest's `-k`.

    `at` holds the sides of a launch whose checks take part (`launch`, `node`, and empty for those of both); none means
    all.
    """

    only: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    keyword: str = ""
    at: tuple[str, ...] = ()

    def names(self, check: str) -> bool:
        """Tell whether a check that is no pytest item takes part: only its id can choose it."""
        chosen = bool(self.only or self.tags or self.keyword)
        return not chosen or (any(is_named(check, name) for name in self.only) and not self.tags and not self.keyword)

    @property
    def whole(self) -> bool:
        """True where nothing is left out."""
        return not (self.only or self.tags or self.keyword or self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be run, and how.

    `text` is the config as the command read it from `source`; `root` its folder. `lent` tells `boot` where modules that
    are lent lie. `facts` are those of GPUs to be judged in place of this machine's. `scratch` and `inline` (the id of
    one check, to be run by itself) are set on the way from the worker to its stage.
    """

    source: str = ""
    text: str | None = None
    root: str = "."
    place: str = "local"
    only: Sequence[str] = ()
    tags: Sequence[str] = ()
    keyword: str = ""
    at: Sequence[str] = ()
    lent: str = ""
    deadline: float = 60.0
    imports: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] | None = None
    plan_only: bool = False
    scratch: str = ""
    inline: str = ""
