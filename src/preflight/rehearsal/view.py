"""The copy-on-write view that a program is rehearsed in: what it covers, and what the program wrote there."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from preflight.system import disk
from preflight.system.limits import SHARED_MEMORY
from preflight.system.watched import NoAnswer, watched

# Of the kernel, of devices, of daemons that listen on sockets there: what a program writes to these is no file of its
# user's.
_PASSED = {"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs"}
_PASSED |= {"fuse.lxcfs", "fuse.portal", "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "ramfs"}
_PASSED |= {"rpc_pipefs", "securityfs", "selinuxfs", "squashfs", "sysfs", "tracefs"}
# Seconds within which a network file system has to answer.
_PATIENCE = 2.0
_SERVICES = ("/run", "/var/run", "/dev", "/sys")
# How many folders below a place are looked at, and how many of them may have a layer of their own.
_WALKED, _MOST_LAYERS = 1000, 64
# Below so much free space, in bytes, a run is ended before the program meets a full disk that is not its own.
_FLOOR = 512 * 1024 * 1024


class ViewRefused(Exception):
    """No view can be made here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file that the program wrote: its real path, its size in bytes, whether there was none of that name before."""

    path: str
    bytes: int
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Covering:
    """How one mount appears in the view: `bind` as it is, `cover` under a layer, `memory` as memory of its own.

    `size` is that of the memory in bytes; `is_remote` tells a file system that may not answer.
    """

    point: str
    how: str
    flags: Sequence[str] = ()
    size: int = 0
    is_remote: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A folder that keeps what is written: several runs in one view see each other's files.

    `files` are texts that the program finds in place of the real files, by absolute path; `places` are folders that
    it is known to write to.
    """

    folder: Path
    files: Mapping[str, str] = field(default_factory=dict)
    places: Sequence[Path] = ()

    def specification(self, keep: Sequence[Path]) -> dict[str, Any]:
        """Return what the keeper is to make; `keep` are folders that stay real.

        `hanging` in it are the mounts that do not answer: the view is made without them.
        """
        found = coverings(disk.mounts())
        hanging = [each.point for each in found if each.is_remote and not _answers(each.point)]
        covered = {each.point: each for each in found if each.point not in hanging}
        if os.geteuid() != 0:
            covered |= {point: Covering(point=point, how="cover") for point in foreign(self.places)} | covered
        mounts = [asdict(each) for _, each in sorted(covered.items())]
        places = {"folder": str(self.folder), "keep": [*map(str, keep)], "hanging": hanging}
        return {**places, "mounts": mounts, "files": dict(self.files)}

    def floor(self) -> int:
        """Return the free bytes below which a run is ended; raises ViewRefused where there are no more already."""
        room = disk.room_of(self.folder)
        floor = min(_FLOOR, room.total // 20)
        if room.free < 2 * floor:
            raise ViewRefused(f"{self.folder.parent} has {room.free:,} bytes free, too few for what the program writes")
        return floor

    def remove(self) -> None:
        """Take the folder away, with all that was written."""
        for folder, folders, _ in os.walk(self.folder):
            for path in [os.path.join(folder, name) for name in folders]:
                with suppress(OSError):
                    if not os.path.islink(path):
                        os.chmod(path, 0o700)
        shutil.rmtree(self.folder, ignore_errors=True)


def open_view(scratch: Path, files: Mapping[str, str] | None = None, places: Sequence[Path] = ()) -> View:
    """Return a new view whose layers lie in `scratch`, or in /var/tmp where that is memory or itself a layer.

    Raises ViewRefused outside Linux.
    """
    if sys.platform != "linux":
        raise ViewRefused(f"{sys.platform} has no file systems in layers")
    folder = scratch
    if disk.mount_of(scratch).type in ("overlay", "tmpfs", "ramfs"):
        for other in (Path("/var/tmp"), SHARED_MEMORY):  # noqa: S108 - a folder of its own is made there
            if disk.mount_of(other).type not in ("overlay", "ramfs") and os.access(other, os.W_OK):
                folder = other
                break
    layers = Path(tempfile.mkdtemp(prefix="preflight-view-", dir=folder))
    usual = (Path.home(), Path(tempfile.gettempdir()))
    return View(folder=layers, files=files or {}, places=(*places, *usual))


@contextmanager
def opened(scratch: Path, files: Mapping[str, str] | None = None, places: Sequence[Path] = ()) -> Iterator[View]:
    """Give a new view as `open_view` does, which is gone afterwards."""
    view = open_view(scratch, files, places)
    try:
        yield view
    finally:
        view.remove()


def coverings(mounts: Sequence[disk.Mount]) -> list[Covering]:
    """Return what is to be done about each mount that can be seen, those above first."""
    found: list[Covering] = []
    for mount in disk.visible(mounts):
        point = mount.point
        how = _how(mount)
        if how == "bind" and any(each.how == "bind" and Path(point).is_relative_to(each.point) for each in found):
            continue
        flags = [name for name in ("nosuid", "nodev", "noexec") if name in mount.options]
        size = disk.room_of(SHARED_MEMORY).free if how == "memory" else 0
        is_remote = mount.type in disk.NETWORK or (mount.type.startswith("fuse") and mount.type not in _PASSED)
        found.append(Covering(point=point, how=how, flags=flags, size=size, is_remote=is_remote))
    return found


def _answers(point: str) -> bool:
    try:
        watched(lambda: next(os.scandir(point), None) is None, 2 * _PATIENCE)
    except NoAnswer:
        return False
    except OSError:
        return True
    return True


def foreign(places: Sequence[Path]) -> list[str]:
    """Return the folders, on the way to `places` and near below, that need a layer of their own.

    In a user namespace a layer can take no copy of a folder that belongs to another user or group, and so nothing
    that is written below it; the topmost folder of a layer is not copied.
    """
    copied: dict[str, bool] = {}
    found: dict[str, None] = {}
    for place in places:
        whole = Path(os.path.realpath(place))
        below = (folder for folder, _, _ in islice(os.walk(whole), _WALKED))
        for folder in map(str, [*reversed(whole.parents), *below]):
            is_own = _is_own(folder) and copied.get(os.path.dirname(folder), False)
            if not is_own and os.access(folder, os.W_OK):
                found[folder] = None
            copied[folder] = is_own or folder in found
    return list(islice(found, _MOST_LAYERS))


def _is_own(folder: str) -> bool:
    try:
        facts = os.stat(folder)
    except OSError:
        return False
    return facts.st_uid == os.geteuid() and facts.st_gid == os.getegid()


def _how(mount: disk.Mount) -> str:
    if mount.point == str(SHARED_MEMORY):
        return "memory"
    if mount.point != "/" and ("ro" in mount.options or mount.type in _PASSED or os.path.isfile(mount.point)):
        return "bind"
    is_service = any(Path(mount.point).is_relative_to(each) for each in _SERVICES)
    return "bind" if is_service and mount.type == "tmpfs" else "cover"


def written_in(layers: Sequence[tuple[str, str]]) -> Iterator[Written]:
    """Yield what lies in layers, each with the folder that it covers; caches of Python's code are passed over."""
    for layer, point in layers:
        for folder, folders, names in os.walk(layer):
            folders[:] = [name for name in folders if name != "__pycache__"]
            inner = os.path.relpath(folder, layer)
            for name in names:
                real = os.path.normpath(os.path.join(point, inner, name))
                facts = os.lstat(os.path.join(folder, name))
                if stat.S_ISREG(facts.st_mode) and not name.endswith(".pyc") and not _is_stand_in(layer, facts, real):
                    yield Written(path=real, bytes=facts.st_size, new=not os.path.lexists(real))


def _is_stand_in(layer: str, facts: os.stat_result, real: str) -> bool:
    """Tell whether a file is the keeper's own: a skeleton has one of each name, to mount on, and copies of others."""
    if not os.path.basename(layer).startswith("skeleton"):
        return False
    try:
        there = os.lstat(real)
    except OSError:
        return False
    return facts.st_mtime == 0 or (facts.st_size, facts.st_mtime_ns) == (there.st_size, there.st_mtime_ns)
