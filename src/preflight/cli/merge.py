"""`preflight merge`: the reports that the parts of one job have written, as one report with one verdict."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from preflight.cli import options
from preflight.cli.show import read
from preflight.errors import UserError


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("merge", "Make one report of those of a job's nodes or ranks, and judge it.")
    parser.add_argument("reports", metavar="REPORT.json", nargs="+", help="what `gate --report` wrote on each")
    parser.add_argument(
        "--nodes",
        metavar="N",
        type=int,
        default=0,
        help="how many reports there are to be; default: as many as the launcher told torchrun, srun or mpirun",
    )
    options.add_views(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Show the one report and return the exit code of its verdict."""
    arguments = parser().parse_args(argv)
    views = options.views_of(arguments)
    if arguments.nodes < 0:
        raise UserError(f"--nodes {arguments.nodes} is no number of nodes")
    from preflight.merging import Told, merge
    from preflight.verdict import decide

    told = [Told(name, read(name)) for name in dict.fromkeys(arguments.reports)]
    report, remarks = merge(told, wanted=arguments.nodes)
    for line in remarks:
        options.note(line)
    verdict = decide(report)
    options.show(report, verdict, views)
    return verdict.exit_code
