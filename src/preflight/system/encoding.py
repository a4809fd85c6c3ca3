"""Text files as `open()` reads them here where no encoding is given: which encoding, and the first file it fails on."""

from __future__ import annotations

import ast
import codecs
import locale
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from preflight.system.code import Source, dotted
from preflight.system.watched import at

SUFFIXES = {".csv", ".json", ".jsonl", ".md", ".text", ".toml", ".tsv", ".txt", ".vocab", ".yaml", ".yml"}
_MOST_FILES = 50
_MOST_BYTES = 8_000_000
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable:
    """A file that is UTF-8 and cannot be read under the encoding of this place, or is read as other characters."""

    file: str
    line: int
    fails: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A place in the code that opens text without saying in which encoding."""

    file: Path
    line: int


def encoding_here() -> str:
    """Return the encoding of `open()` in this process, by the name that Python's codecs give it."""
    name = locale.getpreferredencoding(False)
    try:
        return codecs.lookup(name).name
    except LookupError:
        return name


def first_undecodable(paths: Iterable[str], encoding: str) -> Undecodable | None:
    """Return the first of the text files among `paths` that holds UTF-8 beyond ASCII."""
    texts = (path for path in paths if Path(path).suffix.lower() in SUFFIXES)
    for path in islice(texts, _MOST_FILES):
        at(path)
        with suppress(OSError, UnicodeDecodeError):
            if line := _line_beyond_ascii(path):
                return Undecodable(file=path, line=line, fails=not _decodes(path, encoding))
    return None


def openings(sources: Iterable[Source]) -> list[Opening]:
    """Return where the code reads text without an encoding: `open(file)`, `path.open()`, `path.read_text()`."""
    return [
        Opening(file=source.path, line=node.lineno)
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and _reads_text(node)
    ]


def _line_beyond_ascii(path: str) -> int:
    """Return the first line that is not ASCII, 0 for none; raises UnicodeDecodeError where it is no UTF-8 either."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with open(path, "rb") as file:
        for _ in range(_MOST_BYTES // _BLOCK):
            if not (block := file.read(_BLOCK)):
                break
            if not block.isascii():
                start = next(index for index, byte in enumerate(block) if byte > 127)
                decoder.decode(block)
                return line + block.count(b"\n", 0, start)
            line += block.count(b"\n")
    return 0


def _decodes(path: str, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with open(path, "rb") as file:
            for _ in range(_MOST_BYTES // _BLOCK):
                if not (block := file.read(_BLOCK)):
                    break
                decoder.decode(block)
    except UnicodeDecodeError:
        return False
    return True


def _reads_text(call: ast.Call) -> bool:
    name = dotted(call.func) if not isinstance(call.func, ast.Attribute) else f".{call.func.attr}"
    if any(word.arg in ("encoding", None) for word in call.keywords):
        return False
    if name == ".read_text":
        return not call.args
    if name == "open":
        return len(call.args) < 4 and _is_reading_mode(call, position=1)
    return name == ".open" and not call.args and not call.keywords


def _is_reading_mode(call: ast.Call, position: int) -> bool:
    modes = [word.value for word in call.keywords if word.arg == "mode"] + call.args[position : position + 1]
    if not modes:
        return True
    mode = modes[0].value if isinstance(modes[0], ast.Constant) else None
    return isinstance(mode, str) and "b" not in mode and not set(mode) & set("wax")
