"""Whether anything was installed, removed or moved in an environment since it was last found to be as its lock says.

A fingerprint costs milliseconds: it looks at names, sizes and times of what installers write, never into a module. One
that differs only means that a closer look is due. It does not see a module that was edited or deleted in place, nor
what `git status` does not show of an editable project; `preflight env check --deep` looks at the former.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from preflight import writing
from preflight.system import git

# What changed so shortly before it was looked at could change again without its times telling.
_SETTLED = 1_000_000_000
_VERSION = 1
_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONUSERBASE")
_LIBRARIES = ("lib", "lib64", os.path.join("local", "lib"))
_INCLUDES = re.compile(rb"^\s*(-r|-c|--requirement|--constraint)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """How an environment looked; `newest` is the time of its last change, in nanoseconds."""

    prefix: str
    digest: str
    newest: int

    @property
    def is_settled(self) -> bool:
        """Whether a change after this look would surely show."""
        return abs(time.time_ns() - self.newest) > _SETTLED


def fingerprint(prefix: Path) -> Fingerprint:
    """Look at an environment, and at what the environment variables add to it; nothing of it is run but git."""
    whole = os.path.realpath(prefix)
    look = _Look()
    look.rows += [(name, os.environ.get(name)) for name in _VARIABLES]
    look.at(os.path.join(whole, "bin", "python"))
    look.at(os.path.join(whole, "pyvenv.cfg"))
    look.at_records(os.path.join(whole, "conda-meta"))
    for folder in _site_folders(whole):
        look.at(folder)
        look.in_site(folder)
    if listed := os.environ.get("PYTHONPATH"):
        for entry in listed.split(os.pathsep):
            look.in_site(os.path.abspath(entry))
    look.at_projects()
    return Fingerprint(whole, hashlib.blake2b(repr(look.rows).encode(), digest_size=32).hexdigest(), look.newest)


def unchanged(seen: Fingerprint, lock: Path) -> bool:
    """Say whether the environment and the lock are as they were when `remember` was told that they agree."""
    with suppress(OSError, ValueError):
        kept = json.loads(_file(seen, lock).read_bytes())
        return bool(kept == _state(seen, lock))
    return False


def remember(seen: Fingerprint, lock: Path) -> None:
    """Keep in the user's cache that the environment was as the lock says; where that cannot be kept, it is not.

    `seen` is of before the comparison, so that what changes meanwhile shows the next time.
    """
    with suppress(OSError):
        if not seen.is_settled or _INCLUDES.search(lock.read_bytes()):
            return
        target = _file(seen, lock)
        target.parent.mkdir(parents=True, exist_ok=True)
        writing.replace({target: json.dumps(_state(seen, lock)).encode()}, durable=False)


def _state(seen: Fingerprint, lock: Path) -> list[object]:
    digest = hashlib.blake2b(lock.read_bytes(), digest_size=32).hexdigest()
    return [_VERSION, seen.prefix, os.path.realpath(lock), seen.digest, digest]


def _file(seen: Fingerprint, lock: Path) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    both = os.fsencode(f"{seen.prefix}\0{os.path.realpath(lock)}")
    return Path(cache, "preflight", "environments", hashlib.blake2b(both, digest_size=16).hexdigest())


def _site_folders(prefix: str) -> Iterator[str]:
    """Yield each folder that Python installs into: of the prefix, of the one below it, of the user."""
    yield from _libraries(prefix)
    settings = _text(os.path.join(prefix, "pyvenv.cfg"))
    if settings and not re.search(r"(?im)^\s*include-system-site-packages\s*=\s*true", settings):
        return
    if home := re.search(r"(?m)^\s*home\s*=\s*(.+?)\s*$", settings):
        yield from _libraries(os.path.dirname(home[1]))
    if not os.environ.get("PYTHONNOUSERSITE"):
        yield from _libraries(os.environ.get("PYTHONUSERBASE") or os.path.expanduser("~/.local"))


def _libraries(prefix: str) -> Iterator[str]:
    seen = set()
    for library in _LIBRARIES:
        for name in _names(os.path.join(prefix, library)):
            for kind in ("site-packages", "dist-packages") if name.startswith("python3") else ():
                folder = os.path.realpath(os.path.join(prefix, library, name, kind))
                if folder not in seen and os.path.isdir(folder):
                    seen.add(folder)
                    yield folder


class _Look:
    """What has been looked at so far, and the folders of editable projects that were met."""

    def __init__(self) -> None:
        self.rows: list[object] = []
        self.newest = 0
        self.projects: set[str] = set()
        self.folders: set[str] = set()

    def at(self, path: str) -> bool:
        """Note size, time and inode of what a path leads to; say whether it is there."""
        try:
            facts = os.stat(path)
        except OSError as problem:
            self.rows.append((path, problem.errno))
            return False
        self.newest = max(self.newest, facts.st_mtime_ns)
        self.rows.append((path, facts.st_size, facts.st_mtime_ns, facts.st_ino))
        return True

    def at_records(self, folder: str) -> None:
        """Note what conda has installed."""
        for name in _names(folder):
            if name.endswith(".json"):
                self.at(f"{folder}/{name}")

    def in_site(self, folder: str) -> None:
        """Note what is installed into a folder, and what that leads to."""
        if folder in self.folders:
            return
        self.folders.add(folder)
        self.rows.append(folder)
        for name in _names(folder):
            if name.endswith(".dist-info"):
                self._distribution(f"{folder}/{name}")
            elif name.endswith((".egg-info", ".pth", ".egg-link")) or name.startswith("__editable__"):
                self._other(os.path.join(folder, name))

    def _distribution(self, info: str) -> None:
        # Several hundred times: a path that is joined by hand and a file that is not opened in vain halve the whole.
        if not self.at(f"{info}/RECORD"):
            self.at(f"{info}/METADATA")
        if not os.access(f"{info}/direct_url.json", os.F_OK):
            return
        origin = _text(f"{info}/direct_url.json")
        self.rows.append(origin)
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            facts = json.loads(origin)
            if facts["dir_info"].get("editable"):
                self.projects.add(unquote(urlsplit(facts["url"]).path))

    def _other(self, path: str) -> None:
        self.at(path)
        self.at(os.path.join(path, "PKG-INFO"))
        if path.endswith((".pth", ".egg-link")):
            text = _text(path)
            self.rows.append(text)
            for line in text.splitlines():
                folder = os.path.join(os.path.dirname(path), line.strip())
                if line.strip() not in ("", ".") and not line.startswith(("#", "import ", "import\t")):
                    self.in_site(os.path.realpath(folder))
            if path.endswith(".egg-link"):
                self.projects |= set(text.splitlines()[:1])

    def at_projects(self) -> None:
        """Note the commit of each editable project, and which of its files differ from that."""
        self.rows += _in_turn(sorted(self.projects))


def _in_turn(projects: list[str]) -> Iterable[str]:
    if len(projects) < 2:
        return [_commit_of(project) for project in projects]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(_commit_of, projects))


def _commit_of(project: str) -> str:
    if git.top_of(Path(project)) is None:
        return ""
    try:
        return git.ask(Path(project), "status", "--porcelain=v2", "--branch", "-z", "--", ".")
    except git.GitError as problem:
        return str(problem)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="surrogateescape")
    except OSError:
        return ""
