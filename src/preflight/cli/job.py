"""`preflight job`: what a launch starts, and what it asks of another host; nobody types it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from preflight.cli import options


def main(argv: Sequence[str]) -> int:
    """Be the run whose record is in FOLDER."""
    parser = options.command_parser("job", "Be a run that `preflight launch` has prepared.")
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    actions = parser.add_mutually_exclusive_group()
    for name in ("receive", "run", "report", "end"):
        actions.add_argument(f"--{name}", action="store_const", dest="action", const=name)
    arguments = parser.parse_args(argv)
    if arguments.action is None:
        from preflight.launch.job import carry_out

        return carry_out(arguments.folder)
    from preflight.launch import arrival

    match arguments.action:
        case "receive":
            return arrival.receive(arguments.folder, sys.stdin.buffer)
        case "run":
            return arrival.carry_out(arguments.folder)
        case "report":
            return arrival.tell(arguments.folder)
        case _:
            return arrival.end(arguments.folder)
