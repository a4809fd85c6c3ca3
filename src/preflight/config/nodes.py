"""`nodes:` as a dataclass: how many nodes are waited for, and whether they add up together."""

from __future__ import annotations

from dataclasses import dataclass

from preflight.config.document import Location
from preflight.config.scalars import Duration

NOWHERE = Location()


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """`nodes:`: how nodes are waited for, and whether they add up together.

    `start` are the seconds within which a node must have begun, `silence` those without a word after which it counts as
    hung, `deadline` those for all nodes and all checks together, by default none.
    """

    start: Duration = 60.0
    silence: Duration = 30.0
    deadline: Duration | None = None
    collectives: bool = False
    at: Location = NOWHERE
