"""Which process of the program this is, by a name that is the same whenever the program runs again."""

import hashlib
import os
import re
import sys

from preflight.rehearsal.inside import wire

_RANK = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
_name = ""
_forks = 0


def name() -> str:
    """Return the name of this process: what it was started as, its rank, which of its kind it is, and its forks.

    Process ids, descriptors and the folder for answers are no part of it, as they are never the same.
    """
    if not _name:
        _begin()
    return _name


def _begin() -> None:
    global _name  # noqa: PLW0603
    words = " ".join(sys.orig_argv[1:])
    kind = re.sub(r"(_fd|handle|pid)=\d+", r"\1", words.replace(wire.folder(), ""))
    rank = next((os.environ[each] for each in _RANK if each in os.environ), "")
    digest = hashlib.blake2b(f"{kind} {rank}".encode(errors="replace"), digest_size=6).hexdigest()
    for number in range(10_000):
        try:
            file = os.path.join(wire.folder(), f"{digest}-{number}.process")
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            continue
        _name = f"{digest}-{number}"
        break
    os.register_at_fork(before=_count, after_in_child=_branch)


def _count() -> None:
    global _forks  # noqa: PLW0603
    _forks += 1


def _branch() -> None:
    global _name, _forks
    _name, _forks = f"{_name}.{_forks}", 0


def number(*words: object) -> int:
    """Return 32 bits that these words and the name of this process decide."""
    text = " ".join(str(word) for word in (*words, name()))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")
