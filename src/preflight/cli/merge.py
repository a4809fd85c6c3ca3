"""`preflight merge`: the reports that the parts of one job have written, as one report with one verdict."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from preflight.cli import options
from preflight.cli.show import read
from preflight.errors import UserError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.config import Ignore
    from preflight.model import Report


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
    from preflight.drift import CHECK
    from preflight.merging import Told, merge
    from preflight.verdict import decide

    told = [Told(name, read(name)) for name in dict.fromkeys(arguments.reports)]
    ignore = _ignore(told[0].report)
    report, remarks = merge(told, wanted=arguments.nodes, ignore=ignore or ())
    if ignore is None and any(each.findings for each in report.results if each.check == CHECK):
        remarks.append(
            f"{report.config} is not here as it was checked: what it ignores of the nodes' differences counts"
        )
    for line in remarks:
        options.note(line)
    verdict = decide(report)
    options.show(report, verdict, views)
    return verdict.exit_code


def _ignore(report: Report) -> Sequence[Ignore] | None:
    """Return what the config of a report ignores; None where it is not here, or not as it was then."""
    from preflight import config

    if not report.config or report.facts.get("drafted"):
        return ()
    try:
        found = config.load(Path(report.config))
    except UserError:
        return None
    return found.ignore if found.digest == report.facts.get("config_digest") else None
