"""What a step returned, as digests: the feature of a process that runs `call.py` beside it and nothing else.

Tells `evidence` as the feature of that name does, `what` being `value` and the path of each part, and `sources`.
"""

import atexit
import resource
import sys
from typing import Any

from preflight.rehearsal.inside import identity, places, wire
from preflight.rehearsal.inside.digests import Digest, looks

_MOST = 2000


def install(settings: dict[str, Any]) -> None:  # noqa: ARG001 - as every feature
    """Look at the end at what `call.py` has left in the main module."""
    identity.name()
    atexit.register(_tell)


def _tell() -> None:
    wire.tell("sources", files=places.own_files(), peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    value = vars(sys.modules["__main__"]).get("value")
    for number, (path, part) in enumerate(_parts(value, "", 4)):
        if number >= _MOST:
            break
        digest = Digest()
        digest.add(part)
        wire.tell(
            "evidence", what=f"value{path}", digest=digest.text(), shown=looks(part), process=identity.name(), place={}
        )


def _parts(value: Any, path: str, depth: int) -> list[tuple[str, Any]]:
    if depth and callable(getattr(value, "state_dict", None)):
        value = value.state_dict()
    if depth and isinstance(value, dict):
        pairs = [(f"{path}[{key!r}]", part) for key, part in value.items()]
    elif depth and isinstance(value, (list, tuple)) and len(value) < _MOST:
        pairs = [(f"{path}[{index}]", part) for index, part in enumerate(value)]
    else:
        return [(path, value)]
    return [each for inner, part in pairs for each in _parts(part, inner, depth - 1)]
