"""`preflight rerun`: launch a run again as it was."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from preflight.cli import options


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("rerun", "Launch a run again: the same commit, config, command and lock.")
    options.add_run(parser)
    parser.add_argument("--name", metavar="NAME", default="", help="what the new run is called")
    parser.add_argument("--on", metavar="WAY", default="", help="how it is started; default: as before")
    parser.add_argument("--anyway", action="store_true", help="launch although something is no longer the same")
    return parser


def main(argv: Sequence[str]) -> int:
    """Launch it again from the same commit, config and command; refuse where the rest is no longer the same."""
    arguments = parser().parse_args(argv)
    from preflight.cli.launch import name_of
    from preflight.errors import UserError
    from preflight.launch.again import order
    from preflight.launch.launch import launch

    run = options.run_of(arguments)
    again, differences = order(run, arguments.name or name_of(run.name), arguments.on)
    for line in differences:
        options.note(f"not as it was: {line}")
    if differences and not arguments.anyway:
        raise UserError(f"{run.name} would not be the same run", fix="Bring that back, or add --anyway.")
    return launch(again, options.note)
