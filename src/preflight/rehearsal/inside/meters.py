"""Measures what the program takes: memory and open files at each batch, and what it saves.

With each `batch`: rss, heap (bytes that malloc has given out), files (open ones), and of each GPU in use the bytes that
torch has reserved at most so far (cuda), that its tensors take now (tensors), and that the card has (card).
`memory` {processes: [{pid, rss, pss}]}: this process and those below it, now and then; pss counts a page that n
processes share as a part of n. `saved` {path, bytes, seconds, by, place}: a call of `by` has written a file.
`most` {rss, files, cuda, …}: at the end of a process.
"""

import atexit
import ctypes
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, loaders, places, wire

_PAGE = os.sysconf("SC_PAGE_SIZE")
# Reading the shares of all pages takes milliseconds.
_SECONDS_BETWEEN = 0.5
_SAVING = {
    "torch": ("save",),
    "torch.serialization": ("save",),
    "safetensors.torch": ("save_file", "save_model"),
    "safetensors.numpy": ("save_file",),
    "numpy": ("save", "savez", "savez_compressed"),
    "joblib": ("dump",),
    "lightning.fabric.utilities.cloud_io": ("_atomic_save",),
    "lightning_fabric.utilities.cloud_io": ("_atomic_save",),
}
_scandir = os.scandir
_ours: set[Any] = set()
_measured = 0.0
_depth = 0


def install(_settings: dict[str, Any]) -> None:
    """Measure from now on."""
    loaders.measures.append(measure)
    for name in _SAVING:
        arrivals.when_imported(name, _watch_saving)
    atexit.register(_tell_most)


def measure() -> dict[str, Any]:
    """Return what this process takes now; what there is no way to know is left out."""
    global _measured  # noqa: PLW0603
    if time.monotonic() - _measured > _SECONDS_BETWEEN:
        wire.tell("memory", processes=[_shares(pid) for pid in _family()])
        _measured = time.monotonic()
    facts = {"rss": _resident(), "heap": _heap(), "files": _open_files(), **_on_cards()}
    return {name: value for name, value in facts.items() if value is not None}


def _resident() -> int | None:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return None


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33 (mallinfo(3))."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _find_mallinfo() -> Callable[[], _Mallinfo] | None:
    try:
        function = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError):
        return None
    function.restype = _Mallinfo
    return function


_mallinfo = _find_mallinfo()


def _heap() -> int | None:
    if _mallinfo is None:
        return None
    facts = _mallinfo()
    return int(facts.uordblks + facts.hblkhd)


def _open_files() -> int | None:
    try:
        # One of them is the folder itself.
        return sum(1 for _ in _scandir("/proc/self/fd")) - 1
    except OSError:
        return None


def _on_cards() -> dict[str, list[int]]:
    cuda = sys.modules.get("torch.cuda")
    if cuda is None or not getattr(cuda, "is_initialized", bool)():
        return {}
    used = [device for device in range(cuda.device_count()) if cuda.max_memory_reserved(device)]
    return {
        "cuda": [int(cuda.max_memory_reserved(device)) for device in used],
        "tensors": [int(cuda.memory_allocated(device)) for device in used],
        "card": [int(cuda.get_device_properties(device).total_memory) for device in used],
    }


def _family() -> Iterator[int]:
    """Give this process and all below it (proc_pid_task_children(5))."""
    waiting = [os.getpid()]
    while waiting:
        pid = waiting.pop()
        yield pid
        try:
            for task in _scandir(f"/proc/{pid}/task"):
                with open(f"{task.path}/children", encoding="ascii") as file:
                    waiting += map(int, file.read().split())
        except OSError:
            continue


def _shares(pid: int) -> dict[str, int]:
    facts = {"pid": pid}
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name in ("Rss", "Pss"):
                    facts[name.lower()] = int(rest.split()[0]) * 1024
    except OSError:
        pass
    return facts


def _watch_saving(module: ModuleType) -> None:
    for name in _SAVING[module.__name__]:
        if hasattr(module, name):
            setattr(module, name, _timed(getattr(module, name), f"{module.__name__}.{name}"))


def _timed(save: Callable[..., Any], by: str) -> Callable[..., Any]:
    if save in _ours:
        return save

    @functools.wraps(save)
    def saving(*arguments: Any, **named: Any) -> Any:
        global _depth  # noqa: PLW0603
        _depth += 1
        began = time.monotonic()
        try:
            result = save(*arguments, **named)
        finally:
            _depth -= 1
        if not _depth:
            _tell_saved(by, time.monotonic() - began, [*arguments, *named.values()])
        return result

    _ours.add(saving)
    return saving


def _tell_saved(by: str, seconds: float, arguments: list[Any]) -> None:
    """Tell of the file that is among the arguments of a call: its path, or itself."""
    for each in arguments:
        target = getattr(each, "name", each)
        if isinstance(target, (str, os.PathLike)) and (path := _written(os.fspath(target))):
            if hasattr(each, "flush"):
                each.flush()
            facts = {"path": os.path.abspath(path), "bytes": os.path.getsize(path)}
            wire.tell("saved", **facts, seconds=seconds, by=by, place=places.here())
            return


def _written(path: str) -> str:
    """Return the path as it was written: numpy adds an ending."""
    return next((each for each in (path, f"{path}.npy", f"{path}.npz") if os.path.isfile(each)), "")


def _tell_most() -> None:
    facts = {"rss": _peak(), "files": _open_files(), **_on_cards()}
    wire.tell("most", **{name: value for name, value in facts.items() if value is not None})


def _peak() -> int | None:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:")), None)
    except OSError:
        return None
