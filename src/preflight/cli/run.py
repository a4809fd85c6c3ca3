"""`preflight run`: check what the experiment needs, show it, and answer with the exit code."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from preflight.cli import options
from preflight.cli.facts import load
from preflight.errors import UserError
from preflight.places.local import Local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.config import Config
    from preflight.model import Report
    from preflight.places.nodes import Nodes
    from preflight.places.workers import Workers

    _Places = Callable[[Report], list[str]]

# The lists of nodes that can be written.
_NODES = ("passing", "failing")


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("run", "Check what the experiment needs, and say GO or NO-GO.")
    options.add_config(parser)
    options.add_selection(parser)
    parser.add_argument(
        "--facts", metavar="FILE", type=Path, help="judge the GPUs that `preflight facts capture` wrote, not those here"
    )
    parser.add_argument("--strict", action="store_true", help="let warnings count")
    parser.add_argument(
        "--on",
        metavar="PLACE",
        default="",
        help="run on many nodes: `slurm` (those of this job, or of one made for it), `ssh:a,b[1-4]` or `hosts:FILE`",
    )
    parser.add_argument(
        "--collectives", action="store_true", help="with --on: have the nodes that have passed add up together"
    )
    for name in _NODES:
        told = f"with --on: where the nodes that are {name} are written to, one in a line"
        parser.add_argument(f"--{name}-nodes", metavar="FILE", default="", help=told)
    options.add_views(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the checks and return the verdict's exit code, the same whatever the format."""
    arguments = parser().parse_args(argv)
    views = options.views_of(arguments)
    lists = _lists_of(arguments)
    if arguments.collectives and not arguments.on:
        raise UserError("only the nodes of a run on many nodes add up together", fix="Add --on slurm.")
    facts = load(arguments.facts) if arguments.facts else None
    # The worker comes to life while the config is read, which takes about as long.
    begun = _begun(arguments.on)
    place: Workers | None = begun or (None if arguments.on else Local())
    try:
        from preflight import run
        from preflight.records.memory import remember
        from preflight.reports.progress import Progress
        from preflight.verdict import decide

        settings = options.settings_of(arguments)
        if arguments.collectives:
            settings = _with_collectives(settings)
        if arguments.on:
            from preflight.places.naming import workers

            place = workers(arguments.on, settings, argv, begun)
        selection = options.selection_of(arguments)
        report = run.run(
            settings, selection=selection, strict=arguments.strict, facts=facts, watcher=Progress(), place=place
        )
    finally:
        if place is not None:
            place.close()
    _refuse_idle_names(report, selection.only, settings)
    report = remember(report, settings, whole=selection.whole and facts is None)
    verdict = decide(report)
    try:
        for places, file in lists:
            options.write(file, "".join(f"{name}\n" for name in places(report)))
    finally:
        options.show(report, verdict, views)
    return verdict.exit_code


def _begun(name: str) -> Nodes | None:
    if not name:
        return None
    from preflight.places.naming import early

    return early(name)


def _with_collectives(config: Config) -> Config:
    from dataclasses import replace

    from preflight.config import Nodes

    return replace(config, nodes=replace(config.nodes or Nodes(), collectives=True))


def _lists_of(arguments: argparse.Namespace) -> list[tuple[_Places, str]]:
    """Return which nodes are to be written to which file; raises UserError where that surely cannot be."""
    if not any(getattr(arguments, f"{name}_nodes") for name in _NODES):
        return []
    from preflight import verdict

    wanted: dict[str, _Places] = {"passing": verdict.passing_places, "failing": verdict.failing_places}
    lists = [(wanted[name], file) for name in _NODES if (file := getattr(arguments, f"{name}_nodes"))]
    for _, file in lists:
        folder = os.path.dirname(os.path.abspath(file))
        if not arguments.on:
            raise UserError("only a run on many nodes has passing and failing ones", fix="Add --on slurm.")
        if not os.path.isdir(folder):
            raise UserError(f"the list of nodes {file} cannot be written: there is no folder {folder}")
    return lists


def _refuse_idle_names(report: Report, only: Sequence[str], settings: Config) -> None:
    """Raise UserError where `--only` has a name that chose nothing, so that a slip of the pen is no GO."""
    from preflight.model import Status
    from preflight.worker.request import is_named

    if report.interrupted or any(each.status is Status.BROKEN for each in report.results):
        return
    for name in only:
        if not any(is_named(each.check, name) for each in report.results):
            from preflight.cli.explain import nearest, read_pages

            known = [page.id for page in read_pages(settings.root)]
            fix = f"{nearest(name, known)}`preflight list` shows what there is."
            if name in known:
                fix = f"`preflight explain {name}` says when it takes part."
            raise UserError(f"--only {name} chooses no check", fix=fix)
