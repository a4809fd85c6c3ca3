"""Paths: what the job is going to write, read and run can be written, read and run there.

See it by hand:

    ls -ld PATH
    df -h PATH
    df -i PATH
    quota -s
    touch PATH/x && rm PATH/x

Mend it:

    Free or ask for space, get the right to write there, or name another folder in the config.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from preflight import Finding, check, error, warning
from preflight.config import Config, PathEntry
from preflight.phrases import in_a_row, no_answer
from preflight.quantities import format_size
from preflight.system import disk, files, trials
from preflight.system.files import Kind, Seen
from preflight.system.trials import Refusal
from preflight.system.watched import NoAnswer, watched

SMALL = 1_000_000
# Large enough to meet most quotas that are as good as used up, small enough not to be felt.
LARGE = 64_000_000
# A checkpoint's name with epoch and metrics in it, below two folders.
ROOM_FOR_NAMES = 120
MOST_LEAD = 5.0
# What a run leaves in no folder, and version control, a desktop or a network file system in many.
NO_RUN = {".gitkeep", ".gitignore", ".keep", ".DS_Store", "lost+found"}

# Why writing is refused, by the name of the error: the id, what is said, why, and what to do.
REFUSED = {
    "EROFS": (
        "read-only",
        "is on a read-only file system",
        "{point} ({type} from {device}) is mounted read-only",
        "Mount it writable, or choose another folder:\n    sudo mount -o remount,rw {point}",
    ),
    "EACCES": (
        "permission",
        "is not writable: permission denied",
        "{where} belongs to {owner} and has mode {mode}, and the job runs as uid {uid}",
        "Make the folder the job's own, or choose another:\n    sudo chown -R {uid}:{gid} {where}",
    ),
    "own": (
        "permission",
        "is not writable: permission denied",
        "{where} is the job user's own, but its mode is {mode}",
        "Give yourself the right to write:\n    chmod u+rwx {where}",
    ),
    "immutable": (
        "immutable",
        "is not writable: operation not permitted",
        "{where} is marked immutable, which binds even root",
        "Remove the mark:\n    sudo chattr -i {where}",
    ),
    "EDQUOT": (
        "quota",
        "cannot be written: disk quota exceeded",
        "this user's quota on {point} ({type}) is used up, though {free} are free there",
        "Make room, or choose a folder on another file system:\n    du -xhd1 {where} | sort -h | tail",
    ),
    "ESTALE": (
        "stale-handle",
        "cannot be written: stale file handle (ESTALE)",
        "the server of {point} ({type} from {device}) has replaced what this machine remembers",
        "Mount the file system again, or run on another node",
    ),
    "ENOSPC": (
        "full",
        "cannot be written: no space left on the device",
        "{point} ({type}) has {free} free",
        "Make room, or choose a folder on another file system:\n    du -xhd1 {where} | sort -h | tail",
    ),
    "no inodes": (
        "full",
        "cannot be written: no space left on the device",
        "{point} ({type}) has no inodes left for further files, though {free} are free",
        "Delete or pack small files:\n    du -x --inodes -d1 {where} | sort -n | tail",
    ),
}
ONCE = (
    "write-once",
    "lets files be written, but not {done}: {error}",
    "{point} ({type} from {device}) refuses that step, though it lets files be made",
    "Choose a folder on another file system, or ask its administrator for that right:\n    ls -ld {where}",
)
# What libraries do to a file that they have written.
DONE = {"append": "appended to", "truncate": "cut to a length", "rename": "renamed", "delete": "deleted"}
# Which answers mean that a file system has no such operation, as one above an object store, and not that it is ill.
NOT_MADE_FOR_IT = {errno.ENOSYS, errno.ENOTSUP, errno.EINVAL}
# Where a cache can be moved to another place.
CACHES = {
    "~/.cache/huggingface": "HF_HOME",
    "~/.cache/torch": "TORCH_HOME",
    "~/.cache/torch_extensions": "TORCH_EXTENSIONS_DIR",
    "~/.cache/matplotlib": "MPLCONFIGDIR",
    "~/.config/matplotlib": "MPLCONFIGDIR",
    "~/.cache/vllm": "VLLM_CACHE_ROOT",
    "~/.cache/wandb": "WANDB_CACHE_DIR",
    "~/.triton": "TRITON_CACHE_DIR",
    "~/.nv": "CUDA_CACHE_PATH",
    "~/.keras": "KERAS_HOME",
    "~/.cache": "XDG_CACHE_HOME",
}
# Libraries that lock the files that they write.
LOCKING = {"h5py", "tables", "netCDF4", "pytables", "diskcache", "optuna", "mlflow", "filelock", "sqlite3"}
BROKEN_DISK = (
    "write-error",
    "cannot be written: {error}",
    "the file system ({type} from {device}) fails at this step: {step}",
    "Read what the kernel says of the disk, or choose another:\n    dmesg | tail",
)


@check(per="paths", at="node")
def check_is_usable(entry: PathEntry, root: Path, config: Config) -> Iterator[Finding]:
    """The job can use the path as it is going to.

    Where writing is asked, a file is written, flushed, appended to, cut, renamed, read back and deleted, in the folder
    itself or, where that is still to be made, in the nearest one above it. With `free:` it is as large as that, up to
    64 MB, for a quota shows only so. Nothing is left behind.

        paths.missing         nothing is there to be read
        paths.dangling-link   a link points to nothing, so that no folder can be made in its place
        paths.unreachable     a folder on the way cannot be entered, or the file system fails
        paths.no-answer       the file system hangs: a network mount whose server is gone
        paths.not-a-folder    a file stands where a folder is wanted
        paths.name-too-long   the file system allows no name or path of that length
        paths.unreadable      the folder cannot be listed, or the file not be read
        paths.read-only       the file system is mounted read-only
        paths.permission      this user may not write there
        paths.immutable       the folder is marked immutable
        paths.quota           the user's quota is used up
        paths.full            no space or no inodes are left
        paths.stale-handle    the server of a network file system no longer knows the folder
        paths.write-error     the file system fails when written to
        paths.write-once      files can be written, but not changed, renamed or deleted
        paths.space           less space is free than `free:` wants
        paths.inodes          fewer files can be made than `inodes:` wants
        paths.not-empty       an earlier run is there
        paths.not-executable  programs and libraries cannot be run from there
        paths.no-locks        the job imports a library that locks its files, and the file system refuses locks
        paths.clock           the file system's clock and this machine's are apart
    """
    try:
        yield from watched(lambda: list(_look(entry, root, config)), entry.deadline or config.deadline)
    except NoAnswer as stopped:
        said = no_answer(stopped.path, stopped.seconds, disk.hanging_at(stopped.path))
        yield _error(entry, "no-answer", **said)


@check()
def check_names_stay_apart(config: Config, root: Path) -> Iterator[Finding]:
    """Two paths of the config that differ in upper and lower case only are two on their file system, too.

    paths.same-name    the file system takes both names for one
    """
    written: dict[str, str] = {}
    places = [(each.local, each.at) for each in config.data] + [(each.path, each.at) for each in config.paths]
    for path, at in places:
        other = written.setdefault(os.path.normpath(path).casefold(), os.path.normpath(path))
        if path and other != os.path.normpath(path) and trials.folds_case(folder := _folder_of(path, root)):
            message = f"{other} and {path} are one and the same there"
            cause = f"{disk.mount_of(folder)} does not tell upper from lower case"
            fix = "Rename one of them, or choose a folder on another file system"
            yield error(message, id="paths.same-name", cause=cause, fix=fix, file=at.file, line=at.line)


def _folder_of(path: str, root: Path) -> Path:
    nearest = files.nearest_existing(files.resolve(path, root))
    return nearest if nearest.is_dir() else nearest.parent


def _look(entry: PathEntry, root: Path, config: Config) -> Iterator[Finding]:
    seen = files.look_at(files.resolve(entry.path, root))
    if finding := _in_the_way(entry, seen):
        yield finding
        return
    folder = seen.path.parent if seen.kind is Kind.FILE else seen.nearest
    too_small = list(_judge_room(entry, folder))
    yield from too_small
    if seen.kind is not Kind.MISSING and ("read" in entry.access or entry.empty):
        yield from _judge_reading(entry, seen.path)
    if "write" in entry.access:
        refusal = _try_to_write(entry, seen, folder, too_small=bool(too_small))
        if refusal is None:
            yield from _judge_file_system(entry, folder, config)
        elif not (too_small and refusal.errno == errno.ENOSPC):
            yield _refused(entry, seen, folder, refusal)
    if "execute" in entry.access:
        yield from _judge_executing(entry, seen, folder)


def _try_to_write(entry: PathEntry, seen: Seen, folder: Path, *, too_small: bool) -> Refusal | None:
    refusal = trials.try_to_append(seen.path) if seen.kind is Kind.FILE else None
    if too_small or not entry.free:
        return refusal or trials.try_to_write(folder, SMALL)
    # Never so much that others would miss it for that moment.
    reserved = min(entry.free, disk.room_of(folder).free // 2)
    return refusal or trials.try_to_reserve(folder, reserved) or trials.try_to_write(folder, min(entry.free, LARGE))


def _judge_file_system(entry: PathEntry, folder: Path, config: Config) -> Iterator[Finding]:
    """Say what is odd about a file system that can be written to."""
    locking = sorted(LOCKING & {each.name.partition(".")[0] for each in config.imports})
    if locking and (refusal := trials.try_to_lock(folder)):
        message = f"{entry.path} refuses locks: {os.strerror(refusal.errno)}"
        cause = (
            f"{disk.mount_of(folder)} has no {refusal.step} locks, and {in_a_row(locking)} locks the files it writes"
        )
        fix = "Choose a folder on another file system, or do without locks:\n    export HDF5_USE_FILE_LOCKING=FALSE"
        yield _warning(entry, "no-locks", message, cause=cause, fix=fix)
    if abs(lead := trials.clock_lead(folder)) > MOST_LEAD:
        message = (
            f"the clock of {entry.path} is {abs(lead):,.0f} s {'ahead of' if lead > 0 else 'behind'} this machine's"
        )
        cause = (
            f"a file written to {disk.mount_of(folder)} is dated by another clock, so that the newest is not the last"
        )
        fix = "Have the clocks of this machine and of the server set by the same time server:\n    timedatectl status"
        yield _warning(entry, "clock", message, found=f"{lead:+,.0f} s", wanted="0 s", cause=cause, fix=fix)


def _in_the_way(entry: PathEntry, seen: Seen) -> Finding | None:
    """Return why the path cannot even be tried."""
    shown = quote(str(seen.first))
    writes = "write" in entry.access
    if seen.kind in (Kind.DANGLING, Kind.LOOP):
        message = f"{entry.path}: {seen.first} is a link that leads nowhere"
        fix = f"Bring its target back, or remove the link:\n    rm {shown}"
        return _error(entry, "dangling-link", message, cause=f"it points to {seen.target}", fix=fix)
    if length := _too_long(seen):
        message = f"{entry.path} has too long a name: {length}"
        cause = f"the file system {_mount(seen.nearest)} allows no longer one"
        return _error(entry, "name-too-long", message, cause=cause, fix="Choose a shorter name")
    if seen.kind is Kind.UNREACHABLE:
        fix = f"Look at the folder's owner, mode and mount:\n    ls -ld {quote(str(seen.nearest))}"
        cause = f"{seen.nearest}: {os.strerror(seen.errno)}"
        return _error(entry, "unreachable", f"{entry.path} cannot be reached", cause=cause, fix=fix)
    if seen.kind is Kind.MISSING and not writes:
        fix = f"Correct the path: {seen.similar} is there" if seen.similar else "Make or mount it, or correct the path"
        cause = f"{seen.nearest} has no {seen.first.name}"
        return _error(entry, "missing", f"{entry.path} does not exist", cause=cause, fix=fix)
    # A name with a suffix may well be a file that the job writes to.
    blocked = seen.kind is Kind.FILE and writes and (entry.empty or not seen.path.suffix)
    if blocked or (seen.kind is Kind.MISSING and not seen.nearest.is_dir()):
        stands = quote(str(seen.nearest))
        fix = f"Move the file away, or choose another path:\n    mv {stands} {stands}.old"
        message = f"{entry.path} cannot be a folder: {seen.nearest} is a file"
        return _error(entry, "not-a-folder", message, found="a file", wanted="a folder", fix=fix)
    return None


def _too_long(seen: Seen) -> str:
    """Return which limit a path breaks, or the names that the job will put below it."""
    below = seen.path.parts[len(seen.nearest.parts) :]
    most, whole = os.pathconf(seen.nearest, "PC_NAME_MAX"), os.pathconf(seen.nearest, "PC_PATH_MAX")
    longest = max((len(os.fsencode(name)) for name in below), default=0)
    length = len(os.fsencode(seen.path)) + (ROOM_FOR_NAMES if seen.kind is not Kind.FILE else 0)
    if longest > most:
        return f"{longest} bytes, {most} at most"
    return f"{length:,} bytes with what is written below it, {whole:,} at most" if length > whole else ""


def _judge_room(entry: PathEntry, folder: Path) -> Iterator[Finding]:
    room = disk.room_of(folder)
    fix = f"Make room, or choose a folder on another file system:\n    du -xhd1 {quote(str(folder))} | sort -h | tail"
    if entry.free is not None and room.free < entry.free:
        found, wanted = format_size(room.free), format_size(entry.free)
        message = f"{entry.path} has {found} of free space, {wanted} are needed"
        cause = f"its file system is too small or too full: {_mount(folder)} has {format_size(room.total)} in all"
        yield _error(entry, "space", message, found=found, wanted=wanted, cause=cause, fix=fix)
    if entry.inodes is not None and room.inodes is not None and room.inodes < entry.inodes:
        found, wanted = f"{room.inodes:,} inodes", f"{entry.inodes:,} inodes"
        message = f"{entry.path} has {found} left, {wanted} are needed"
        cause = f"{_mount(folder)} can hold only {room.inodes:,} further files, however small"
        yield _error(
            entry, "inodes", message, found=found, wanted=wanted, cause=cause, fix=fix.replace("-xhd1", "-xd1 --inodes")
        )


def _judge_reading(entry: PathEntry, path: Path) -> Iterator[Finding]:
    if refusal := trials.try_to_read(path):
        owner = files.owner_of(path)
        message = f"{entry.path} cannot be read: {os.strerror(refusal.errno)}"
        cause = f"it belongs to {owner} and has mode {owner.mode}, and the job runs as uid {os.geteuid()}"
        fix = f"Give the job's user the right to read:\n    sudo chmod -R a+rX {quote(str(path))}"
        yield _error(entry, "unreadable", message, cause=cause, fix=fix)
    elif entry.empty and path.is_dir() and (names := _names_of_a_run(path)):
        shown = quote(str(path))
        message = f"{entry.path} is not empty: an earlier run may be there"
        cause = f"it already holds {in_a_row(names)}"
        fix = f"Choose another folder, or move this one away:\n    mv {shown} {shown}.old"
        yield _error(entry, "not-empty", message, found=f"{len(names)} entries", wanted="none", cause=cause, fix=fix)


def _names_of_a_run(path: Path) -> list[str]:
    names = sorted(os.listdir(path))
    return [name for name in names if name not in NO_RUN and not name.startswith((trials.PROBE, ".nfs"))]


def _refused(entry: PathEntry, seen: Seen, folder: Path, refusal: Refusal) -> Finding:
    """Say why writing was refused."""
    target = seen.path if seen.kind is Kind.FILE else folder
    owner, mount, room = files.owner_of(target), disk.mount_of(folder), disk.room_of(folder)
    reason = errno.errorcode.get(refusal.errno, "")
    said = f"{os.strerror(refusal.errno)} ({reason})" if reason else "other bytes are read back than written"
    if reason in ("EPERM", "EACCES") and disk.is_immutable(folder):
        reason = "immutable"
    elif reason in ("EPERM", "EACCES"):
        reason = "own" if owner.uid == os.geteuid() else "EACCES"
    elif reason == "ENOSPC" and room.inodes == 0:
        reason = "no inodes"
    name, words, cause, fix = ONCE if _is_halfway(refusal) else REFUSED.get(reason, BROKEN_DISK)
    facts = {
        "where": quote(str(target)),
        "step": refusal.step,
        "error": said,
        "free": format_size(room.free),
    }
    facts |= {"owner": str(owner), "mode": owner.mode, "uid": str(os.geteuid()), "gid": str(os.getegid())}
    facts |= {"point": mount.point, "type": mount.type, "device": mount.device, "done": DONE.get(refusal.step, "")}
    # Where the folder is still to be made, its parent is what refuses.
    subject = entry.path if seen.kind is not Kind.MISSING else f"{entry.path} cannot be made: {folder}"
    message = f"{subject} {words.format(**facts)}"
    say = _warning if name == ONCE[0] and refusal.errno in NOT_MADE_FOR_IT else _error
    evidence = {"errno": reason, "step": refusal.step, "written": refusal.written}
    remedy = fix.format(**facts) + _move_cache(files.resolve(entry.path, Path()))
    return say(entry, name, message, cause=cause.format(**facts), fix=remedy, evidence=evidence)


def _is_halfway(refusal: Refusal) -> bool:
    """Tell whether the file could be written, and what comes after was not allowed."""
    return refusal.step in DONE and refusal.errno in {errno.EACCES, errno.EPERM, *NOT_MADE_FOR_IT}


def _move_cache(path: Path) -> str:
    """Return how a cache can be moved elsewhere, where the path lies in one that can."""
    for folder, variable in CACHES.items():
        if path.is_relative_to(os.path.expanduser(folder)):
            return f"\nor have the cache elsewhere:\n    export {variable}=/path/to/another/folder"
    return ""


def _judge_executing(entry: PathEntry, seen: Seen, folder: Path) -> Iterator[Finding]:
    mount = disk.mount_of(folder)
    shown = quote(str(seen.path))
    message = f"{entry.path} does not let programs and libraries be run from it"
    if "noexec" in mount.options:
        cause = f"{mount.point} ({mount.type}) is mounted noexec"
        fix = f"Choose another folder, or mount it with exec:\n    sudo mount -o remount,exec {quote(mount.point)}"
        yield _error(entry, "not-executable", message, cause=cause, fix=fix)
    elif seen.kind is Kind.FILE:
        if not os.access(seen.path, os.X_OK):
            fix = f"Make it executable:\n    chmod a+x {shown}"
            yield _error(entry, "not-executable", f"{entry.path} is not executable", cause="its mode has no x", fix=fix)
    elif (refusal := trials.try_to_execute(folder)) and refusal.step != "write":
        cause = f"trying to {refusal.step} a script there gives: {os.strerror(refusal.errno)}"
        yield _error(entry, "not-executable", message, cause=cause, fix="Choose a folder on another file system")


def _mount(path: Path) -> str:
    mount = disk.mount_of(path)
    return f"{mount.point} ({mount.type})"


def _warning(entry: PathEntry, name: str, message: str, **more: object) -> Finding:
    return warning(message, id=f"paths.{name}", file=entry.at.file, line=entry.at.line, **more)


def _error(entry: PathEntry, name: str, message: str, **more: object) -> Finding:
    return error(message, id=f"paths.{name}", file=entry.at.file, line=entry.at.line, **more)
