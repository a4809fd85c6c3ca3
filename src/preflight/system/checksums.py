"""Checksums of files: which algorithms there are here, and many files hashed at once."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# From the standard library, by the name that the tools of their kind print.
STANDARD = ("sha256", "sha512", "sha1", "md5", "sha224", "sha384", "blake2b", "blake2s")
# From packages: the name, the module, what in it makes the hash.
PACKAGED = {
    "xxh128": ("xxhash", "xxh3_128"),
    "xxh3": ("xxhash", "xxh3_64"),
    "xxh64": ("xxhash", "xxh64"),
    "blake3": ("blake3", "blake3"),
}
_BUFFER = 1 << 18
_BATCH = 16
_MOST_THREADS = 16


class NotInstalled(Exception):
    """The package that an algorithm needs is not installed; the text is its name."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What tells without reading that a file is as it was: size in bytes, times in nanoseconds, inode."""

    size: int
    modified: int
    inode: int
    changed: int


@dataclass(frozen=True, slots=True)
class Hashed:
    """One file after reading it: its place among those that were asked for, the digest, or the system's error."""

    index: int
    digest: str = ""
    signature: Signature | None = None
    error: str = ""


def best() -> str:
    """Return the fastest algorithm that is installed here."""
    try:
        algorithm("xxh128")
    except NotInstalled:
        return "sha256"
    return "xxh128"


def algorithm(name: str) -> Callable[[], Any]:
    """Return what makes a hash object. Raises NotInstalled, or KeyError where nobody knows the name."""
    import hashlib
    from importlib import import_module

    if name in STANDARD:
        return lambda: hashlib.new(name, usedforsecurity=False)
    module, function = PACKAGED[name]
    try:
        made: Callable[[], Any] = getattr(import_module(module), function)
    except ImportError:
        raise NotInstalled(module) from None
    return made


def hash_files(files: Sequence[tuple[int, str, str]], until: float = float("inf")) -> Iterator[Hashed]:
    """Hash the files, given as (index, path, algorithm), in several threads.

    After `until`, a time of `time.monotonic`, no file is begun.
    """
    from concurrent.futures import ThreadPoolExecutor
    from threading import local

    mine = local()

    def hash_batch(batch: Sequence[tuple[int, str, str]]) -> list[Hashed]:
        if not hasattr(mine, "buffer"):
            mine.buffer = bytearray(_BUFFER)
        return [_hash_file(*each, mine.buffer) for each in batch if time.monotonic() < until]

    threads = _threads()
    # A few large files are spread over the threads, many small ones handed out by the batch.
    size = max(1, min(_BATCH, len(files) // (8 * threads)))
    batches = [files[start : start + size] for start in range(0, len(files), size)]
    with ThreadPoolExecutor(threads) as pool:
        for hashed in pool.map(hash_batch, batches):
            yield from hashed


def _threads() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, _MOST_THREADS)


def _hash_file(index: int, path: str, name: str, buffer: bytearray) -> Hashed:
    """Hash one file; the hash objects release the interpreter's lock while they work."""
    view = memoryview(buffer)
    try:
        # A pipe that took the place of a file must not hold the reader up.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                return Hashed(index, error="not a file")
            hashing = algorithm(name)()
            while size := os.readv(descriptor, [buffer]):
                hashing.update(view[:size])
        finally:
            os.close(descriptor)
    except OSError as error:
        return Hashed(index, error=os.strerror(error.errno) if error.errno else str(error))
    return Hashed(index, hashing.hexdigest(), signature_of(facts))


def signature_of(facts: os.stat_result) -> Signature:
    """Return the signature in the facts that the system has of a file."""
    return Signature(facts.st_size, facts.st_mtime_ns, facts.st_ino, facts.st_ctime_ns)
