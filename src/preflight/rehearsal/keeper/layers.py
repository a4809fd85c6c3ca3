"""The file systems as the program sees them, each covered by a layer that takes what is written (overlayfs)."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat

from preflight.rehearsal.keeper import calls
from preflight.rehearsal.keeper.calls import mount, seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


FLAGS = {"nosuid": 2, "nodev": 4, "noexec": 8}
# Files up to so many bytes are copied where no layer can cover them; larger ones are there to be read.
COPIED = 16 * 1024 * 1024


class Layers:
    """The file systems as the program sees them, each covered by a layer that takes what is written."""

    def __init__(self, folder: str, privileged: bool) -> None:
        self.folder, self.privileged = folder, privileged
        self.root = os.path.join(folder, "root")
        self.layers: list[tuple[str, str]] = []
        self.sealed: list[tuple[str, str]] = []
        self._overlays = self._skeletons = 0

    def make(self, mounts: list[dict[str, Any]], keep: list[str]) -> None:
        """Put the mounts together below `root`; `keep` are folders that stay what they are."""
        points = {each["point"] for each in mounts}
        for each in mounts:
            point = each["point"]
            if point != "/" and not os.path.lexists(self.at(point)):
                continue  # below a mount that hides it, or a folder that this user cannot enter
            try:
                self._show(each, points)
            except OSError as problem:
                if point == "/":
                    raise
                self.sealed.append((point, problem.strerror or ""))
        for folder in keep:
            mount(folder, self.at(folder), flags=calls.BIND | calls.RECURSIVE)

    def _show(self, each: dict[str, Any], points: set[str]) -> None:
        point = each["point"]
        if each["how"] == "bind":
            mount(point, self.at(point), flags=calls.BIND | calls.RECURSIVE)
        elif each["how"] == "memory":
            self._memory(point, each["size"])
        else:
            self.cover(point, points, sum(FLAGS[name] for name in each["flags"]))

    def at(self, path: str) -> str:
        """Return where a path of the program's is while the view is being made."""
        return self.root + path if path != "/" else self.root

    def cover(self, point: str, points: set[str], flags: int = 0) -> None:
        """Have what is written below `point` go to a layer: one for all of it, else one for each of its folders."""
        below = point.rstrip("/") + "/"
        try:
            self._overlay(point, flags)
        except OSError as problem:
            if any(other.startswith(below) and other != point for other in points):
                self._skeleton(point, points, flags)
            else:
                mount(point, self.at(point), flags=calls.BIND | calls.RECURSIVE)
                seal(self.at(point))
                self.sealed.append((point, problem.strerror or ""))

    def _overlay(self, point: str, flags: int) -> None:
        number, self._overlays = self._overlays, self._overlays + 1
        upper, work = (os.path.join(self.folder, f"{kind}-{number}") for kind in ("upper", "work"))
        is_new = not os.path.isdir(upper)
        if is_new:
            os.mkdir(upper)
            self._imitate(point, upper)
        shutil.rmtree(work, ignore_errors=True)
        os.mkdir(work)
        # In this order, each without what an older kernel, or a kernel with other rights, refuses.
        own = ["redirect_dir=on"] if self.privileged else ["userxattr"]
        with contextlib.ExitStack() as stack:
            names = {"lowerdir": point, "upperdir": upper, "workdir": work}
            words = []
            for name, path in names.items():
                descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY)
                stack.callback(os.close, descriptor)
                words.append(f"{name}=/proc/self/fd/{descriptor}")
            for extra in ([*own, "volatile"], own):
                try:
                    mount("preflight", self.at(point), "overlay", flags, ",".join(words + extra))
                    break
                except OSError:
                    if extra is own:
                        shutil.rmtree(work, ignore_errors=True)
                        if is_new:
                            os.rmdir(upper)
                        raise
        self.layers.append((upper, point))

    def _imitate(self, source: str, copy: str) -> None:
        """Give a layer the rights of the folder that it covers, as far as this user has them."""
        facts = os.stat(source)
        mode = stat.S_IMODE(facts.st_mode)
        if self.privileged:
            os.chown(copy, facts.st_uid, facts.st_gid)
        else:
            for right, bit in ((os.R_OK, 0o400), (os.W_OK, 0o200), (os.X_OK, 0o100)):
                mode = mode | bit if os.access(source, right, effective_ids=True) else mode & ~bit
        os.chmod(copy, mode)

    def _skeleton(self, point: str, points: set[str], flags: int) -> None:
        """Make an empty folder in the place of `point`, and put its entries there one by one."""
        copy = os.path.join(self.folder, f"skeleton-{self._skeletons}")
        self._skeletons += 1
        is_new = not os.path.isdir(copy)
        if is_new:
            os.mkdir(copy)
        mount(copy, self.at(point), flags=calls.BIND)
        for entry in sorted(os.scandir(point), key=lambda entry: entry.name):
            try:
                self._place(entry, os.path.join(copy, entry.name), points, flags, is_new)
            except (FileNotFoundError, PermissionError):
                continue  # it has gone meanwhile, or is not this user's to enter
            except OSError as problem:
                self.sealed.append((entry.path, problem.strerror or ""))
        if is_new:
            self._imitate(point, copy)
        self.layers.append((copy, point))

    def _place(self, entry: os.DirEntry[str], copy: str, points: set[str], flags: int, is_new: bool) -> None:
        target = self.at(entry.path)
        if entry.is_symlink():
            if is_new:
                os.symlink(os.readlink(entry.path), copy)
        elif entry.is_dir():
            if is_new:
                os.mkdir(copy)
            if entry.path not in points:
                self.cover(entry.path, points, flags)
        elif entry.is_file() and os.access(entry.path, os.W_OK) and entry.stat().st_size < COPIED:
            if is_new:
                shutil.copy2(entry.path, copy)
        else:
            if is_new:
                os.close(os.open(copy, os.O_CREAT | os.O_WRONLY, 0o600))
                os.utime(copy, (0, 0))
            mount(entry.path, target, flags=calls.BIND)
            if entry.is_file():
                seal(target)

    def _memory(self, point: str, size: int) -> None:
        """Put memory that is the program's alone in the place of a folder of memory, its folders covered."""
        entries = [each for each in os.scandir(point) if not each.is_symlink() and not each.name.startswith("sem.")]
        mount("preflight", self.at(point), "tmpfs", 6, f"size={size},mode=1777")
        for entry in entries[:64]:
            with contextlib.suppress(OSError):
                copy = self.at(entry.path)
                if entry.is_dir():
                    os.mkdir(copy)
                    self.cover(entry.path, set())
                else:
                    os.close(os.open(copy, os.O_CREAT | os.O_WRONLY, 0o600))
                    mount(entry.path, copy, flags=calls.BIND)
                    seal(copy)
