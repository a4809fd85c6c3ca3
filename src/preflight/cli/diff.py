"""`preflight diff`: what has changed between two runs, by default since it last worked."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice

from preflight.cli import options
from preflight.errors import UserError
from preflight.phrases import counted
from preflight.reports.text import clipped, moment, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.config import Config
    from preflight.records.differences import Difference
    from preflight.records.sides import Side

_MOST_COMMITS, _MOST_FILES = 10, 20


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser(
        "diff",
        "Tell what has changed between two runs; by default between the last that worked and the failing one after it.",
    )
    options.add_config(parser)
    which = "a run, or a report that `preflight run --format json` wrote"
    parser.add_argument("a", metavar="A", nargs="?", help=f"{which}; alone, it is compared with what worked before it")
    parser.add_argument("b", metavar="B", nargs="?", help="what it is compared with")
    parser.add_argument("--json", action="store_true", help="print the differences as a list")
    return parser


def main(argv: Sequence[str]) -> int:
    """Print what differs; 0 where nothing does, else 1, as diff(1)."""
    arguments = parser().parse_args(argv)
    from preflight.config import load
    from preflight.records.differences import compare, suspects_of
    from preflight.records.sides import by_default, named

    records, config = options.records_of(arguments), load(arguments.config)
    try:
        if arguments.b:
            before, after = named(arguments.a, records), named(arguments.b, records)
        else:
            before, after = by_default(records, config, named(arguments.a, records) if arguments.a else None)
        differences = compare(before.world, after.world, suspects_of(after.report) if after.report else "")
    except (TypeError, AttributeError, ValueError) as problem:
        raise UserError(f"the facts of a report cannot be compared: {problem}") from None
    if arguments.json:
        options.say(json.dumps([asdict(each) for each in differences], indent=2) + "\n")
    else:
        options.say("".join(f"{line}\n" for line in _page(before, after, differences, config)))
    return int(bool(differences))


def _page(before: Side, after: Side, differences: Sequence[Difference], config: Config) -> Iterator[str]:
    from preflight.records.differences import by_kind

    yield "  →  ".join(f"{visible(each.name)} ({each.outcome}, {moment(each.at)})" for each in (before, after))
    if not differences:
        yield "nothing has changed of what is known"
    for kind, group in by_kind(differences):
        yield ""
        yield kind
        yield from (f"  {clipped(str(each))}" for each in group)
        if kind == "code":
            yield from (f"  {clipped(line)}" for line in _commits(before, after, config))


def _commits(before: Side, after: Side, config: Config) -> Iterator[str]:
    """Yield the commits between the two and the files that differ, first those that the program imports."""
    from preflight.system.git import GitError, ask, top_of

    ends = [side.world["code"].get("commit", "") for side in (before, after)]
    top = top_of(config.root)
    if top is None or not all(ends) or ends[0] == ends[1]:
        return
    try:
        log = ask(top, "log", "--no-show-signature", "--format=%h %s", f"{ends[0]}..{ends[1]}", "--").splitlines()
        changed = [each for each in ask(top, "diff", "--name-only", "-z", *ends, "--").split("\0") if each]
    except GitError as problem:
        yield f"the commits between them are not known: {problem}"
        return
    yield from islice(log, _MOST_COMMITS)
    if len(log) > _MOST_COMMITS:
        yield f"and {counted(len(log) - _MOST_COMMITS, 'earlier commit')}"
    used = _imported(config)
    ordered = sorted(changed, key=lambda name: os.path.realpath(top / name) not in used)
    for name in ordered[:_MOST_FILES]:
        yield f"{name}{' (imported by the program)' if os.path.realpath(top / name) in used else ''}"
    if len(changed) > _MOST_FILES:
        yield f"and {counted(len(changed) - _MOST_FILES, 'other file')}"


def _imported(config: Config) -> set[str]:
    """Return the files of the program and of all of the project that it imports."""
    from preflight.system.programs import read_scripts, scripts_of

    scripts = scripts_of(config.commands, (entry.name for entry in config.imports), config.root)
    sources = read_scripts(scripts, config.root).sources
    return {os.path.realpath(each) for each in (*scripts, *(source.path for source in sources))}
