"""The system calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os
import platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


BIND, RECURSIVE, SLAVE = 0x1000, 0x4000, 0x80000
_NEW_MOUNTS, _NEW_USERS, _NEW_PIDS = 0x00020000, 0x10000000, 0x20000000
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}.get(platform.machine(), -1)
_MOUNT_SETATTR, _READ_ONLY = 442, 1
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_DETACH = 2
_SET_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36

_libc = ctypes.CDLL(None, use_errno=True)


def _call(what: str, *words: Any) -> int:
    """Call a function of libc; raises OSError with `what` in words."""
    name, *arguments = words
    values = [each.encode() if isinstance(each, str) else each for each in arguments]
    result: int = getattr(_libc, name)(*values)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(source: str | None, target: str, kind: str | None = None, flags: int = 0, options: str | None = None) -> None:
    """Mount `source`, or a new file system of a kind, at `target`."""
    _call(f"mount of {kind or 'a folder'} at {target}", "mount", source, target, kind, ctypes.c_ulong(flags), options)


def seal(target: str) -> None:
    """Make a mount, and those below, read-only, whatever their other flags are (mount_setattr(2))."""
    attributes = (ctypes.c_uint64 * 4)(_READ_ONLY, 0, 0, 0)
    what = f"making {target} read-only"
    number, flags, size = ctypes.c_long(_MOUNT_SETATTR), ctypes.c_uint(_AT_RECURSIVE), ctypes.c_size_t(32)
    _call(what, "syscall", number, ctypes.c_int(_AT_FDCWD), target, flags, attributes, size)


def change_root(folder: str) -> None:
    """Make a mounted folder the root of this process and let the old one go (pivot_root(2))."""
    os.chdir(folder)
    _call("pivot_root", "syscall", ctypes.c_long(_PIVOT_ROOT), ".", ".")
    _call("umount of the old root", "umount2", ".", _DETACH)
    os.chdir("/")


def separate(users: bool, pids: bool) -> None:
    """Leave the namespaces of preflight (unshare(2), user_namespaces(7)); the ids stay the same."""
    uid, gid = os.geteuid(), os.getegid()
    flags = _NEW_MOUNTS | (_NEW_USERS if users else 0) | (_NEW_PIDS if pids else 0)
    _call("new namespaces", "unshare", flags)
    if users:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)


def die_with_parent(number: int) -> None:
    """Have the kernel send a signal to this process when the one that started it ends (prctl(2))."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(_SET_DEATH_SIGNAL, number, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of each descendant that loses its own (prctl(2))."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
