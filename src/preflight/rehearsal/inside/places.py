"""Where in the user's own code something happens."""

import functools
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


@functools.cache
def is_own(file: str) -> bool:
    """Tell whether a file is the user's: below the experiment's folder, and neither a library's nor ours."""
    whole = os.path.abspath(file)
    if file.startswith("<") or whole.startswith((_OURS, *_LIBRARIES)) or f"{os.sep}site-packages{os.sep}" in whole:
        return False
    return whole.startswith(os.path.join(wire.root(), ""))


def here() -> Place:
    """Return file, line and function of the innermost frame that is the user's; empty where there is none."""
    return outward(sys._getframe(1))  # noqa: SLF001


def outward(frame: FrameType | None) -> Place:
    """Return the first frame of the user's from `frame` outward, as `here` does."""
    while frame is not None and not is_own(frame.f_code.co_filename):
        frame = frame.f_back
    return of_frame(frame) if frame is not None else {}


def of_frame(frame: FrameType) -> Place:
    """Return file, line and function of a frame."""
    return {"file": frame.f_code.co_filename, "line": frame.f_lineno, "function": frame.f_code.co_name}


def asking() -> Place:
    """Return the innermost frame of the user's, as `here` does; empty where it only imports what asks."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib"):
            return {}
        if is_own(file):
            return of_frame(frame)
        frame = frame.f_back
    return {}


def own_files() -> list[str]:
    """Return the files of the user's own that have been imported."""
    # The main module loses its `__file__` when it comes to its end.
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())] + sys.argv[:1]
    return sorted({os.path.abspath(each) for each in files if isinstance(each, str) and is_own(each)})


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
