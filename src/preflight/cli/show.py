"""`preflight show`: a stored report, judged and shown again without its machine."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from preflight.cli import options
from preflight.errors import UserError
from preflight.model import Report
from preflight.verdict import decide


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("show", "Show a stored report again, with its verdict as the exit code.")
    parser.add_argument("report", metavar="REPORT.json", help="what `preflight run --format json` wrote")
    options.add_views(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Show the report and return the exit code of its verdict."""
    arguments = parser().parse_args(argv)
    views = options.views_of(arguments)
    report = _read(arguments.report)
    try:
        verdict = decide(report)
        options.show(report, verdict, views)
    except (TypeError, AttributeError, ValueError) as problem:
        raise UserError(f"{arguments.report} is no report that can be shown: {problem}") from problem
    return verdict.exit_code


def _read(path: str) -> Report:
    try:
        with open(path, encoding="utf-8") as file:
            return Report.from_json(json.load(file))
    except OSError as problem:
        raise UserError(f"{path} cannot be read: {problem.strerror}") from None
    except (ValueError, AttributeError, RecursionError) as problem:
        raise UserError(f"{path} is no report: {problem}") from None
