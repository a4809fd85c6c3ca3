"""Whether a file is whole, told by its head, its tail and the sizes that stand in it: nothing is decoded."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from preflight.system import formats

HEAD = 8192
TAIL = 66_000  # the end record of a zip archive stands in the last 65,557 bytes
LONGEST_HEADER = 100_000_000  # of a safetensors file, as its reader has it
BLOCK = 1 << 20

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Flaw(NamedTuple):
    """What is wrong with a file: the kind, in a word, and what was seen."""

    kind: str
    format: str
    seen: str


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
        return self.read(max(self.size - length, 0), min(length, self.size))

    def number(self, layout: str, offset: int) -> int:
        """Return the number that stands at `offset`; raises struct.error where the file ends before."""
        return int(struct.unpack(layout, self.read(offset, struct.calcsize(layout)))[0])


class Damaged(Exception):
    """The parts of a file contradict each other."""


def flaw_of(path: str) -> Flaw | None:
    """Return what is wrong with a file by its cheap tests; raises OSError where it cannot be read.

    An empty file, a Git LFS pointer and a web page are not looked at: `formats.trouble_of` has a word for them. Neither
    is a file with a suffix that stands for no format.
    """
    suffix = formats.suffix_of(path)
    if suffix not in formats.SUFFIXES:
        return None
    # A pipe that took the place of a file must not hold the reader up.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        file = Opened(path, descriptor)
        magic, test = _USUAL.get(suffix, (None, None))
        if magic and test and magic.match(file.start):
            with suppress(Damaged, struct.error, IndexError):
                if not test(file):
                    return None
        return _flaw_in(file)
    finally:
        os.close(descriptor)


def _flaw_in(file: Opened) -> Flaw | None:
    path, start = file.path, file.start
    if formats.trouble_of(path, start[: formats.START]):
        return None
    expected = formats.expected_format(path)
    if formats.never_written(path, start):
        return Flaw("zeros", expected, "it begins with zero bytes")
    found, minded = formats.mistaken_format(path, start)
    if minded:
        return Flaw("wrong-format", expected, found or f"something that begins with {start[:8].hex(' ')}")
    # A PyTorch file, and one of a suffix that many formats share, is what it begins like.
    is_named = expected in _TESTS and expected not in formats.MAGICS
    flaw = _flaw_within(file, expected if is_named else formats.recognised_format(path, start))
    return flaw or (Flaw("other-suffix", expected, found) if found else None)


def _flaw_within(file: Opened, name: str) -> Flaw | None:
    test = _TESTS.get(name)
    if test is None:
        return None
    try:
        missing = test(file)
    except Damaged as problem:
        return Flaw("damaged", name, str(problem))
    except (struct.error, IndexError):
        return Flaw("truncated", name, "it ends within its header")
    return Flaw("truncated", name, missing) if missing else None


def _short(file: Opened, wanted: int) -> str:
    return f"it has {file.size:,} of {wanted:,} bytes" if file.size < wanted else ""


def _png(file: Opened) -> str:
    if b"IEND\xaeB`\x82" in file.end(64):
        return ""
    offset = 8
    while header := file.read(offset, 8):
        if len(header) < 8:
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
    return _short(file, wanted) if 8 < wanted < 0x7FFFFFFF and file.size + 8 < wanted else ""


def _bmp(file: Opened) -> str:
    return _short(file, file.number("<I", 2))


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
        return _short(file, offset)
    return "" if boxes & {b"moov", b"moof"} or b"ftyp" not in boxes else "its index (moov) is missing"


def _zip(file: Opened) -> str:
    if file.start.startswith(b"PK\x05\x06") and file.size >= 22:
        return ""
    tail = file.end(TAIL)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        return "its end record (the central directory) is missing"
    length, offset = struct.unpack("<II", tail[at + 12 : at + 20])
    begin = file.size - len(tail) + at
    if 0xFFFFFFFF in (length, offset):
        begin = file.number("<Q", begin - 12)
        length, offset = file.number("<Q", begin + 40), file.number("<Q", begin + 48)
    # Some writers put a record of 64 bits in between even where they need none.
    if length and all(file.read(place, 4) != b"PK\x01\x02" for place in (offset, begin - length, begin - length - 76)):
        raise Damaged("its central directory is not where its end record says")
    return ""


def _bzip2(file: Opened) -> str:
    tail = int.from_bytes(file.end(16), "big")
    ends = any((tail >> 32 + shift) & 0xFFFFFFFFFFFF == 0x177245385090 for shift in range(8))
    return "" if ends else "its end of stream is missing"


def _xz(file: Opened) -> str:
    return "" if file.end(1024).rstrip(b"\0").endswith(b"YZ") else "its stream footer is missing"


def _tar(file: Opened) -> str:
    if file.start[257:262] != b"ustar" or not file.end(512).strip(b"\0"):
        return ""
    offset = 0
    while len(header := file.read(offset, 512)) == 512 and header[257:262] == b"ustar":
        field = header[124:136]
        length = int.from_bytes(field[1:], "big") if field[0] & 0x80 else int(field.strip(b" \0") or b"0", 8)
        if header[156:157] in b"12346" and header[156:157]:
            length = 0
        offset += 512 + length
        if offset > file.size:
            name = header[:100].rstrip(b"\0").decode(errors="replace")
            return f"it ends within its member {name}"
        offset += -offset % 512
    return "it ends within a header" if 0 < len(header) < 512 else ""


def _numpy(file: Opened) -> str:
    layout, begin = ("<H", 10) if file.start[6] == 1 else ("<I", 12)
    length = file.number(layout, 8)
    header = file.read(begin, min(length, BLOCK))
    kind = re.search(rb"'descr': '[<>|=]?([biufcSUVmM])(\d+)", header)
    shape = re.search(rb"'shape': \(([\d, L]*)\)", header)
    if len(header) < length:
        return "it ends within its header"
    if not kind or not shape:
        return ""
    wanted = int(kind[2]) * (4 if kind[1] == b"U" else 1)
    for side in re.findall(rb"\d+", shape[1]):
        wanted *= int(side)
    return _short(file, begin + length + wanted)


def _parquet(file: Opened) -> str:
    tail = file.end(8)
    if tail[4:] not in (b"PAR1", b"PARE") or file.size < 12:
        return "its footer (PAR1) is missing"
    return _short(file, int.from_bytes(tail[:4], "little") + 12)


def _arrow(file: Opened) -> str:
    magic = b"ARROW1" if file.start.startswith(b"ARROW1") else b"FEA1"
    return "" if file.size > 16 and file.end(len(magic)) == magic else f"its footer ({magic.decode()}) is missing"


def _hdf5(file: Opened) -> str:
    version = file.start[8]
    if version > 3 or file.start[:4] != b"\x89HDF":
        return ""
    width, begin = (file.start[13], 24 + 4 * version) if version < 2 else (file.start[9], 12)
    if width not in (4, 8):
        raise Damaged(f"its superblock has offsets of {width} bytes")
    return _short(file, file.number("<Q" if width == 8 else "<I", begin + 2 * width))


def _safetensors(file: Opened) -> str:
    length = file.number("<Q", 0)
    if length > LONGEST_HEADER:
        raise Damaged(f"it does not begin like one: a header of {length:,} bytes is announced")
    header = file.read(8, length)
    if len(header) < length:
        return _short(file, 8 + length)
    try:
        tensors = json.loads(header)
        ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
        wanted = 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise Damaged("its header is not the JSON that it should be") from None
    if file.size > wanted:
        raise Damaged(f"it has {file.size:,} bytes, and its header speaks of {wanted:,}")
    return _short(file, wanted)


def _sqlite(file: Opened) -> str:
    page = file.number(">H", 16)
    is_counted = file.read(24, 4) == file.read(92, 4)
    return _short(file, (65536 if page == 1 else page) * file.number(">I", 28)) if is_counted else ""


def _pickle(file: Opened) -> str:
    # Text and what a library has compressed begin otherwise; bytes after a pickle are others' business.
    if not re.match(rb"\x80[\x02-\x05]", file.start) or file.end(1) == b".":
        return ""
    return "" if _reaches_stop(file) else "its end (STOP) is missing"


def _reaches_stop(file: Opened) -> bool:
    import pickletools

    if file.size > 64 * BLOCK:
        return True
    with open(file.path, "rb") as stream:
        try:
            for _ in pickletools.genops(stream):
                pass
        except Exception:  # noqa: BLE001 - whatever a broken pickle makes it raise
            return False
    return True


def _json(file: Opened) -> str:
    begin, end = file.start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1], file.end(4096).rstrip()
    last_line = end.rpartition(b"\n")[2].lstrip()
    if last_line.startswith((b"//", b"#")) or end.endswith(b"*/"):
        return ""
    close = {b"{": b"}", b"[": b"]"}.get(begin)
    return (
        f"it begins with {begin.decode()} and does not end with {close.decode()}" if close and end[-1:] != close else ""
    )


def _json_lines(file: Opened) -> str:
    end = file.end(TAIL)
    last = end.rpartition(b"\n")[2].strip()
    if not last or file.start.startswith(_UTF_16):
        return ""
    if len(end.rpartition(b"\n")[2]) < len(end) or len(end) == file.size:
        try:
            json.loads(last)
        except (ValueError, RecursionError):
            return "its last line is cut off"
    return ""


def _delimited(file: Opened) -> str:
    """Look for a last line that has neither all columns nor an end."""
    end = file.end(TAIL)
    if file.start.startswith(_UTF_16):
        return ""
    if end.endswith(b"\0" * 16):
        return "its end is zero bytes"
    lines = end.replace(b"\r", b"\n").replace(b"\n\n", b"\n").split(b"\n")
    if not lines[-1] or b'"' in end or len(lines) < 4:
        return ""
    first = file.start.partition(b"\n")[0]
    mark = max((b",", b"\t", b";"), key=first.count)
    widths = [line.count(mark) + 1 for line in (first, *lines[-3:])]
    if len(set(widths[:3])) > 1 or widths[3] >= widths[0]:
        return ""
    return f"its last line has {widths[3]} of {widths[0]} columns and no end"


_TESTS: dict[str, Callable[[Opened], str]] = {
    "PNG image": _png,
    "JPEG image": _jpeg,
    "GIF image": _gif,
    "WebP image": _riff,
    "BMP image": _bmp,
    "TIFF image": _tiff,
    "WAV sound": _riff,
    "AVI video": _riff,
    "MP4 video": _mp4,
    "zip archive": _zip,
    "bzip2 file": _bzip2,
    "xz file": _xz,
    "tar archive": _tar,
    "NumPy array": _numpy,
    "Parquet file": _parquet,
    "Arrow file": _arrow,
    "HDF5 file": _hdf5,
    "safetensors file": _safetensors,
    "SQLite database": _sqlite,
    "pickle": _pickle,
    "JSON file": _json,
    "JSON lines": _json_lines,
    "CSV table": _delimited,
    "TSV table": _delimited,
}
# What most files of a suffix begin like, so that a healthy one costs a single test.
_USUAL = {
    suffix: (formats.MAGICS[names[0]], _TESTS[names[0]])
    for suffix, names in formats.SUFFIXES.items()
    if names[0] in formats.MAGICS and names[0] in _TESTS
} | {".json": (re.compile(rb"\s*[\[{]"), _json), ".jsonl": (re.compile(rb"\s*[\[{]"), _json_lines)}
