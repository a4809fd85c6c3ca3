"""`preflight attach`: be where a run is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from preflight.cli import options


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("attach", "Show a run that has a terminal of its own, as it runs.")
    options.add_run(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Become what shows the run."""
    arguments = parser().parse_args(argv)
    from preflight.errors import UserError
    from preflight.launch import ways
    from preflight.launch.gate import become
    from preflight.records.listing import settled_record

    run = options.run_of(arguments)
    record = settled_record(run)
    if record.state.is_end:
        raise UserError(f"{record.name} has ended: {record.state}", fix="`preflight logs` shows what it printed.")
    become(ways.of(run, ways.config_of(run)).attach())
