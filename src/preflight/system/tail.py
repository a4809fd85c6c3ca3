"""The beginning and the end of a stream of any length."""

from __future__ import annotations


class Tail:
    """Keeps at most `kept` bytes each of the beginning and of the end."""

    def __init__(self, kept: int = 32_768) -> None:
        self.kept = kept
        self.size = 0
        self._head = b""
        self._tail = b""
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        self.size += len(data)
        room = self.kept - len(self._head)
        self._head += data[:room]
        tail = self._tail + data[room:] if room > 0 else self._tail + data
        self._dropped += max(0, len(tail) - self.kept)
        self._tail = tail[-self.kept :]

    def text(self) -> str:
        """Return what was kept, with a line in between that says how much is left out."""
        gap = f"\n[… {self._dropped:,} bytes left out …]\n".encode() if self._dropped else b""
        return (self._head + gap + self._tail).decode("utf-8", "replace")
