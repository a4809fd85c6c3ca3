"""Files as they are: what a path leads to, which files a folder or a pattern holds, and how each one starts."""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from preflight.system import formats
from preflight.system.watched import at

MOST_NAMES = 10_000


class Kind(StrEnum):
    """What stands at a path."""

    FILE = "file"
    FOLDER = "folder"
    OTHER = "pipe, socket or device"
    MISSING = "nothing"
    DANGLING = "dangling link"
    LOOP = "loop of links"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a path leads to.

    Where it leads nowhere, `nearest` is the nearest thing above it that exists, `first` the first part that does not,
    `target` what that one points to where it is a link, `similar` a name beside it that looks alike, and `errno` the
    answer of the system.
    """

    path: Path
    kind: Kind
    size: int = 0
    nearest: Path = Path()
    first: Path = Path()
    target: str = ""
    similar: str = ""
    errno: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose a file is and what it permits: `mode` as `ls -l` writes it (`drwxr-xr-x`)."""

    uid: int
    user: str
    mode: str

    def __str__(self) -> str:
        return f"{self.user} (uid {self.uid})" if self.user else f"uid {self.uid}"


@dataclass(slots=True, kw_only=True)
class Scan:
    """What opening every file told: how many there are, and the bad ones by what is wrong with them.

    The keys of `bad` are those of `Trouble`, `dangling` for a link to nothing, and the name of the error (`EACCES`) for
    files that cannot be read and folders that cannot be listed.
    """

    files: int = 0
    bad: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: str, trouble: str | None) -> None:
        """Count one file."""
        self.files += 1
        if trouble:
            self.bad.setdefault(trouble, []).append(path)


def resolve(written: str, root: Path) -> Path:
    """Return a path as the job would find it: `~` expanded, relative to `root`."""
    return root / os.path.expanduser(written)


def look_at(path: Path) -> Seen:
    """Return what `path` leads to, links followed."""
    at(path)
    try:
        facts = os.stat(path)
    except (OSError, ValueError) as error:
        return _look_for(path, getattr(error, "errno", None) or errno.EINVAL)
    kind = Kind.FILE if stat.S_ISREG(facts.st_mode) else Kind.FOLDER if stat.S_ISDIR(facts.st_mode) else Kind.OTHER
    return Seen(path=path, kind=kind, size=facts.st_size, nearest=path)


def nearest_existing(path: Path) -> Path:
    """Return `path`, or the nearest folder or file above it that exists."""
    return next((each for each in (path, *path.parents) if os.path.exists(each)), Path("/"))


def owner_of(path: Path) -> Owner:
    """Return whose `path` is; raises OSError where it cannot be looked at."""
    facts = os.stat(path)
    return Owner(uid=facts.st_uid, user=user_name(facts.st_uid), mode=stat.filemode(facts.st_mode))


def user_name(uid: int) -> str:
    """Return the name of a user, empty where the system has none for the number."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def find(path: Path) -> list[Path]:
    """Return what the pattern `path` matches, sorted; a path that exists is itself, whatever signs are in it."""
    import glob

    at(path)
    patterns = _alternatives(str(path))
    if os.path.lexists(path) or not (len(patterns) > 1 or glob.has_magic(str(path))):
        return [path]
    found = {Path(each) for pattern in patterns for each in glob.glob(pattern, recursive=True)}
    # `**` has reached what lies below the folders that it matched.
    return sorted(each for each in found if "**" not in path.parts or not each.is_dir())


def scan(paths: Iterable[Path], pattern: str = "**/*") -> Scan:
    """Open every file at `paths`, and every file below a folder there that `pattern` matches, and read its first bytes.

    Links are followed, names with a leading dot are passed over as a shell does, `{a,b}` stands for either.
    """
    seen = Scan()
    wanted = _Pattern(pattern)
    for path in paths:
        if os.path.isdir(path):
            for each in _walk(path, wanted, seen):
                seen.add(each, _read_start(each))
        else:
            at(path)
            seen.add(str(path), _read_start(str(path)))
    return seen


def walk(paths: Iterable[Path], pattern: str = "**/*") -> Iterator[str]:
    """Give every file that `scan` would open; what cannot be listed is left out."""
    wanted = _Pattern(pattern)
    for path in paths:
        if os.path.isdir(path):
            yield from _walk(path, wanted, Scan())
        else:
            yield str(path)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def repository_of(path: Path) -> Path | None:
    """Return the folder above `path` that holds a `.git`."""
    return next((folder for folder in Path(os.path.abspath(path)).parents if os.path.exists(folder / ".git")), None)


def _look_for(path: Path, number: int) -> Seen:
    nearest = nearest_existing(path)
    first = nearest / path.relative_to(nearest).parts[0] if path.is_relative_to(nearest) and path != nearest else path
    target = os.readlink(first) if os.path.islink(first) else ""
    kind = Kind.MISSING if number in (errno.ENOENT, errno.ENOTDIR) else Kind.UNREACHABLE
    if number == errno.ELOOP:
        kind = Kind.LOOP
    elif kind is Kind.MISSING and target:
        kind = Kind.DANGLING
    similar = _similar(first.name, nearest) if kind is Kind.MISSING else ""
    return Seen(path=path, kind=kind, nearest=nearest, first=first, target=target, similar=similar, errno=number)


def _similar(name: str, folder: Path) -> str:
    import difflib

    try:
        names = [entry.name for entry, _ in zip(os.scandir(folder), range(MOST_NAMES), strict=False)]
    except OSError:
        return ""
    same = [each for each in names if each.lower() == name.lower()]
    return (same or difflib.get_close_matches(name, names, n=1, cutoff=0.7) or [""])[0]


def _walk(top: Path, wanted: _Pattern, seen: Scan) -> Iterator[str]:
    """Give the matching files below `top`; a link back to a folder above itself is not followed."""
    waiting: list[tuple[str, tuple[str, ...], frozenset[tuple[int, int]]]] = [(str(top), (), frozenset())]
    while waiting:
        folder, parts, above = waiting.pop()
        at(folder)
        try:
            facts = os.stat(folder)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            seen.add(folder, _name(error, folder))
            continue
        identity = (facts.st_dev, facts.st_ino)
        if identity in above:
            continue
        for entry in entries:
            path = entry.path
            at(path)
            if _is_folder(entry):
                if wanted.reaches_below(names := (*parts, entry.name)):
                    waiting.append((path, names, above | {identity}))
            elif wanted.matches(parts, entry.name) and (entry.is_symlink() or entry.is_file()):
                yield path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


class _Pattern:
    """A pattern such as `**/*.{png,jpg}`, matched against the names on the way from the folder to a file."""

    def __init__(self, pattern: str) -> None:
        # `**` at the end stands for every file below.
        ended = [each + "/*" if each.endswith("**") else each for each in _alternatives(pattern)]
        self.patterns = [[_part(part) for part in each.split("/") if part] for each in ended]
        self.depth = max(float("inf") if None in parts else len(parts) for parts in self.patterns)
        # `**/*.png` asks for the last name only.
        is_simple = len(self.patterns) == 1 and len(self.patterns[0]) == 2 and self.patterns[0][0] is None
        self.last = self.patterns[0][1] if is_simple else None

    def matches(self, names: Sequence[str], name: str) -> bool:
        if self.last is not None:
            return self.last.match(name) is not None
        return any(_fits(parts, (*names, name)) for parts in self.patterns)

    def reaches_below(self, names: Sequence[str]) -> bool:
        return len(names) < self.depth and not names[-1].startswith(".") and names[-1] != "lost+found"


def _alternatives(pattern: str) -> list[str]:
    """Return the patterns that `{a,b}` stands for."""
    braces = re.search(r"\{([^{}]*,[^{}]*)\}", pattern)
    if not braces:
        return [pattern]
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    return [each for word in braces[1].split(",") for each in _alternatives(before + word + after)]


def _part(part: str) -> re.Pattern[str] | None:
    """Return what one name has to look like; None stands for any number of folders."""
    if part == "**":
        return None
    return re.compile(fnmatch.translate(part) if part.startswith(".") else r"(?!\.)" + fnmatch.translate(part))


def _fits(parts: Sequence[re.Pattern[str] | None], names: Sequence[str]) -> bool:
    if not parts:
        return not names
    first, rest = parts[0], parts[1:]
    if first is None:
        return any(_fits(rest, names[skipped:]) for skipped in range(len(names)))
    return bool(names) and first.match(names[0]) is not None and _fits(rest, names[1:])


def _read_start(path: str) -> str | None:
    """Return what is wrong with a file, None where its first bytes can be read and look right."""
    try:
        # A pipe that took the place of a file must not hold the reader up.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            start = os.read(descriptor, formats.START)
        finally:
            os.close(descriptor)
    except OSError as error:
        return _name(error, path)
    return formats.trouble_of(path, start)


def _name(error: OSError, path: str) -> str:
    if error.errno == errno.ENOENT and os.path.islink(path):
        return "dangling"
    return errno.errorcode.get(error.errno or 0, str(error))
