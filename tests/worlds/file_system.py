"""A file system that hands everything on to a folder and misbehaves where it is told to, `CALL:NAME:ERROR`.

    python file_system.py FOLDER MOUNTPOINT write:*:EDQUOT open:part09.npy:ESTALE read:*:HANG write:10000000:EDQUOT

HANG in place of an error never answers. A number in place of NAME lets that many bytes of each file pass first. The
calls are the methods below. `type:KIND` has it look like another (sshfs), `clock:SECONDS` dates files so far ahead, and
`fold:1` takes upper for lower case.
"""

import errno
import os
import sys
import time
from typing import Any

from fuse import FUSE, FuseOSError, Operations

FACTS = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_atime", "st_mtime", "st_ctime")
ROOM = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_files", "f_ffree", "f_frsize", "f_namemax")


class Misbehaving(Operations):
    """Does what it is asked, except for what its rules say."""

    def __init__(self, folder: str, rules: list[str]) -> None:
        self.folder = folder
        self.rules = [rule.split(":") for rule in rules if rule.count(":") == 2]
        self.folds = "fold:1" in rules
        self.lead = sum(float(rule.partition(":")[2]) for rule in rules if rule.startswith("clock:"))

    def __call__(self, call: str, path: str, *arguments: Any) -> Any:
        for rule, name, error in self.rules:
            reached = not name.isdecimal() or (call == "write" and arguments[1] + len(arguments[0]) > int(name))
            if rule == call and reached and (name == "*" or name.isdecimal() or path.endswith(name)):
                while error == "HANG":
                    time.sleep(3600)
                raise FuseOSError(getattr(errno, error))
        return super().__call__(call, path, *arguments)

    def real(self, path: str) -> str:
        return os.path.join(self.folder, (path.lower() if self.folds else path).lstrip("/"))

    def getattr(self, path, fh=None):
        facts = os.lstat(self.real(path))
        return {name: getattr(facts, name) for name in FACTS} | {"st_mtime": facts.st_mtime + self.lead}

    def readdir(self, path, fh):
        return [".", "..", *os.listdir(self.real(path))]

    def readlink(self, path):
        return os.readlink(self.real(path))

    def open(self, path, flags):
        return os.open(self.real(path), flags)

    def create(self, path, mode, fi=None):
        return os.open(self.real(path), os.O_RDWR | os.O_CREAT, mode)

    def read(self, path, size, offset, fh):
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        return os.pwrite(fh, data, offset)

    def truncate(self, path, length, fh=None):
        os.truncate(self.real(path), length)

    def fsync(self, path, datasync, fh):
        os.fsync(fh)

    def release(self, path, fh):
        os.close(fh)

    def mknod(self, path, mode, dev):
        os.mknod(self.real(path), mode, dev)

    def mkdir(self, path, mode):
        os.mkdir(self.real(path), mode)

    def rmdir(self, path):
        os.rmdir(self.real(path))

    def unlink(self, path):
        os.unlink(self.real(path))

    def rename(self, old, new):
        os.rename(self.real(old), self.real(new))

    def chmod(self, path, mode):
        os.chmod(self.real(path), mode)

    def lock(self, path, fh, cmd, lock):
        return 0

    def statfs(self, path):
        room = os.statvfs(self.folder)
        return {name: getattr(room, name) for name in ROOM}


if __name__ == "__main__":
    folder, point, *rules = sys.argv[1:]
    kinds = [rule.partition(":")[2] for rule in rules if rule.startswith("type:")]
    options = {"subtype": kinds[0]} if kinds else {}
    FUSE(Misbehaving(folder, rules), point, foreground=True, direct_io=True, fsname="server", **options)
