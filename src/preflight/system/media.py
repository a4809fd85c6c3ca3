"""Whether an image, a sound or a video is whole, told by its marks and the sizes that stand in it."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from preflight.system.opened import Opened, short

BLOCK = 1 << 20


def _png(file: Opened) -> str:
    if b"IEND\xaeB`\x82" in file.end(64):
        return ""
    offset = 8
    while header := file.read(offset, 8):
        if len(header) < 8 or not header[4:].isalpha():
            break
        offset += 12 + int.from_bytes(header[:4], "big")
        if header[4:] == b"IEND" and offset <= file.size:
            return ""
    return "its last chunk (IEND) is missing"


def _jpeg(file: Opened) -> str:
    if b"\xff\xd9" in file.end(2) or file.end(1024).rstrip(b"\0\n\r ").endswith(b"\xff\xd9"):
        return ""
    offset, segment = 2, file.read(2, 4)
    while len(segment) == 4 and segment[0] == 0xFF:
        if segment[1] == 0xD9:
            return ""
        if segment[1] == 0xFF:
            offset += 1
        else:
            offset += 2 + int.from_bytes(segment[2:], "big")
        offset = _next_marker(file, offset) if segment[1] == 0xDA else offset
        segment = file.read(offset, 2).ljust(4, b"\0") if offset + 2 == file.size else file.read(offset, 4)
    return "its end marker (FFD9) is missing"


def _next_marker(file: Opened, offset: int) -> int:
    """Return where the coded data that begins at `offset` ends."""
    while block := file.read(offset, BLOCK):
        if marker := re.search(rb"\xff[^\x00\xd0-\xd7\xff]", block):
            return offset + marker.start()
        offset += max(len(block) - 1, 1)
    return offset


def _gif(file: Opened) -> str:
    return "" if b";" in file.end(64).rstrip(b"\0")[-2:] else "its end (3B) is missing"


def _riff(file: Opened) -> str:
    if not file.start.startswith(b"RIFF"):
        return ""
    wanted = file.number("<I", 4) + 8
    # Writers to a pipe leave the size at its largest or at nothing, some forget the last padding.
    return short(file, wanted) if 8 < wanted < 0x7FFFFFFF and file.size + 8 < wanted else ""


def _bmp(file: Opened) -> str:
    return short(file, file.number("<I", 2))


def _tiff(file: Opened) -> str:
    order = "<" if file.start[:1] == b"I" else ">"
    is_big = 43 in (file.start[2], file.start[3])
    first = file.number(order + "Q", 8) if is_big else file.number(order + "I", 4)
    return f"its directory at byte {first:,} is missing: it has {file.size:,} bytes" if first + 2 > file.size else ""


def _mp4(file: Opened) -> str:
    offset, boxes = 0, set()
    while offset + 8 <= file.size:
        length, kind = struct.unpack(">I4s", file.read(offset, 8))
        if length < 2:  # to the end of the file, or too long for four bytes
            length = file.number(">Q", offset + 8) if length else file.size - offset
        if length < 8 or not re.fullmatch(rb"[\w \xa9-]{4}", kind):
            return ""
        boxes.add(kind)
        offset += length
    if offset > file.size:
        return short(file, offset)
    return "" if boxes & {b"moov", b"moof"} or b"ftyp" not in boxes else "its index (moov) is missing"


TESTS: dict[str, Callable[[Opened], str]] = {
    "PNG image": _png,
    "JPEG image": _jpeg,
    "GIF image": _gif,
    "WebP image": _riff,
    "BMP image": _bmp,
    "TIFF image": _tiff,
    "WAV sound": _riff,
    "AVI video": _riff,
    "MP4 video": _mp4,
}
