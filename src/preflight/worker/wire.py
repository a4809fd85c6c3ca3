"""The wire between a worker and the command: messages as short, numbered, checksummed lines on standard output."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

MARK = b"~preflight"
# srun passes lines of at most 1,023 bytes whole and tears longer ones.
LONGEST = 1000
_PIECE = 900


def frames(message: dict[str, Any], sequence: int) -> Iterator[bytes]:
    """Yield `message` as lines of at most `LONGEST` bytes: mark, sequence, part/parts, CRC-32 of the piece, piece."""
    packed = b64encode(zlib.compress(json.dumps(message).encode(), 1))
    pieces = [packed[start : start + _PIECE] for start in range(0, len(packed), _PIECE)]
    for part, piece in enumerate(pieces, 1):
        yield b"%s %d %d/%d %08x %s\n" % (MARK, sequence, part, len(pieces), zlib.crc32(piece), piece)


class Reader:
    """Puts messages together again; lines that are no frames are kept in `noise`, damaged frames counted in `torn`."""

    def __init__(self) -> None:
        self.noise: list[str] = []
        self.torn = 0
        self._rest = b""
        self._pieces: dict[int, dict[int, bytes]] = {}

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Take what was read and yield the messages that are complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not line.startswith(MARK + b" "):
                self.noise = [*self.noise[-99:], line.decode("utf-8", "replace")]
            elif (message := self._take(line)) is not None:
                yield message

    def _take(self, line: bytes) -> dict[str, Any] | None:
        try:
            _, sequence, counts, checksum, piece = line.split(b" ")
            part, parts = map(int, counts.split(b"/"))
            if int(checksum, 16) != zlib.crc32(piece):
                self.torn += 1
                return None
            pieces = self._pieces.setdefault(int(sequence), {})
            pieces[part] = piece
            if len(pieces) < parts:
                return None
            del self._pieces[int(sequence)]
            message: dict[str, Any] = json.loads(
                zlib.decompress(b64decode(b"".join(pieces[n + 1] for n in range(parts))))
            )
        except (ValueError, KeyError, zlib.error):
            self.torn += 1
            return None
        return message
