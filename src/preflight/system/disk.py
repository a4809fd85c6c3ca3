"""The disk below a path: its mount, its room, and what really happens when a file is written or run there."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROBE = ".preflight-probe-"
STALE = 3600.0
SCRIPT = b"#!/bin/sh\nexit 0\n"
_BLOCK = 1 << 16
_GET_FLAGS = 0x80086601
_IMMUTABLE = 0x10


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mounted file system: where, of which type, from which device or server, with which options."""

    point: str = "/"
    type: str = "unknown file system"
    device: str = "unknown device"
    options: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.point} ({self.type} from {self.device})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What this user may still use below a path: bytes, and files (None where the file system does not count them)."""

    free: int
    total: int
    inodes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The step that failed and the system's answer; `errno` is 0 where the bytes read back were not those written."""

    step: str
    errno: int


def mounts() -> list[Mount]:
    """Return what is mounted, later ones over earlier ones; empty outside Linux."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    return [_mount(line) for line in lines]


def mount_of(path: Path) -> Mount:
    """Return the mount that `path`, which exists, lies on; one that says "unknown" where the system does not tell."""
    return mount_above(Path(os.path.realpath(path)))


def mount_above(path: Path) -> Mount:
    """Return the mount that an absolute path lies on, going by its name alone: where nothing there answers."""
    on_the_way = [mount for mount in mounts() if path.is_relative_to(mount.point)]
    return max(reversed(on_the_way), key=lambda mount: len(Path(mount.point).parts), default=Mount())


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


def try_to_write(folder: Path, size: int) -> Refusal | None:
    """Write `size` bytes into a file of our own in `folder`, flush, rename, read back and delete it.

    Return what was refused first. Nothing stays behind; what an earlier, killed attempt left is removed after an hour.
    """
    _remove_stale(folder)
    probe = _new_name(folder)
    renamed = probe.with_name(probe.name + "-renamed")
    block = os.urandom(_BLOCK)
    steps: list[tuple[str, Callable[[], object]]] = [
        ("write", lambda: _write(probe, block, size)),
        ("rename", lambda: os.rename(probe, renamed)),
        ("read back", lambda: _compare(renamed, block, size)),
        ("delete", lambda: os.unlink(renamed)),
    ]
    return _first_refusal(steps, leftovers=(probe, renamed))


def try_to_read(path: Path) -> Refusal | None:
    """List a folder, or read the first byte of a file."""

    def read() -> None:
        if path.is_dir():
            os.scandir(path).close()
        else:
            with open(path, "rb") as file:
                file.read(1)

    return _first_refusal([("read", read)])


def try_to_append(file: Path) -> Refusal | None:
    """Open an existing file for writing, without writing to it."""
    return _first_refusal([("open", lambda: os.close(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)))])


def try_to_execute(folder: Path) -> Refusal | None:
    """Write a tiny script into `folder`, map it as code the way libraries are, run it and delete it."""
    probe = _new_name(folder)
    steps: list[tuple[str, Callable[[], object]]] = [
        ("write", lambda: _write(probe, SCRIPT, len(SCRIPT), mode=0o700)),
        ("map", lambda: _map_as_code(probe)),
        ("run", lambda: _run(probe)),
    ]
    return _first_refusal(steps, leftovers=(probe,))


def _mount(line: str) -> Mount:
    """Read `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw,errors=continue`."""
    fields, _, system = line.partition(" - ")
    columns, (kind, device, *options) = fields.split(" "), system.split(" ")
    every = {*columns[5].split(","), *(options[0].split(",") if options else ())}
    # A file system may be writable while this mount of it is not, and the other way round: read-only wins.
    every -= {"rw"} if "ro" in every else set()
    return Mount(point=_unescaped(columns[4]), type=kind, device=_unescaped(device), options=frozenset(every))


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def _first_refusal(steps: list[tuple[str, Callable[[], object]]], leftovers: tuple[Path, ...] = ()) -> Refusal | None:
    try:
        for step, do in steps:
            try:
                do()
            except OSError as error:
                return Refusal(step=step, errno=error.errno or 0)
        return None
    finally:
        for leftover in leftovers:
            with suppress(OSError):
                os.unlink(leftover)


def _new_name(folder: Path) -> Path:
    return folder / f"{PROBE}{os.getpid()}-{secrets.token_hex(4)}"


def _write(path: Path, block: bytes, size: int, mode: int = 0o600) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        left = size
        while left > 0:
            left -= os.write(descriptor, block[:left])
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
    finally:
        os.close(descriptor)


def _compare(path: Path, block: bytes, size: int) -> None:
    with open(path, "rb") as file:
        for start in range(0, size, _BLOCK):
            if file.read(_BLOCK) != block[: size - start]:
                raise OSError(0, "other bytes came back")


def _map_as_code(path: Path) -> None:
    import mmap

    with open(path, "rb") as file:
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()


def _run(path: Path) -> None:
    process = os.posix_spawn(path, [str(path)], os.environ)
    _, status = os.waitpid(process, 0)
    if status:
        raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC))


def _remove_stale(folder: Path) -> None:
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(PROBE):
                facts = entry.stat(follow_symlinks=False)
                ours = facts.st_uid == os.geteuid() and stat.S_ISREG(facts.st_mode)
                if ours and time.time() - facts.st_mtime > STALE:
                    os.unlink(entry.path)
