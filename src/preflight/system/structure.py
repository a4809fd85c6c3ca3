"""Whether a file is whole, told by its head, its tail and the sizes that stand in it: nothing is decoded."""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Callable
from typing import NamedTuple

from preflight.system import formats, media
from preflight.system.opened import Damaged, Opened, short

TAIL = 66_000  # the end record of a zip archive stands in the last 65,557 bytes
LONGEST_HEADER = 100_000_000  # of a safetensors file, as its reader has it
BLOCK = 1 << 20

_ARRAY = re.compile(rb"\{'descr': '[<>|=]?([biufcSUVmM])(\d+)[^']*', 'fortran_order': \w+, 'shape': \(([\d, ]*)\)")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Flaw(NamedTuple):
    """What is wrong with a file: the kind, in a word, and what was seen."""

    kind: str
    format: str
    seen: str


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
        return None if _is_usual(file, suffix) else _flaw_in(file)
    finally:
        os.close(descriptor)


def _is_usual(file: Opened, suffix: str) -> bool:
    """Tell whether a file is whole and begins like most of its suffix, so that a healthy one costs a single test."""
    usual = _USUAL.get(suffix)
    if usual is None or not usual[0](file.start):
        return False
    try:
        return not usual[1](file)
    except (Damaged, struct.error, IndexError, ValueError, OverflowError):
        return False


def _flaw_in(file: Opened) -> Flaw | None:
    path, start = file.path, file.start
    if formats.trouble_of(path, start[: formats.START]):
        return None
    expected = formats.expected_format(path)
    if formats.never_written(path, start):
        return Flaw("zeros", expected, "it begins with zero bytes")
    if formats.is_stub(path, start):
        return Flaw("stub", expected, f"{start[:20]!r}")
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
    except (ValueError, OverflowError):
        return Flaw("damaged", name, "its header has something else in place of a number")
    return Flaw("truncated", name, missing) if missing else None


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
    if len(header) < length:
        return "it ends within its header"
    if not (said := _ARRAY.match(header)):
        return ""
    width = int(said[2]) * (4 if said[1] == b"U" else 1)
    return short(file, begin + length + width * math.prod(int(side) for side in said[3].split(b",") if side.strip()))


def _parquet(file: Opened) -> str:
    tail = file.end(8)
    if tail[4:] not in (b"PAR1", b"PARE") or file.size < 12:
        return "its footer (PAR1) is missing"
    return short(file, int.from_bytes(tail[:4], "little") + 12)


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
    return short(file, file.number("<Q" if width == 8 else "<I", begin + 2 * width))


def _safetensors(file: Opened) -> str:
    length = file.number("<Q", 0)
    if length > LONGEST_HEADER:
        raise Damaged(f"it does not begin like one: a header of {length:,} bytes is announced")
    header = file.read(8, length)
    if len(header) < length:
        return short(file, 8 + length)
    try:
        tensors = json.loads(header)
        ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
        wanted = 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise Damaged("its header is not the JSON that it should be") from None
    if file.size > wanted:
        raise Damaged(f"it has {file.size:,} bytes, and its header speaks of {wanted:,}")
    return short(file, wanted)


def _sqlite(file: Opened) -> str:
    page = file.number(">H", 16)
    is_counted = file.read(24, 4) == file.read(92, 4)
    return short(file, (65536 if page == 1 else page) * file.number(">I", 28)) if is_counted else ""


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
    **media.TESTS,
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
# What most files of a suffix begin like, and its test.
_USUAL = {
    suffix: (formats.MAGICS[names[0]].match, _TESTS[names[0]])
    for suffix, names in formats.SUFFIXES.items()
    if names[0] in formats.MAGICS and names[0] in _TESTS
} | {".json": (re.compile(rb"\s*[\[{]").match, _json), ".jsonl": (re.compile(rb"\s*[\[{]").match, _json_lines)}
