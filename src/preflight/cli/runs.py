"""`preflight runs`: the runs that were launched, the latest last."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from datetime import datetime

from preflight.cli import options
from preflight.phrases import counted
from preflight.quantities import format_duration
from preflight.reports.text import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.records.record import Record

SHOWN = 20
_LONGEST_COMMAND = 60


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("runs", "List the runs that were launched, the latest last.")
    options.add_config(parser)
    parser.add_argument(
        "--last", metavar="N", type=int, default=SHOWN, help=f"how many; default: {SHOWN}, and 0 stands for all"
    )
    parser.add_argument("--json", action="store_true", help="print all that is known of them, as a list")
    return parser


def main(argv: Sequence[str]) -> int:
    """Print the table."""
    arguments = parser().parse_args(argv)
    if arguments.last < 0:
        parser().error("--last wants a number of runs")
    from preflight.records.listing import latest

    records = options.records_of(arguments)
    runs = latest(records, arguments.last or None)
    if arguments.json:
        options.say(json.dumps([each.to_json() for each in runs], indent=2) + "\n")
        return 0
    if not runs:
        options.say(f"no runs in {visible(str(records.folder))}\n")
        return 0
    table = [("RUN", "STATE", "CREATED", "TOOK", "WHERE", "COMMIT", "COMMAND"), *(row(each) for each in runs)]
    widths = [max(len(line[column]) for line in table) for column in range(6)]
    lines = ["  ".join(f"{word:<{width}}" for word, width in zip(line, [*widths, 0], strict=True)) for line in table]
    left = len(records.names()) - len(runs)
    more = [f"{counted(left, 'earlier run')}: --last 0 shows all"] if left > 0 else []
    options.say("".join(f"{line.rstrip()}\n" for line in [*lines, *more]))
    return 0


def row(record: Record) -> tuple[str, ...]:
    """Return the words of one line."""
    state = f"{record.state} {record.exit_code}" if record.exit_code else str(record.state)
    where = " ".join(dict.fromkeys(each for each in (record.way, record.slurm, record.host) if each))
    command = visible(shlex.join(record.command))
    clipped = command if len(command) <= _LONGEST_COMMAND else command[: _LONGEST_COMMAND - 3] + "..."
    what = clipped if not record.flaws else f"({visible(record.flaws[0])})"
    words = (record.name, state, when(record.created), took(record), where, record.commit[:8])
    return (*(visible(word) or "-" for word in words), what)


def when(at: str) -> str:
    """Return a time of a record as a person here reads it; what is no time, as it is."""
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return at


def took(record: Record) -> str:
    """Return how long the job has run, empty where that is not known."""
    return "" if record.seconds is None else format_duration(record.seconds)
