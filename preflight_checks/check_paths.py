"""Paths: what the job is going to write, read and run can be written, read and run there."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from preflight import Finding, check, error
from preflight.config import PathEntry
from preflight.phrases import in_a_row
from preflight.quantities import format_size
from preflight.system import disk, files
from preflight.system.disk import Refusal
from preflight.system.files import Kind, Seen

SMALL = 1_000_000
# Large enough to meet most quotas that are as good as used up, small enough not to be felt.
LARGE = 16_000_000
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
BROKEN_DISK = (
    "write-error",
    "cannot be written: {error}",
    "the file system ({type} from {device}) fails at this step: {step}",
    "Read what the kernel says of the disk, or choose another:\n    dmesg | tail",
)


@check(per="paths")
def check_is_usable(entry: PathEntry, root: Path) -> Iterator[Finding]:
    """The job can use the path as it is going to.

    Where writing is asked, a small file is written, flushed, renamed, read back and deleted, in the folder itself or,
    where that is still to be made, in the nearest one above it. Nothing is left behind.

        paths.missing         nothing is there to be read
        paths.dangling-link   a link points to nothing, so that no folder can be made in its place
        paths.unreachable     a folder on the way cannot be entered, or the file system fails
        paths.not-a-folder    a file stands where a folder is wanted
        paths.unreadable      the folder cannot be listed, or the file not be read
        paths.read-only       the file system is mounted read-only
        paths.permission      this user may not write there
        paths.immutable       the folder is marked immutable
        paths.quota           the user's quota is used up
        paths.full            no space or no inodes are left
        paths.write-error     the file system fails when written to
        paths.space           less space is free than `free:` wants
        paths.inodes          fewer files can be made than `inodes:` wants
        paths.not-empty       an earlier run is there
        paths.not-executable  programs and libraries cannot be run from there
    """
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
        refusal = disk.try_to_append(seen.path) if seen.kind is Kind.FILE else None
        refusal = refusal or disk.try_to_write(folder, SMALL if too_small or not entry.free else min(entry.free, LARGE))
        if refusal and not (too_small and refusal.errno == errno.ENOSPC):
            yield _refused(entry, seen, folder, refusal)
    if "execute" in entry.access:
        yield from _judge_executing(entry, seen, folder)


def _in_the_way(entry: PathEntry, seen: Seen) -> Finding | None:
    """Return why the path cannot even be tried."""
    shown = quote(str(seen.first))
    writes = "write" in entry.access
    if seen.kind in (Kind.DANGLING, Kind.LOOP):
        message = f"{entry.path}: {seen.first} is a link that leads nowhere"
        fix = f"Bring its target back, or remove the link:\n    rm {shown}"
        return _error(entry, "dangling-link", message, cause=f"it points to {seen.target}", fix=fix)
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
    if refusal := disk.try_to_read(path):
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
    return [name for name in names if name not in NO_RUN and not name.startswith((disk.PROBE, ".nfs"))]


def _refused(entry: PathEntry, seen: Seen, folder: Path, refusal: Refusal) -> Finding:
    """Say why writing was refused."""
    target = seen.path if seen.kind is Kind.FILE else folder
    owner, mount, room = files.owner_of(target), disk.mount_of(folder), disk.room_of(folder)
    reason = errno.errorcode.get(refusal.errno, "other bytes were read back than had been written")
    if reason in ("EPERM", "EACCES") and disk.is_immutable(folder):
        reason = "immutable"
    elif reason in ("EPERM", "EACCES"):
        reason = "own" if owner.uid == os.geteuid() else "EACCES"
    elif reason == "ENOSPC" and room.inodes == 0:
        reason = "no inodes"
    name, words, cause, fix = REFUSED.get(reason, BROKEN_DISK)
    facts = {"where": quote(str(target)), "step": refusal.step, "error": reason, "free": format_size(room.free)}
    facts |= {"owner": str(owner), "mode": owner.mode, "uid": str(os.geteuid()), "gid": str(os.getegid())}
    facts |= {"point": mount.point, "type": mount.type, "device": mount.device}
    # Where the folder is still to be made, its parent is what refuses.
    subject = entry.path if seen.kind is not Kind.MISSING else f"{entry.path} cannot be made: {folder}"
    message = f"{subject} {words.format(**facts)}"
    return _error(
        entry, name, message, cause=cause.format(**facts), fix=fix.format(**facts), evidence={"errno": reason}
    )


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
    elif (refusal := disk.try_to_execute(folder)) and refusal.step != "write":
        cause = f"trying to {refusal.step} a script there gives: {os.strerror(refusal.errno)}"
        yield _error(entry, "not-executable", message, cause=cause, fix="Choose a folder on another file system")


def _mount(path: Path) -> str:
    mount = disk.mount_of(path)
    return f"{mount.point} ({mount.type})"


def _error(entry: PathEntry, name: str, message: str, **more: object) -> Finding:
    return error(message, id=f"paths.{name}", file=entry.at.file, line=entry.at.line, **more)
