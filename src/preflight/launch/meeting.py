"""Where the processes of a node learn what the first of them was told, so that each node is checked once."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from preflight.errors import UserError
from preflight.launch.ranks import Rank

# Seconds in which the first process of a node must have come; who has met nobody then checks by itself.
_COMES = 60.0
# Seconds that its checks may take. They end within their deadlines; this is for a process that somebody has stopped.
_LIMIT = 3600.0
_STEP = 0.05
_FORGOTTEN = 86_400.0


def once_per_node(rank: Rank | None, about: str, decide: Callable[[], int]) -> int:
    """Return what `decide` says, which only the first process of the node calls: an exit code, 0 for go.

    The others wait for that answer and have the same; where they meet nobody within a minute they decide by themselves.
    `about` is what is decided (the config), so that two decisions are not mixed up. Raises UserError where the first
    process dies without an answer.
    """
    if rank is None:
        return decide()
    try:
        turn = _turn(rank, about)
    except OSError:  # no folder to meet in
        return decide()
    return _announced(turn, decide) if rank.number == 0 else _awaited(turn, decide)


def _turn(rank: Rank, about: str) -> Path:
    """Return the file of this decision: each process counts its own, and all make the same ones in the same order."""
    import hashlib

    folder = _private_folder()
    _sweep(folder)
    folder = folder / hashlib.sha256(f"{rank.key}\0{about}".encode(errors="surrogateescape")).hexdigest()[:24]
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / f"turns-{rank.number}").open("ab") as turns:
        turns.write(b".")
        turns.flush()
        return folder / f"answer-{os.fstat(turns.fileno()).st_size}"


def _private_folder() -> Path:
    """Return a folder that only this user can write; raises OSError where another one has made it."""
    folder = Path(os.environ.get("TMPDIR") or "/tmp", f"preflight-gate-{os.getuid()}")  # noqa: S108 - made private
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o022:
        raise PermissionError(folder)
    return folder


def _sweep(folder: Path) -> None:
    """Remove what is left of launches of another day."""
    for each in folder.iterdir():
        with suppress(OSError):
            if each.stat().st_mtime < time.time() - _FORGOTTEN:
                shutil.rmtree(each)


def _announced(answer: Path, decide: Callable[[], int]) -> int:
    """Decide, and leave the answer; the file is locked meanwhile, and the kernel unlocks it should this process die."""
    hidden = answer.with_suffix(f".{os.getpid()}")
    with hidden.open("wb", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        hidden.replace(answer)
        code = 1
        try:
            code = decide()
        finally:
            file.write(str(code).encode())
    return code


def _awaited(answer: Path, decide: Callable[[], int]) -> int:
    """Return the answer that the first process leaves."""
    began = time.monotonic()
    while not answer.exists():
        if time.monotonic() > began + _COMES:
            return decide()
        time.sleep(_STEP)
    with answer.open("rb") as file:
        while not (told := file.read()):
            if _is_free(file.fileno()) and not (told := file.read()):
                raise UserError("the first process on this node died before it had checked", fix=_FIX)
            if told:
                break
            if time.monotonic() > began + _LIMIT:
                raise UserError(f"the first process on this node has not answered for {_LIMIT:.0f} s", fix=_FIX)
            time.sleep(_STEP)
    return int(told)


_FIX = "Look into the log of local rank 0."


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
