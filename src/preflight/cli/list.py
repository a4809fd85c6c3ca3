"""`preflight list`: the checks that a run would run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import groupby

from preflight import run
from preflight.cli import options
from preflight.model import Json, Planned
from preflight.phrases import counted
from preflight.reports.text import visible


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("list", "List the checks that a run would run.")
    options.add_config(parser)
    options.add_selection(parser)
    parser.add_argument("--format", choices=["text", "json"], default="text", help="how to list them")
    return parser


def main(argv: Sequence[str]) -> int:
    """Print the checks."""
    arguments = parser().parse_args(argv)
    plan = run.plan(options.settings_of(arguments), selection=options.selection_of(arguments))
    if arguments.format == "json":
        options.say(json.dumps([_plain(each) for each in plan], indent=2) + "\n")
    else:
        options.say("\n".join([*_lines(plan), counted(len(plan), "check")]) + "\n")
    return 0


def _plain(planned: Planned) -> Json:
    return {
        "id": planned.id,
        "title": planned.title,
        "family": planned.family,
        "tags": list(planned.tags),
        "asked": planned.asked,
        "file": planned.file,
        "line": planned.line,
    }


def _lines(plan: Sequence[Planned]) -> Iterator[str]:
    width = max((len(visible(each.id)) for each in plan), default=0)
    for family, group in groupby(plan, key=lambda each: each.family):
        yield visible(family)
        for each in group:
            tags = f"  ({', '.join(each.tags)})" if each.tags else ""
            yield visible(f"  {visible(each.id):<{min(width, 40)}}  {each.title}{tags}").rstrip()
        yield ""
