"""`preflight data`: write the checksums of a folder, and verify them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from preflight.cli import options
from preflight.errors import UserError
from preflight.phrases import counted
from preflight.quantities import format_size
from preflight.reports.text import is_live, visible
from preflight.system import checksums, manifests, verification
from preflight.system.checksums import NotInstalled
from preflight.system.manifests import Entry, NotAManifest
from preflight.system.verification import Verified

DEFAULT_NAME = "MANIFEST"
SHOWN = 20


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("data", "Write the checksums of a folder, and verify them.")
    actions = parser.add_subparsers(dest="action", metavar="manifest|verify", required=True)
    write = actions.add_parser("manifest", help="write the checksums of every file below a folder")
    write.add_argument("path", metavar="PATH", type=Path, help="the folder")
    write.add_argument("--output", metavar="FILE", type=Path, help=f"where to write them; default: PATH/{DEFAULT_NAME}")
    names = [*checksums.STANDARD, *checksums.PACKAGED]
    default = "xxh128 where xxhash is installed, else sha256"
    write.add_argument(
        "--algorithm", choices=names, metavar="NAME", help=f"one of {', '.join(names)}; default: {default}"
    )
    verify = actions.add_parser("verify", help="compare files with a list of checksums")
    verify.add_argument(
        "manifest", metavar="FILE", type=Path, help="the list; those of sha256sum and its kin are read too"
    )
    verify.add_argument(
        "--full", action="store_true", help="read every file, also those that look as they did when right"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Write or verify; 1 where a file is not as the list says."""
    arguments = parser().parse_args(argv)
    try:
        if arguments.action == "manifest":
            return _write(arguments.path, arguments.output, arguments.algorithm or checksums.best())
        return _verify(arguments.manifest, arguments.full)
    except NotInstalled as missing:
        raise UserError(f"{missing} is not installed", fix=f"python -m pip install {missing}") from None


def _write(folder: Path, output: Path | None, algorithm: str) -> int:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder")
    checksums.algorithm(algorithm)
    target = output or folder / DEFAULT_NAME
    base = os.path.dirname(os.path.abspath(target))
    skipped = {os.path.realpath(target)}
    try:
        found = [each for each in manifests.files_below(folder) if os.path.realpath(each) not in skipped]
    except OSError as problem:
        raise UserError(f"{problem.filename}: {problem.strerror}") from None
    entries = [
        Entry(os.path.relpath(found[hashed.index], base), algorithm, hashed.digest)
        for hashed in _hashed(found, algorithm)
    ]
    options.write(str(target), manifests.written(entries, os.path.relpath(folder, base)))
    options.say(f"{visible(str(target))}: {counted(len(entries), 'file')}, {algorithm}\n")
    return 0


def _hashed(found: Sequence[str], algorithm: str) -> Iterator[checksums.Hashed]:
    progress = _Progress()
    size = 0
    wanted = [(index, path, algorithm) for index, path in enumerate(found)]
    for done, hashed in enumerate(checksums.hash_files(wanted), start=1):
        if hashed.error:
            progress.close()
            raise UserError(f"{found[hashed.index]} cannot be read: {hashed.error}")
        size += hashed.signature.size if hashed.signature else 0
        progress.tell(done, len(found), size)
        yield hashed
    progress.close()


def _verify(path: Path, full: bool) -> int:
    progress = _Progress()
    try:
        verified = verification.verify(path, Path.cwd(), full=full, told=progress.tell)
    except NotAManifest as problem:
        raise UserError(f"{path} is no list of checksums: {problem}") from None
    except OSError as problem:
        raise UserError(f"{path} cannot be read: {problem.strerror}") from None
    finally:
        progress.close()
    options.say("".join(f"{visible(line)}\n" for line in _lines(verified)))
    return 0 if verified.is_right else 1


def _lines(verified: Verified) -> Iterator[str]:
    kinds = {
        "missing": verified.missing,
        "changed": verified.changed,
        "corrupt (looks as it did, and differs)": verified.corrupt,
        "cannot be read": [f"{name} ({why})" for name, why in verified.unreadable.items()],
        "not in the list": verified.extra,
    }
    for kind, names in kinds.items():
        yield from (f"{kind}: {name}" for name in names[:SHOWN])
        if len(names) > SHOWN:
            yield f"{kind}: {len(names) - SHOWN:,} more"
    wrong = sum(len(names) for kind, names in kinds.items() if kind != "not in the list")
    told = [f"{counted(verified.files, 'file')}", "all right" if not wrong else f"{wrong:,} wrong"]
    yield ", ".join([*told, f"{verified.remembered:,} not read again"] if verified.remembered else told)


class _Progress:
    """One line on a terminal that is rewritten as files are done; nothing elsewhere."""

    def __init__(self) -> None:
        self._live = is_live(sys.stderr)
        self._line = ""

    def tell(self, done: int, files: int, size: int) -> None:
        """Learn how far it is."""
        line = f"{done:,} of {counted(files, 'file')}, {format_size(size)} read"
        if self._live and line != self._line and (done % 64 == 0 or size > 1 << 20):
            self._line = line
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()

    def close(self) -> None:
        """Leave no line behind."""
        if self._line:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
