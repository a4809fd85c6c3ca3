"""`preflight gate`: check, then become the job, or refuse to."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from preflight.cli import options
from preflight.errors import UserError
from preflight.launch import ranks
from preflight.launch.gate import become
from preflight.launch.meeting import once_per_node
from preflight.places.local import Local
from preflight.system import jobs


def parser() -> argparse.ArgumentParser:
    """Return what the command takes in front of `--`."""
    parser = options.command_parser("gate", "Check what the job needs, then become the job, or refuse to.")
    parser.usage = "preflight gate [--config FILE] [...] -- COMMAND [ARGUMENT ...]"
    parser.epilog = (
        "exit codes: the command's own, 125 where it is not started, 126 or 127 where it cannot be, 130 interrupted"
    )
    options.add_config(parser)
    options.add_selection(parser)
    parser.add_argument("--strict", action="store_true", help="let warnings count")
    parser.add_argument(
        "--report",
        metavar="FILE",
        type=Path,
        help="where the report is written as JSON; with the node in its name where the job has several",
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Check once on each node; where that says GO, do not return."""
    arguments, command = options.split_command(parser(), argv)
    rank = ranks.find(os.environ)
    code = once_per_node(rank, str(arguments.config), lambda: _decide(arguments, rank))
    return code or become(command)


def _decide(arguments: argparse.Namespace, rank: ranks.Rank | None) -> int:
    """Run the checks, tell on the standard error what came of them, and return 0 where the job may start."""
    if arguments.report and not arguments.report.absolute().parent.is_dir():
        raise UserError(f"--report {arguments.report}: there is no folder {arguments.report.absolute().parent}")
    place = Local()
    try:
        from preflight.launch import checks

        settings = options.settings_of(arguments)
        selection = options.selection_of(arguments)
        report, verdict = checks.check(settings, selection=selection, strict=arguments.strict, place=place)
    finally:
        place.close()
    if arguments.report:
        if part := jobs.part(os.environ):  # whoever checks for a node tells of all its ranks
            report = replace(report, facts={**report.facts, "part": jobs.of_node(part)})
        options.write(str(_named(arguments.report, rank)), checks.stored(report, verdict))
    checks.tell(report, verdict)
    return checks.refusal(report, verdict)


def _named(file: Path, rank: ranks.Rank | None) -> Path:
    return file.with_name(f"{file.stem}.{rank.node}{file.suffix}") if rank and rank.node else file
