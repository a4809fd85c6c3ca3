"""The wire between a worker and the command: messages as short, named, checksummed lines on standard output."""

from __future__ import annotations

import json
import os
import time
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

MARK = b"~preflight"
# srun passes lines of at most 1,023 bytes whole and tears longer ones.
LONGEST = 1000
# Room in a line for all but the name and the piece.
_HEAD = 60
_BEAT = 2.0

Message = dict[str, Any]


def frames(message: Message, sequence: int, name: str = "local") -> Iterator[bytes]:
    """Yield `message` as lines of at most `LONGEST` bytes: mark, name, sequence, part/parts, CRC-32, piece.

    `name` is the place that speaks, a word; many may speak on one stream.
    """
    packed, speaker = b64encode(zlib.compress(json.dumps(message).encode(), 1)), name.encode()
    room = LONGEST - _HEAD - len(speaker)
    pieces = [packed[start : start + room] for start in range(0, len(packed), room)]
    for part, piece in enumerate(pieces, 1):
        head = b"%s %d %d/%d" % (speaker, sequence, part, len(pieces))
        yield b"%s %s %08x %s\n" % (MARK, head, zlib.crc32(head + piece), piece)


class Voice:
    """Numbers messages and writes them to the wire, in the name of a place."""

    def __init__(self, fd: int, name: str = "local") -> None:
        self._fd, self._name = fd, name
        self._sequence = 0
        self._last = 0.0

    def say(self, **message: Any) -> None:
        """Write one message."""
        self._sequence += 1
        self._last = time.monotonic()
        data = b"".join(frames(message, self._sequence, self._name))
        while data:
            data = data[os.write(self._fd, data) :]

    def beat(self) -> None:
        """Say that the worker lives, where it has been silent for a while."""
        if time.monotonic() > self._last + _BEAT:
            self.say(kind="beat")


class Reader:
    """Puts messages together again; lines that are no frames are kept in `noise`, damaged frames counted in `torn`.

    Messages are to be read only: places that say the same are heard with the same object.
    """

    def __init__(self) -> None:
        self.noise: list[str] = []
        self.torn = 0
        self._rest = b""
        self._pieces: dict[tuple[bytes, bytes], dict[int, bytes]] = {}

    def feed(self, data: bytes) -> Iterator[tuple[str, Message]]:
        """Take what was read and yield the messages that are complete, each with the name of who said it."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not line.startswith(MARK + b" "):
                self.noise = [*self.noise[-99:], line.decode("utf-8", "replace")]
            elif (message := self._take(line)) is not None:
                yield message

    def _take(self, line: bytes) -> tuple[str, Message] | None:
        try:
            _, name, sequence, counts, checksum, piece = line.split(b" ")
            part, parts = map(int, counts.split(b"/"))
            if int(checksum, 16) != zlib.crc32(b"%s %s %s%s" % (name, sequence, counts, piece)):
                self.torn += 1
                return None
            if parts == 1:
                return name.decode(), _unpacked(piece)
            pieces = self._pieces.setdefault((name, sequence), {})
            pieces[part] = piece
            if len(pieces) < parts:
                return None
            del self._pieces[name, sequence]
            return name.decode(), _unpacked(b"".join(pieces[n + 1] for n in range(parts)))
        except (ValueError, KeyError, zlib.error):
            self.torn += 1
            return None


# Most of what many nodes say is what others have said; of what only one does, the oldest is forgotten.
@lru_cache(maxsize=512)
def _unpacked(packed: bytes) -> Message:
    message: Message = json.loads(zlib.decompress(b64decode(packed)))
    return message
