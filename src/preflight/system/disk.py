"""The disk below a path: its mount, its type, and the room that is left on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# What lies on another machine, so that it may be slow, stale or away.
NETWORK = {"afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "nfs", "nfs4", "orangefs", "pvfs2", "smb3", "smbfs"}
NETWORK |= {"fuse.ceph", "fuse.glusterfs", "fuse.juicefs", "fuse.s3fs", "fuse.sshfs"}
_GET_FLAGS = 0x80086601
_IMMUTABLE = 0x10


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mounted file system: where, of which type, from which device or server, with which options.

    `number` and `parent` are the kernel's ids of it and of the mount that it lies on.
    """

    point: str = "/"
    type: str = "unknown file system"
    device: str = "unknown device"
    options: frozenset[str] = frozenset()
    number: int = 0
    parent: int = 0

    def __str__(self) -> str:
        return f"{self.point} ({self.type} from {self.device})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What this user may still use below a path: bytes, and files (None where the file system does not count them)."""

    free: int
    total: int
    inodes: int | None


def mounts() -> list[Mount]:
    """Return what is mounted, later ones over earlier ones; empty outside Linux."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    return [_mount(line) for line in lines]


def visible(mounted: Sequence[Mount]) -> list[Mount]:
    """Return the mounts that a path can lead to, those above first: what lies below a later one is hidden."""
    below: dict[int, list[Mount]] = {}
    numbers = {mount.number for mount in mounted}
    for mount in mounted:
        parent = mount.parent if mount.parent in numbers and mount.parent != mount.number else 0
        below.setdefault(parent, []).append(mount)
    found, unseen = [], [mount for mount in below.get(0, []) if mount.point == "/"]
    while unseen:
        mount = unseen.pop()
        inner = below.get(mount.number, [])
        over = [each for each in inner if each.point == mount.point]
        found += [] if over else [mount]
        unseen += over or [each for each in inner if not any(_is_below(each.point, other.point) for other in inner)]
    return sorted(found, key=lambda mount: mount.point)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


def mount_of(path: Path) -> Mount:
    """Return the mount that `path`, which exists, lies on; one that says "unknown" where the system does not tell."""
    return mount_above(Path(os.path.realpath(path)))


def mount_above(path: Path) -> Mount:
    """Return the mount that an absolute path lies on, going by its name alone: where nothing there answers."""
    on_the_way = [mount for mount in mounts() if path.is_relative_to(mount.point)]
    return max(reversed(on_the_way), key=lambda mount: len(Path(mount.point).parts), default=Mount())


def hanging_at(path: str) -> str:
    """Return in words what hangs where a path does not answer, going by its name alone: links are not followed."""
    mount = mount_above(Path(os.path.abspath(path)))
    is_remote = mount.type in NETWORK or mount.type.startswith(("fuse", "autofs"))
    return str(mount) if is_remote else "the file system that it leads to"


def planned_mount(path: Path, table: Path = Path("/etc/fstab")) -> str:
    """Return the mount point at or above `path` that the table lists and where nothing is mounted, else nothing."""
    try:
        rows = [line.split() for line in table.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    points = {_unescaped(row[1]) for row in rows if len(row) > 2 and not row[0].startswith("#") and row[1][0] == "/"}
    absolute = Path(os.path.abspath(path))
    absent = points - {mount.point for mount in mounts()}
    return max((point for point in absent if absolute.is_relative_to(point)), key=len, default="")


def room_of(path: Path) -> Room:
    """Return the room below `path`; raises OSError."""
    facts = os.statvfs(path)
    inodes = facts.f_favail if facts.f_files else None
    return Room(free=facts.f_bavail * facts.f_frsize, total=facts.f_blocks * facts.f_frsize, inodes=inodes)


def is_immutable(path: Path) -> bool:
    """Tell whether `chattr +i` is set, which binds even root."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return bool(int.from_bytes(fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8)), "little") & _IMMUTABLE)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _mount(line: str) -> Mount:
    """Read `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw,errors=continue`."""
    fields, _, system = line.partition(" - ")
    columns, (kind, device, *options) = fields.split(" "), system.split(" ")
    every = {*columns[5].split(","), *(options[0].split(",") if options else ())}
    # A file system may be writable while this mount of it is not, and the other way round: read-only wins.
    every -= {"rw"} if "ro" in every else set()
    return Mount(
        point=_unescaped(columns[4]),
        type=kind,
        device=_unescaped(device),
        options=frozenset(every),
        number=int(columns[0]),
        parent=int(columns[1]),
    )


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
