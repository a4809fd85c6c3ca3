"""A file that is open for the cheap tests: its size, its head, its tail and whatever else they ask for."""

from __future__ import annotations

import os
import struct

HEAD = 8192


class Opened:
    """A file that is open for reading: its size, its first bytes, and any others."""

    __slots__ = ("descriptor", "path", "size", "start")

    def __init__(self, path: str, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor
        self.start = os.read(descriptor, HEAD)
        self.size = len(self.start) if len(self.start) < HEAD else os.fstat(descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`."""
        if 0 <= offset <= offset + length <= len(self.start):
            return self.start[offset : offset + length]
        return os.pread(self.descriptor, length, offset) if 0 <= offset < self.size else b""

    def end(self, length: int) -> bytes:
        """Return up to `length` bytes from the end."""
        if self.size == len(self.start):
            return self.start[-length:]
        return self.read(max(self.size - length, 0), min(length, self.size))

    def number(self, layout: str, offset: int) -> int:
        """Return the number that stands at `offset`; raises struct.error where the file ends before."""
        return int(struct.unpack(layout, self.read(offset, struct.calcsize(layout)))[0])


class Damaged(Exception):
    """The parts of a file contradict each other."""


def short(file: Opened, wanted: int) -> str:
    """Return that a file ends before it has the bytes that it should have, or nothing."""
    return f"it has {file.size:,} of {wanted:,} bytes" if file.size < wanted else ""
