"""`preflight logs`: what a run has printed, and with `-f` what it goes on to print."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from preflight.cli import options
from preflight.errors import UserError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.records.folder import Run

_GLANCE = 0.25
# Asking whether the run has ended reads its record, and asks Slurm.
_BETWEEN_ENDS = 2.0
_PIECE = 1 << 16


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("logs", "Print what a run has printed.")
    options.add_run(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run ends")
    return parser


def main(argv: Sequence[str]) -> int:
    """Pass the log on, byte for byte."""
    arguments = parser().parse_args(argv)
    run = options.run_of(arguments)
    if not arguments.follow and not run.log.exists():
        state = run.read().state
        raise UserError(
            f"the run {run.name} has no log: it is {state}", fix="`preflight show` tells all that is known."
        )
    sys.stdout.flush()
    for piece in _followed(run) if arguments.follow else _pieces(run, 0):
        if not _passed_on(piece):
            break
    return 0


def _pieces(run: Run, start: int) -> Iterator[bytes]:
    with open(run.log, "rb") as file:
        file.seek(start)
        while piece := file.read(_PIECE):
            yield piece


def _followed(run: Run) -> Iterator[bytes]:
    position, ended, asked = 0, False, 0.0
    while True:
        if time.monotonic() - asked > _BETWEEN_ENDS:
            ended, asked = _has_ended(run), time.monotonic()
        with suppress(FileNotFoundError):
            for piece in _pieces(run, position):
                position += len(piece)
                yield piece
        if ended:
            return
        time.sleep(_GLANCE)


def _has_ended(run: Run) -> bool:
    from preflight.records.listing import settled_record

    return settled_record(run).state.is_end


def _passed_on(piece: bytes) -> bool:
    """Write to the standard output; false where nobody reads any more."""
    try:
        while piece:
            piece = piece[os.write(sys.stdout.fileno(), piece) :]
    except BrokenPipeError:
        return False
    return True
