"""What the program computes, as digests that two runs of it can be compared by.

Tells `evidence` {what, digest, shown, process, place} for the batches that data loaders hand out, losses that are
derived, parameters after optimizer steps, and arrays and tensors that are saved; and `wrote` {name, process, lines} at
the end for each small text file, and `sources` {files, peak}: the files of the user's own that were
imported, and the most memory in bytes.
"""

import atexit
import functools
import os
import resource
import stat
import sys
from types import ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, identity, places, wire
from preflight.rehearsal.inside.digests import Digest, looks

_MOST = 500
# Bytes of which digests are made, and what a text file that is read again may hold.
_BUDGET = 4 * 1024**3
_LARGEST_TEXT = 256 * 1024
_TEXT = (".json", ".jsonl", ".csv", ".tsv", ".txt", ".yaml", ".yml", ".md")


class _Notes:
    """What has been told so far."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.size = 0
        self.inside = False
        self.pid = os.getpid()

    def add(self, what: str, value: Any) -> None:
        """Tell the digest of a value; nothing once enough has been told, nor for what happens meanwhile."""
        count = self.counts[what] = self.counts.get(what, 0) + 1
        if count > _MOST or self.size > _BUDGET or self.inside:
            return
        self.inside = True
        try:
            digest = Digest()
            digest.add(value)
            self.size += digest.size
            process = identity.name()
            place = places.here()
            wire.tell("evidence", what=what, digest=digest.text(), shown=looks(value), process=process, place=place)
        except Exception as problem:  # noqa: BLE001 - a program must not die of being watched
            wire.tell("unable", feature="evidence", why=f"{type(problem).__name__}: {problem}")
        finally:
            self.inside = False


_notes = _Notes()
_written: dict[str, None] = {}


def install(settings: dict[str, Any]) -> None:  # noqa: ARG001 - as every feature
    """Look on at what leaves the program."""
    identity.name()
    arrivals.when_imported("torch.utils.data.dataloader", _watch_batches)
    arrivals.when_imported("torch", _watch_torch)
    arrivals.when_imported("torch.optim.optimizer", _watch_optimizers)
    arrivals.when_imported("safetensors.torch", lambda module: _watch_saving(module, {"save_file": 0}))
    arrivals.when_imported("numpy", _watch_numpy)
    arrivals.when_imported("joblib", lambda module: _watch_saving(module, {"dump": 0}))
    sys.addaudithook(_hear)
    atexit.register(_tell_written)


def _watch_batches(module: Any) -> None:
    iterator = module._BaseDataLoaderIter  # noqa: SLF001
    real = iterator.__next__

    @functools.wraps(real)
    def following(self: Any) -> Any:
        batch = real(self)
        _notes.add("batch", batch)
        return batch

    iterator.__next__ = following


def _watch_torch(torch: Any) -> None:
    _watch_saving(torch, {"save": 0})
    real = torch.autograd.backward

    @functools.wraps(real)
    def backward(tensors: Any, *arguments: Any, **more: Any) -> Any:
        _notes.add("loss", tensors)
        return real(tensors, *arguments, **more)

    torch.autograd.backward = backward


def _watch_optimizers(module: Any) -> None:
    hook = getattr(module, "register_optimizer_step_post_hook", None)
    if hook is not None:
        hook(_tell_parameters)


def _tell_parameters(optimizer: Any, *_: object) -> None:
    _notes.add("parameters", [group["params"] for group in optimizer.param_groups])


def _watch_numpy(numpy: ModuleType) -> None:
    _watch_saving(numpy, {"save": 1, "savetxt": 1, "savez": None, "savez_compressed": None})


def _watch_saving(module: Any, functions: dict[str, int | None]) -> None:
    """Take in what is saved by functions whose value stands at a position; None for all after the file."""
    for name, position in functions.items():
        real = getattr(module, name, None)
        if real is None:
            continue

        @functools.wraps(real)
        def save(*arguments: Any, real: Any = real, position: int | None = position, **more: Any) -> Any:
            if position is None:
                _notes.add("saved", [arguments[1:], more])
            elif len(arguments) > position:
                _notes.add("saved", arguments[position])
            return real(*arguments, **more)

        setattr(module, name, save)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """Note which files are opened to be written (docs.python.org/3/library/audit_events.html)."""
    if event != "open" or len(_written) > _MOST:
        return
    path, mode, flags = arguments
    writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags and flags & os.O_CREAT)
    if writes and isinstance(path, str) and path.endswith(_TEXT):
        _written[os.path.abspath(path)] = None


def _tell_written() -> None:
    if os.getpid() != _notes.pid:
        return
    wire.tell("sources", files=places.own_files(), peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    for path in list(_written):
        try:
            facts = os.stat(path)
            if stat.S_ISREG(facts.st_mode) and facts.st_size <= _LARGEST_TEXT:
                with open(path, encoding="utf-8") as stream:
                    lines = stream.read().splitlines()
                wire.tell("wrote", name=os.path.relpath(path, wire.root()), process=identity.name(), lines=lines)
        except (OSError, ValueError):
            continue
