"""How a process of the program writes down what is seen in it: lines of JSON in a file of its own."""

import json
import os
import threading
import time
from typing import Any

_folder = ""
_root = ""
_path = ""
_file = -1
_lock = threading.RLock()


def open_in(folder: str, root: str) -> None:
    """Write into a new file in `folder` from now on; `root` is the folder of the experiment."""
    global _folder, _root
    _folder, _root = folder, root
    reopen()


def reopen() -> None:
    """Begin a file of this process's own, after a fork."""
    global _file, _lock, _path  # noqa: PLW0603
    _lock = threading.RLock()
    _path = os.path.join(_folder, f"{os.getpid()}-{time.monotonic_ns()}")
    _file = os.open(_path + ".jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def root() -> str:
    """Return the folder of the experiment."""
    return _root


def path() -> str:
    """Return the path of this process's file, without its suffix."""
    return _path


def tell(kind: str, **facts: Any) -> None:
    """Write one event with the time (`time.monotonic()`, the same clock in all processes of one machine).

    One write each, so that a process which dies the next moment has told it. Never raises.
    """
    try:
        line = json.dumps({"kind": kind, "at": time.monotonic(), **facts}, default=str) + "\n"
        with _lock:
            os.write(_file, line.encode("utf-8", "surrogatepass"))
    except Exception:  # noqa: BLE001, S110 - a program must not die of being watched
        pass
