"""`nodes:` as dataclasses: what is wanted of many nodes together."""

from __future__ import annotations

from dataclasses import dataclass

from preflight.config.document import Location
from preflight.config.scalars import Duration, Size

NOWHERE = Location()


@dataclass(frozen=True, slots=True, kw_only=True)
class Collectives:
    """`nodes.collectives:`: all ranks add up together, once every node has passed by itself.

    `backend` is nccl or gloo, by default nccl where the ranks have GPUs; `ranks` is how many there are on a node, by
    default one for each GPU or one; `size` is what is added up, `bandwidth` the least bus bandwidth in bytes per
    second, `deadline` the seconds for all of it.
    """

    backend: str = ""
    ranks: int | None = None
    size: Size | None = None
    bandwidth: Size | None = None
    deadline: Duration = 120.0
    at: Location = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """`nodes:`: how nodes are waited for, and what they do together.

    `start` are the seconds within which a node must have begun, `silence` those without a word after which it counts as
    hung, `deadline` those for all nodes and all checks together, by default none.
    """

    start: Duration = 60.0
    silence: Duration = 30.0
    deadline: Duration | None = None
    collectives: Collectives | None = None
    at: Location = NOWHERE
