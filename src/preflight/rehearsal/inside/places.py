"""Where in the user's own code something happens."""

import os
import sys
import sysconfig
import traceback
from types import FrameType, TracebackType
from typing import Any

from preflight.rehearsal.inside import wire

_LIBRARIES = tuple(
    {os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_OURS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")

Place = dict[str, Any]


def is_own(file: str) -> bool:
    """Tell whether a file is the user's: below the experiment's folder, and neither a library's nor ours."""
    whole = os.path.abspath(file)
    if file.startswith("<") or whole.startswith((_OURS, *_LIBRARIES)) or f"{os.sep}site-packages{os.sep}" in whole:
        return False
    return whole.startswith(os.path.join(wire.root(), ""))


def here() -> Place:
    """Return file, line and function of the innermost frame that is the user's; empty where there is none."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None:
        if is_own(frame.f_code.co_filename):
            return {"file": frame.f_code.co_filename, "line": frame.f_lineno, "function": frame.f_code.co_name}
        frame = frame.f_back
    return {}


def of_traceback(trace: TracebackType | None) -> tuple[Place, list[tuple[str, int, str]]]:
    """Return the innermost place of the user's in a traceback, and all of its frames that are not ours."""
    frames = [
        (each.filename, each.lineno or 0, each.name)
        for each in traceback.extract_tb(trace)
        if not os.path.abspath(each.filename).startswith(_OURS)
    ]
    own = [each for each in frames if is_own(each[0])]
    place = dict(zip(("file", "line", "function"), own[-1], strict=True)) if own else {}
    return place, frames
