"""`preflight show`: a stored report, judged and shown again without its machine; or a run, with all that is known."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Iterator, Sequence

from preflight.cli import options
from preflight.errors import UserError
from preflight.model import Report
from preflight.reports.text import visible, visible_lines
from preflight.verdict import decide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.records.folder import Run
    from preflight.records.record import Event, Record


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser(
        "show", "Show a stored report again, with its verdict as the exit code; or a run, with all that is known of it."
    )
    options.add_config(parser)
    parser.add_argument(
        "report", metavar="REPORT.json|RUN", help="what `preflight run --format json` wrote, or the name of a run"
    )
    options.add_views(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Show the report and return the exit code of its verdict; a file comes before a run of its name."""
    arguments = parser().parse_args(argv)
    views = options.views_of(arguments)
    if os.path.lexists(arguments.report):
        return _show_report(arguments.report, views)
    records = options.records_of(arguments)
    names = records.names()
    if arguments.report not in names and (not names or arguments.report.endswith(".json")):
        return _show_report(arguments.report, views)
    from preflight.records.listing import settled_record
    from preflight.reports.github import fenced

    run = records.run(arguments.report)
    record, events = settled_record(run), run.events()[0]
    if any(view.form == "json" and not view.output for view in views):
        told = {"record": record.to_json(), "events": [event.to_json() for event in events]}
        options.say(json.dumps(told, indent=2) + "\n")
        return 0
    forms = [view.form for view in views if not view.output]
    if forms in (["terminal"], ["github"]):
        lines = page(run, record, events)
        options.say("".join(f"{line}\n" for line in (fenced(lines) if forms == ["github"] else lines)))
    return _show_report(str(run.report), views) if run.report.exists() else 0


def page(run: Run, record: Record, events: Sequence[Event]) -> Iterator[str]:
    """Yield the lines that tell of a run; what is not known is left out."""
    from preflight.cli.runs import took, when

    ended = f"exit code {record.exit_code}" if record.exit_code is not None else ""
    yield "  ".join(visible(word) for word in (record.name, record.state, ended, record.reason) if word)
    facts = {
        "command": shlex.join(record.command),
        "config": record.config,
        "commit": " ".join(each for each in (record.commit, f"on {record.branch}" if record.branch else "") if each),
        "snapshot": record.snapshot,
        "lock": record.lock,
        "environment": record.environment,
        "checkout": record.checkout,
        "way": record.way,
        "host": record.host,
        "slurm job": record.slurm,
        "tmux session": record.session,
        "created": when(record.created),
        "started": when(record.started),
        "ended": when(record.ended),
        "took": took(record),
        "log": str(run.log) if run.log.exists() else "",
    }
    yield from (f"  {name:<13}{visible(value)}" for name, value in facts.items() if value)
    yield from (f"  {line}" for line in visible_lines(record.changes))
    yield from (f"  unreadable   {visible(flaw)}" for flaw in record.flaws)
    yield ""
    for event in events:
        told = ", ".join(f"{name} {_short(value)}" for name, value in event.facts.items())
        yield f"  {when(event.at)}  {visible(event.host)}  {visible(event.kind)}  {visible(told)}"[:200]
    yield ""


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _show_report(path: str, views: Sequence[options.View]) -> int:
    report = read(path)
    try:
        verdict = decide(report)
        options.show(report, verdict, views)
    except (TypeError, AttributeError, ValueError) as problem:
        raise UserError(f"{path} is no report that can be shown: {problem}") from problem
    return verdict.exit_code


def read(path: str) -> Report:
    """Return a stored report; raises UserError where there is none that can be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return Report.from_json(json.load(file))
    except OSError as problem:
        raise UserError(f"{path} cannot be read: {problem.strerror}") from None
    except (ValueError, AttributeError, RecursionError) as problem:
        raise UserError(f"{path} is no report: {problem}") from None
