"""Manifests: lists of checksums as `sha256sum`, `md5sum`, `xxhsum`, `b3sum` and BagIt write them, read and written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

_TAGGED = re.compile(r"(?P<tag>[A-Za-z0-9_-]+) \((?P<name>.+)\) = (?P<digest>[0-9a-fA-F]{16,128})")
_PLAIN = re.compile(r"(?P<digest>[0-9a-fA-F]{16,128})[ \t]+\*?(?P<name>.+)")
_TREE = "# every file below: "
_TAGS = {"xxh128": "XXH128", "xxh3": "XXH3", "xxh64": "XXH64", "blake3": "BLAKE3", "blake2b": "BLAKE2b"}
_BY_TAG = {tag.lower(): name for name, tag in _TAGS.items()}
_BY_LENGTH = {16: "xxh64", 32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
# What the name of a list tells of the algorithm, where the length of the digests leaves a choice.
_BY_NAME = {("b3", 64): "blake3", ("blake3", 64): "blake3", ("xxh", 32): "xxh128", ("b2", 128): "blake2b"}
_BY_NAME |= {("blake2b", 128): "blake2b", ("blake2s", 64): "blake2s"}


class NotAManifest(Exception):
    """A file is no list of checksums; the text says which line is none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: a path as it is written, the algorithm and the digest."""

    name: str
    algorithm: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A list of checksums: names are relative to `base`; where it says that it lists every file of a folder, `tree`."""

    base: Path
    entries: Sequence[Entry]
    tree: Path | None = None


def read(path: Path, root: Path) -> Manifest:
    """Return what the list says; its names are relative to its own folder, or else to `root`.

    Raises NotAManifest, or OSError where it cannot be read.
    """
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    bag = (path.parent / "bagit.txt").exists()
    entries = list(_entries(text, path.name.lower(), bag))
    if not entries:
        raise NotAManifest("it holds no checksum")
    base = path.parent
    if not (base / entries[0].name).exists() and (root / entries[0].name).exists():
        base = root
    tree = base / "data" if bag else None
    if text.startswith(_TREE):
        tree = base / text[len(_TREE) :].partition("\n")[0]
    return Manifest(base=base, entries=entries, tree=tree)


def files_below(tree: Path) -> list[str]:
    """Return the files below a folder, sorted, links followed; a link back to a folder above itself is passed over."""
    found: list[str] = []
    waiting = [(str(tree), frozenset[tuple[int, int]]())]
    while waiting:
        folder, above = waiting.pop()
        facts = os.stat(folder)
        if (facts.st_dev, facts.st_ino) in above:
            continue
        inside = above | {(facts.st_dev, facts.st_ino)}
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append((entry.path, inside))
                elif entry.is_file() or entry.is_symlink():
                    found.append(entry.path)
    return sorted(found)


def written(entries: Iterable[Entry], tree: str) -> str:
    """Return the text of a list, in the form that `sha256sum --check` and `xxhsum --check` take."""
    return "".join([f"{_TREE}{tree}\n", *(_line(entry) for entry in entries)])


def _line(entry: Entry) -> str:
    name = entry.name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    escaped = "\\" if name != entry.name else ""
    return f"{escaped}{_TAGS.get(entry.algorithm, entry.algorithm.upper())} ({name}) = {entry.digest}\n"


def _entries(text: str, title: str, bag: bool) -> Iterator[Entry]:
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")  # noqa: PLW2901 - the line as others would have written it
        if not line.strip() or line.startswith("#"):
            continue
        escaped = line.startswith("\\")
        match = _TAGGED.fullmatch(line, escaped) or _PLAIN.fullmatch(line, escaped)
        if not match:
            raise NotAManifest(f"line {number} is no checksum and path: {line[:60]!r}")
        name = _unescaped(match["name"]) if escaped else unquote(match["name"]) if bag else match["name"]
        digest = match["digest"].lower()
        tag = match.groupdict().get("tag") or ""
        algorithm = _BY_TAG.get(tag.lower(), tag.lower()) if tag else _algorithm(title, len(digest))
        if not algorithm:
            raise NotAManifest(f"line {number}: no algorithm has checksums of {len(digest)} digits")
        yield Entry(name, algorithm, digest)


def _algorithm(title: str, length: int) -> str:
    named = (name for (part, digits), name in _BY_NAME.items() if part in title and digits == length)
    return next(named, _BY_LENGTH.get(length, ""))


def _unescaped(name: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "r": "\r"}.get(match[1], match[1]), name)
