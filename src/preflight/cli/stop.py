"""`preflight stop`: ask a run to end."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from preflight.cli import options


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("stop", "Ask a run to end; where it does not in ten seconds, it is ended.")
    options.add_run(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """End the run, and say so in its record."""
    arguments = parser().parse_args(argv)
    from preflight.launch.stopping import stop

    options.note(stop(options.run_of(arguments)))
    return 0
