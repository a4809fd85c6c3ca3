"""Manifests: the files are those whose checksums were written down.

See it by hand:

    preflight data verify FOLDER
    sha256sum FILE

Mend it:

    Fetch the files again that differ, or write the list again where the change is meant.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote

import pytest

from preflight import Finding, check, error, warning
from preflight.config import Config, Data
from preflight.phrases import counted, in_a_row
from preflight.system import files, verification
from preflight.system.checksums import NotInstalled
from preflight.system.manifests import NotAManifest
from preflight.system.verification import Verified

# The part of the deadline that is spent on reading files; the rest is for telling how it went.
SHARE = 0.8
REMEDIES = {
    "missing-file": ("is not there", "it was deleted, or never fetched", "Fetch it"),
    "changed": ("differs from its checksum", "it was changed, replaced or cut off since", "Fetch it again"),
    "unreadable": ("cannot be read", "the file system refuses or fails", "Look at its owner, mode and disk"),
}


@check(per="data.manifest")
def check_holds(entry: Data, root: Path, config: Config) -> Iterator[Finding]:
    """Every file of the manifest is there and has the checksum that was written down.

    Lists of sha256sum, md5sum, xxhsum, b3sum, BagIt and `preflight data manifest` are read. A file that was right and
    looks the same since (size, times, inode) is not read again; `preflight data verify --full` reads all.

        manifest.missing       the manifest itself is not there, or cannot be read
        manifest.not-one       the file is no list of checksums
        manifest.missing-file  files of the list are not there
        manifest.changed       files have another checksum
        manifest.unreadable    files cannot be read
        manifest.extra         files are there that a list of the whole folder does not have
    """
    path = files.resolve(entry.manifest, root)
    until = time.monotonic() + SHARE * (entry.deadline or config.deadline)
    try:
        verified = verification.verify(path, root, until=until)
    except NotInstalled as missing:
        pytest.skip(f"{entry.manifest} needs {missing}, which is not installed (python -m pip install {missing})")
    except NotAManifest as problem:
        fix = f"Write one:\n    preflight data manifest {quote(os.path.dirname(entry.manifest) or '.')}"
        yield _error(entry, "not-one", f"{entry.manifest} is no list of checksums", cause=str(problem), fix=fix)
    except OSError as problem:
        fix = f"Correct the path, or write it:\n    preflight data manifest {quote(str(path.parent))}"
        cause = f"{path}: {problem.strerror}"
        yield _error(entry, "missing", f"{entry.manifest} cannot be read", cause=cause, fix=fix)
    else:
        yield from _judge(entry, path, verified)


def _judge(entry: Data, path: Path, verified: Verified) -> Iterator[Finding]:
    wrong = {"missing-file": verified.missing, "changed": verified.changed, "unreadable": list(verified.unreadable)}
    for name, names in wrong.items():
        if names:
            yield _bad(entry, name, names, verified)
    if verified.extra:
        message = f"{in_a_row(verified.extra)} {_is(verified.extra)} not in {entry.manifest}"
        fix = f"Remove what does not belong there, or write the list anew:\n    {_anew(path)}"
        cause = "the list was written of the whole folder, and these files came later"
        yield _say(warning, entry, "extra", message, cause=cause, fix=fix, evidence=_some(verified.extra))
    if verified.unread and not any(wrong.values()):
        command = f"preflight data verify {quote(entry.manifest)}"
        pytest.skip(
            f"{counted(verified.unread, 'file')} of {verified.files:,} could not be read in time; "
            f"once `{command}` has read them all, only what changes is read"
        )


def _bad(entry: Data, name: str, names: list[str], verified: Verified) -> Finding:
    what, cause, fix = REMEDIES[name]
    more = f" and {len(names) - 1:,} more of {verified.files:,} files" if len(names) > 1 else ""
    if len(names) > 1:
        what = what.replace("is not", "are not").replace("differs from its", "differ from their")
    if name == "unreadable":
        cause = f"{names[0]}: {verified.unreadable[names[0]]}"
    if name == "changed":
        fix = "Fetch it again; where the change is meant, write the list anew"
    return _error(entry, name, f"{names[0]}{more} {what}", cause=cause, fix=fix, evidence=_some(names))


def _anew(path: Path) -> str:
    return f"preflight data manifest {quote(str(path.parent))} --output {quote(str(path))}"


def _is(names: list[str]) -> str:
    return "are" if len(names) > 1 else "is"


def _some(names: list[str]) -> dict[str, object]:
    return {"files": names[:10], "count": len(names)}


def _error(entry: Data, name: str, message: str, **more: object) -> Finding:
    return _say(error, entry, name, message, **more)


def _say(say: Callable[..., Finding], entry: Data, name: str, message: str, **more: object) -> Finding:
    return say(message, id=f"manifest.{name}", file=entry.at.file, line=entry.at.line, **more)
