"""Why a rehearsed program failed: the one finding that names the true cause and the place in the user's own code."""

from __future__ import annotations

from preflight.model import Finding
from preflight.rehearsal.program import Rehearsed
from preflight.words import error


def why(done: Rehearsed) -> Finding | None:
    """Return the finding that says why a run failed; None where it did not, or where nothing tells.

    `file` and `line` are the user's own place; they are empty where there is none.
    """
    raised = next(reversed(done.of("raised")), None)
    if raised is None:
        return None
    place = raised["place"]
    return error(
        f"the program fails: {raised['type']}: {raised['text'].partition(chr(10))[0]}",
        id="rehearsal.raises",
        file=place.get("file", ""),
        line=place.get("line", 0),
    )
