"""Verifying a manifest: only what is new or looks changed is read, the rest is remembered from the last time."""

from __future__ import annotations

import hashlib
import json
import os
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from preflight import writing
from preflight.system import checksums, manifests
from preflight.system.manifests import Manifest

# A file that changed so shortly before it was read could change again without its times telling.
SETTLED = 1_000_000_000
_FIELDS = 4
_VERSION = 1
_NOTHING = (0, 0, 0, 0)

Told = Callable[[int, int, int], None]


@dataclass(slots=True, kw_only=True)
class Verified:
    """How the files are: the names of those that are missing, differ, cannot be read or are in no list.

    `remembered` of the `files` were not read because they look as they did when they were right; `unread` were not
    reached in time; `corrupt` are those that differ though they look so.
    """

    files: int
    remembered: int = 0
    unread: int = 0
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether every listed file is as the list says."""
        return not (self.missing or self.changed or self.corrupt or self.unreadable or self.unread)


def verify(
    path: Path, root: Path, *, full: bool = False, until: float = float("inf"), told: Told = lambda *_: None
) -> Verified:
    """Compare the files with the manifest at `path`; with `full`, read those too that look as they did.

    `told` hears how many files are done, of how many, and how many bytes were read. After `until`, a time of
    `time.monotonic`, no file is begun. Raises NotAManifest, NotInstalled, or OSError for the manifest itself.
    """
    memory = _Memory(path)
    if not full and memory.is_current and memory.rows == _rows(memory.names):
        return Verified(files=memory.files, remembered=memory.files)
    manifest = manifests.read(path, root)
    for name in {entry.algorithm for entry in manifest.entries}:
        _require(name)
    return _Verification(path, manifest, memory, full=full).run(until, told)


class _Verification:
    """One walk over the files of a manifest."""

    def __init__(self, path: Path, manifest: Manifest, memory: _Memory, *, full: bool) -> None:
        self.path, self.manifest, self.memory, self.full = path, manifest, memory, full
        self.names = [os.path.join(manifest.base, entry.name) for entry in manifest.entries]
        self.rows = _rows(self.names)
        self.known = memory.signatures()
        self.result = Verified(files=len(self.names))

    def run(self, until: float, told: Told) -> Verified:
        right = [self._row(index) == self.known.get(name) for index, name in enumerate(self.names)]
        unknown = list(self._unknown(right))
        done, size = 0, 0
        for hashed in checksums.hash_files(unknown, until):
            right[hashed.index] = self._judge(hashed, right[hashed.index])
            done += 1
            size += hashed.signature.size if hashed.signature else 0
            told(done, len(unknown), size)
        self.result.unread = len(unknown) - done
        self.result.remembered = len(self.names) - len(unknown) - len(self.result.missing)
        self._look_for_more()
        self._remember(right)
        return self.result

    def _row(self, index: int) -> tuple[int, ...]:
        return tuple(self.rows[index * _FIELDS : (index + 1) * _FIELDS])

    def _unknown(self, right: Sequence[bool]) -> Iterator[tuple[int, str, str]]:
        """Give the files that are to be read; those that are not there are noted."""
        for index, entry in enumerate(self.manifest.entries):
            if self._row(index) == _NOTHING and not os.path.lexists(self.names[index]):
                self.result.missing.append(entry.name)
            elif self.full or not right[index]:
                yield index, self.names[index], entry.algorithm

    def _judge(self, hashed: checksums.Hashed, looked_right: bool) -> bool:
        entry = self.manifest.entries[hashed.index]
        if hashed.error:
            self.result.unreadable[entry.name] = hashed.error
        elif hashed.digest == entry.digest:
            newest = max(hashed.signature.modified, hashed.signature.changed) if hashed.signature else 0
            return time.time_ns() - newest > SETTLED
        else:
            (self.result.corrupt if looked_right else self.result.changed).append(entry.name)
        return False

    def _look_for_more(self) -> None:
        """Find the files of the tree that the manifest does not list."""
        if self.manifest.tree is not None:
            with suppress(OSError):
                listed = {os.path.normpath(name) for name in [*self.names, str(self.path)]}
                found = manifests.files_below(Path(os.path.normpath(self.manifest.tree)))
                self.result.extra = [os.path.relpath(each, self.manifest.base) for each in found if each not in listed]

    def _remember(self, right: Sequence[bool]) -> None:
        """Keep how the right files look, and the folders, where a new file would show."""
        folders = sorted({os.path.dirname(name) for name in self.names}) if self.manifest.tree else []
        rows = array("q")
        for index, is_right in enumerate(right):
            rows.extend(self._row(index) if is_right else _NOTHING)
        rows.extend(_rows(folders) if not self.result.extra else array("q", bytes(8 * _FIELDS * len(folders))))
        self.memory.keep([*self.names, *folders], rows, len(self.names))


class _Memory:
    """What is remembered of one manifest, in the user's cache; where that cannot be read or written, nothing is."""

    def __init__(self, path: Path) -> None:
        self.path = os.path.realpath(path)
        facts = os.stat(path)
        self.signature = [facts.st_size, facts.st_mtime_ns, facts.st_ino, facts.st_ctime_ns]
        self.names: list[str] = []
        self.rows = array("q")
        self.files = 0
        self.is_current = False
        with suppress(OSError, ValueError, KeyError, TypeError):
            self._read()

    def _file(self) -> Path:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        name = hashlib.blake2b(os.fsencode(self.path), digest_size=16).hexdigest()
        return Path(cache, "preflight", "manifests", name)

    def _read(self) -> None:
        with open(self._file(), "rb") as file:
            head = json.loads(file.readline())
            names = os.fsdecode(file.read(head["names"])).split("\0")
            rows = array("q", file.read())
        if head["version"] == _VERSION and len(rows) == _FIELDS * len(names):
            self.names, self.rows, self.files = names, rows, head["files"]
            self.is_current = head["manifest"] == self.signature

    def signatures(self) -> dict[str, tuple[int, ...]]:
        """Return how each file looked when it was right."""
        rows = zip(*[iter(self.rows)] * _FIELDS, strict=True)
        return {name: row for name, row in zip(self.names, rows, strict=True) if row != _NOTHING}

    def keep(self, names: Sequence[str], rows: array[int], files: int) -> None:
        """Write it down, whole or not at all."""
        joined = os.fsencode("\0".join(names))
        head = {"version": _VERSION, "manifest": self.signature, "files": files, "names": len(joined)}
        target = self._file()
        with suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            writing.replace({target: json.dumps(head).encode() + b"\n" + joined + rows.tobytes()}, durable=False)


def _rows(names: Sequence[str]) -> array[int]:
    """Return size, times and inode of each path one after the other, zeros where nothing is."""
    rows: list[int] = []
    look, add = os.stat, rows.extend
    for name in names:
        try:
            facts = look(name)
        except OSError:
            add(_NOTHING)
        else:
            add((facts.st_size, facts.st_mtime_ns, facts.st_ino, facts.st_ctime_ns))
    return array("q", rows)


def _require(name: str) -> None:
    try:
        checksums.algorithm(name)
    except KeyError:
        raise manifests.NotAManifest(f"nobody knows the algorithm {name}") from None
