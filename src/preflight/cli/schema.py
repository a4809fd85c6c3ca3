"""`preflight schema`: the JSON Schema of foo.yaml, or of a report."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from preflight.cli import options


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("schema", "Print the JSON Schema of a config, for editors, or of a report.")
    parser.add_argument("of", metavar="config|report", choices=["config", "report"], help="of which of the two")
    return parser


def main(argv: Sequence[str]) -> int:
    """Print the schema."""
    arguments = parser().parse_args(argv)
    if arguments.of == "config":
        from preflight.config.jsonschema import config_schema as schema
    else:
        from preflight.reports.schema import report_schema as schema
    options.say(json.dumps(schema(), indent=2) + "\n")
    return 0
