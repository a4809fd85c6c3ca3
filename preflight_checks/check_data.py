"""Data: there, complete, and readable to the last file.

See it by hand:

    ls -lL PATH
    find PATH -type f | wc -l
    head -c 200 PATH
    findmnt -T PATH

Mend it:

    Fetch, mount or unlock the data, or correct the path in the config; `git lfs pull` fetches what pointers stand for.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from shlex import quote

from preflight import Finding, Severity, check, error, info, warning
from preflight.config import Config, Data, Files
from preflight.phrases import counted, in_a_row, no_answer, shown
from preflight.system import disk, files, locking, processes
from preflight.system.files import Kind, Scan, Seen
from preflight.system.watched import NoAnswer, watched

# Whoever drops one bad file of thousands trains on the rest; a shard is more than one in a hundred.
NEARLY_ALL = 0.99

# What is wrong with a file: the id, what is said of it, why, and what to do. `{first}` is the first such file.
BAD_FILES = {
    "empty": ("empty-file", "has no content", "a download or a copy was broken off", "Fetch it again"),
    "blank": ("empty-file", "has no content", "", ""),
    "pointer": (
        "lfs-pointer",
        "is a Git LFS pointer in place of the file",
        "the repository came without git-lfs, so that only a few lines of text ({size} bytes) stand for the content",
        "Fetch the content, in the repository:\n    cd {repository} && git lfs install && git lfs pull",
    ),
    "copied pointer": (
        "lfs-pointer",
        "is a Git LFS pointer in place of the file",
        "it was taken from a repository's page or archive, where only a few lines of text ({size} bytes) stand for it",
        "Fetch the file itself, from a clone of its repository:\n    git lfs pull",
    ),
    "page": (
        "web-page",
        "is a web page in place of the file",
        "a download gave a page (a login, a quota notice) that was saved under the file's name",
        "Read what the page says, then download again:\n    head -c 2000 {first}",
    ),
    "dangling": (
        "dangling-link",
        "is a link that points to nothing",
        "its target does not exist: {target}",
        "Bring the target back, or make the link anew",
    ),
    "EACCES": (
        "permission",
        "cannot be read: permission denied",
        "it belongs to {owner} and has mode {mode}, and the job runs as uid {uid}",
        "Give the job's user the right to read:\n    sudo chmod -R a+rX {where}",
    ),
    "ESTALE": (
        "stale-handle",
        "cannot be read: stale file handle (ESTALE)",
        "the server of the network file system has replaced what this machine remembers",
        "Mount the file system again, or run on another node",
    ),
    "ELOOP": (
        "link-loop",
        "is a link that leads back to itself",
        "its target is {target}",
        "Remove it:\n    rm {first}",
    ),
}
# Files that are locked when they are opened, by the library that does so; of very many not all are asked for.
LIBRARIES = {"HDF5": (".h5", ".hdf5", ".he5", ".h5ad"), "SQLite": (".sqlite", ".sqlite3", ".db")}
MOST_NAMES = 10_000
SECONDS_FOR_LOCKS = 1.5
UNREADABLE = (
    "read-error",
    "cannot be read: {error}",
    "the file system fails to read it",
    "Read what the kernel says of the disk, then fetch the data anew:\n    dmesg | tail",
)


@check(per="data.local")
def check_is_readable(entry: Data, root: Path, config: Config) -> Iterator[Finding]:
    """The data is there, complete, and every file of it can be read.

    Every file that the entry stands for is opened and its first bytes are read; nothing is decoded, nothing written.

        data.missing          nothing is at the path
        data.dangling-link    a link points to nothing
        data.link-loop        a link leads back to itself
        data.unreachable      a folder on the way cannot be entered, or the file system fails
        data.wrong-kind       a file where a folder is wanted, or the other way round
        data.empty-folder     the folder holds nothing, often because no file system is mounted there
        data.no-match         files are there, but none that the pattern matches
        data.count            fewer or more files than `files:` says (a warning where fewer than 1 % are missing)
        data.permission       files that this user may not read
        data.stale-handle     files that the server of a network file system no longer knows
        data.read-error       files that the file system fails to read
        data.empty-file       files without a byte
        data.lfs-pointer      Git LFS pointers in place of the files
        data.web-page         web pages saved in place of the files
        data.sha256           another checksum than `sha256:` says
        data.no-answer        the file system hangs: a network mount whose server is gone
        data.locked           an HDF5 file or SQLite database is locked by another process
        data.no-locks         HDF5 or SQLite files lie on a file system that refuses locks
    """
    try:
        yield from watched(lambda: list(_look(entry, root)), entry.deadline or config.deadline)
    except NoAnswer as stopped:
        said = no_answer(stopped.path, stopped.seconds, disk.hanging_at(stopped.path))
        yield _error(entry, "no-answer", **said)


def _look(entry: Data, root: Path) -> Iterator[Finding]:
    path = files.resolve(entry.path, root)
    found = files.find(path)
    seen = files.look_at(found[0] if len(found) == 1 else path)
    if len(found) == 1 and seen.kind not in (Kind.FILE, Kind.FOLDER):
        yield _absent(entry, seen)
    elif seen.kind is (Kind.FILE if entry.files else Kind.FOLDER if entry.sha256 else None):
        yield _wrong_kind(entry, seen.kind)
    elif entry.sha256 and len(found) > 1:
        yield _wrong_kind(entry, f"pattern for {len(found):,} files")
    else:
        scan = files.scan(found, (entry.files or Files()).glob)
        yield from _judge(entry, seen, scan)
        if not scan.bad:
            yield from _judge_locks(entry, found)
        if entry.sha256 and scan.files and not scan.bad:
            yield from _judge_digest(entry, found[0])


def _absent(entry: Data, seen: Seen) -> Finding:
    """Say why the path leads nowhere."""
    if seen.kind is Kind.DANGLING:
        return _bad(entry, "dangling", [str(seen.first)], 1)
    if seen.kind is Kind.LOOP:
        return _bad(entry, "ELOOP", [str(seen.first)], 1)
    if seen.kind is Kind.OTHER:
        return _wrong_kind(entry, seen.kind)
    if seen.kind is Kind.UNREACHABLE:
        cause = f"{seen.nearest}: {os.strerror(seen.errno)}"
        fix = f"Look at the folder's owner, mode and mount:\n    ls -ld {quote(str(seen.nearest))}"
        return _error(entry, "unreachable", f"{entry.path} cannot be reached", cause=cause, fix=fix)
    cause = f"{seen.nearest} has no {seen.first.name}"
    fix = "Fetch or mount the data, or correct the path"
    if seen.similar:
        fix = f"Correct the path: {seen.similar} is there"
    elif point := disk.planned_mount(seen.path):
        cause, fix = _not_mounted(point)
    return _error(entry, "missing", f"{entry.path} does not exist", cause=cause, fix=fix)


def _wrong_kind(entry: Data, found: str) -> Finding:
    wanted, key = ("a folder", "`files:`") if entry.files else ("a file", "`sha256:`" if entry.sha256 else "the entry")
    message = f"{entry.path} is a {found}, {wanted} is wanted"
    cause = f"{key} is for {wanted}"
    fix = "Correct the path or the entry"
    return _error(entry, "wrong-kind", message, found=str(found), wanted=wanted, cause=cause, fix=fix)


def _judge(entry: Data, seen: Seen, scan: Scan) -> Iterator[Finding]:
    """Say what is wrong with the number of files, then each thing that is wrong with some of them."""
    least, most = (entry.files.min, entry.files.max) if entry.files else (None, None)
    if not scan.files and least != 0:
        yield _nothing(entry, seen)
    elif least is not None and scan.files < least:
        missing = _count(entry, scan.files, f"at least {least:,}", "Fetch the rest, or correct `min`")
        yield replace(missing, severity=Severity.WARNING) if scan.files > NEARLY_ALL * least else missing
    elif most is not None and scan.files > most:
        yield _count(entry, scan.files, f"at most {most:,}", "Remove what does not belong there, or correct `max`")
    for trouble, paths in scan.bad.items():
        yield _bad(entry, trouble, paths, scan.files)


def _nothing(entry: Data, seen: Seen) -> Finding:
    """Say why there is no file: an empty folder is more often an unmounted one than an emptied one."""
    if seen.kind is not Kind.FOLDER:
        cause = f"{seen.nearest} is there, nothing in it matches the rest of the path"
        return _error(entry, "no-match", f"no file matches {entry.path}", cause=cause, fix="Correct the path")
    if names := sorted(os.listdir(seen.path)):
        message = f"{entry.path} holds no file that matches {(entry.files or Files()).glob}"
        return _error(
            entry, "no-match", message, cause=f"it holds {in_a_row(names)}", fix="Correct the pattern or the path"
        )
    cause = "nothing has been written into it"
    fix = "Mount the file system that holds the data, fetch the data, or correct the path"
    mount = disk.mount_of(seen.path)
    if point := disk.planned_mount(seen.path):
        cause, fix = _not_mounted(point)
    elif mount.point != os.path.realpath(seen.path):
        cause = f"no file system is mounted there: it is an empty folder on {mount.point} ({mount.type})"
    return _error(entry, "empty-folder", f"{entry.path} is empty", found="0 files", cause=cause, fix=fix)


def _not_mounted(point: str) -> tuple[str, str]:
    return f"nothing is mounted at {point}, which /etc/fstab lists", f"Mount it:\n    sudo mount {quote(point)}"


def _count(entry: Data, number: int, wanted: str, fix: str) -> Finding:
    found = counted(number, "file")
    message = f"{entry.path} holds {found} that match {entry.files.glob if entry.files else ''}"
    return _error(entry, "count", message, found=found, wanted=wanted, fix=fix)


def _bad(entry: Data, trouble: str, paths: list[str], number: int) -> Finding:
    """Say one thing of all files that have it in common, naming the first."""
    first = Path(paths[0])
    if trouble == "pointer" and not files.repository_of(first):
        trouble = "copied pointer"
    name, words, cause, fix = BAD_FILES.get(trouble, UNREADABLE)
    number_of_error = getattr(errno, trouble, 0)
    told = f"{os.strerror(number_of_error)} ({trouble})" if number_of_error else trouble
    facts = {**_facts(first), "error": told, "where": quote(str(first.parent if len(paths) > 1 else first))}
    some = shown(first) + (f" (and {len(paths) - 1:,} more of {number:,} files)" if len(paths) > 1 else "")
    say = info if trouble == "blank" and number > len(paths) else error
    return say(
        f"{some} {words.format(**facts)}",
        id=f"data.{name}",
        cause=cause.format(**facts),
        fix=fix.format(**facts),
        evidence={"files": paths[:10], "count": len(paths)},
        file=entry.at.file,
        line=entry.at.line,
    )


def _facts(path: Path) -> dict[str, object]:
    """Return what the texts above may name."""
    facts: dict[str, object] = {"first": quote(str(path)), "uid": os.geteuid(), "size": 0, "owner": "?", "mode": "?"}
    facts["repository"] = quote(str(files.repository_of(path) or ""))
    facts["target"] = os.readlink(path) if os.path.islink(path) else ""
    seen = files.look_at(path)
    if seen.kind in (Kind.FILE, Kind.FOLDER):
        owner = files.owner_of(path)
        facts |= {"size": seen.size, "owner": owner, "mode": owner.mode}
    return facts


def _judge_locks(entry: Data, paths: list[Path]) -> Iterator[Finding]:
    """Say which file cannot be opened, because of its lock, by the library that it is for."""
    for path in islice(files.walk(paths, (entry.files or Files()).glob), MOST_NAMES):
        library = next((name for name, suffixes in LIBRARIES.items() if path.lower().endswith(suffixes)), "")
        if library == "SQLite":
            obstacle = locking.obstacle_to_sqlite(Path(path), SECONDS_FOR_LOCKS)
        elif library and os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() not in ("FALSE", "0"):
            obstacle = locking.obstacle_to_hdf5(Path(path), SECONDS_FOR_LOCKS)
        else:
            continue
        if obstacle:
            yield _locked(entry, path, library, obstacle)
            return


def _locked(entry: Data, path: str, library: str, obstacle: locking.Obstacle) -> Finding:
    without = ":\n    export HDF5_USE_FILE_LOCKING=FALSE" if library == "HDF5" else ""
    if not obstacle.errno:
        who = f"process {obstacle.pid} ({processes.name_of(obstacle.pid)})" if obstacle.pid else "another process"
        fix = (
            f"End that process or wait for it{', or do without locks if it does not write' if without else ''}{without}"
        )
        return _error(entry, "locked", f"{shown(path)} is locked", cause=f"{who} writes to it", fix=fix)
    mount = disk.mount_of(Path(path))
    message = f"{shown(path)} cannot be locked: {os.strerror(obstacle.errno)} ({errno.errorcode.get(obstacle.errno)})"
    cause = f"{mount} refuses locks, which {library} takes to read a file"
    fix = f"Copy the file to another file system{', or do without locks' if without else ''}{without}"
    # HDF5 and SQLite alike go on where the file system says that it has no locks at all.
    say = warning if obstacle.errno in (errno.ENOSYS, errno.ENOTSUP) else error
    return say(message, id="data.no-locks", cause=cause, fix=fix, file=entry.at.file, line=entry.at.line)


def _judge_digest(entry: Data, path: Path) -> Iterator[Finding]:
    if (found := files.digest(path)) == entry.sha256.lower():
        return
    message = f"{entry.path} has another SHA-256 than the config says"
    cause = "the file was changed, replaced or cut off since its checksum was written down"
    fix = "Fetch the file again, or write down the new checksum if the change is meant"
    yield _error(entry, "sha256", message, found=found, wanted=entry.sha256, cause=cause, fix=fix)


def _error(entry: Data, name: str, message: str, **more: object) -> Finding:
    return error(message, id=f"data.{name}", file=entry.at.file, line=entry.at.line, **more)
