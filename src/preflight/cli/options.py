"""What several commands take: the config, the selection of checks, the formats and where they go."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preflight import writing
from preflight.errors import UserError
from preflight.reports import FORMATS, render
from preflight.reports.text import has_colors, printable
from preflight.worker.request import Selection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.config import Config
    from preflight.model import Report
    from preflight.records.folder import Records, Run
    from preflight.verdict import Verdict


@dataclass(frozen=True, slots=True)
class View:
    """A format and the file that it goes to; without one it goes to the standard output."""

    form: str
    output: str = ""


class _AddView(argparse.Action):
    """Pairs each `--output` with the `--format` in front of it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        views: list[View] = list(namespace.views)
        if option_string == "--format":
            views.append(View(str(values)))
        elif not views or views[-1].output:
            parser.error("--output needs a --format of its own in front of it")
        else:
            views[-1] = replace(views[-1], output=str(values))
        namespace.views = views


def command_parser(command: str, description: str) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    return argparse.ArgumentParser(prog=f"preflight {command}", description=description, allow_abbrev=False)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the name of a run, and the config that says where records are kept."""
    add_config(parser)
    parser.add_argument("run", metavar="RUN", help="the name of the run, as `preflight runs` shows it")


def run_of(arguments: argparse.Namespace) -> Run:
    """Return the run that `add_run` read the name of; raises UserError where there is none."""
    return records_of(arguments).run(arguments.run)


def note(line: str) -> None:
    """Say a line on the standard error, since the standard output is the job's."""
    from preflight.reports.text import visible

    sys.stderr.write(printable(f"preflight: {visible(line)}\n", sys.stderr))
    sys.stderr.flush()


def split_command(parser: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return what stands in front of `--`, parsed, and the command behind it as it is; refuses where there is none."""
    own = list(argv)
    command = own[own.index("--") + 1 :] if "--" in own else []
    arguments = parser.parse_args(own[: own.index("--")] if "--" in own else own)
    if not command:
        parser.error("the command to start is missing; it stands behind `--`")
    return arguments, command


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="the experiment's YAML; default: preflight.yaml, where there is one"
    )


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose among the checks."""
    parser.add_argument(
        "--only",
        metavar="ID",
        nargs="+",
        action="extend",
        default=[],
        help="a check's id, with or without its [entry], a family, or a glob",
    )
    parser.add_argument("--tag", metavar="TAG", nargs="+", action="extend", default=[], help="checks with this tag")
    parser.add_argument("-k", metavar="EXPR", default="", help="checks whose names match, as in pytest's -k")


def settings_of(arguments: argparse.Namespace) -> Config:
    """Return the config; where its file has no section, with one that is read from the project's code.

    Nothing is written. Raises UserError for every mistake in the file, and where the code cannot be read.
    """
    from preflight.config import load
    from preflight.config.document import parse

    config = load(arguments.config)
    if "preflight" in parse(config.text, config.source).value:
        return config
    from preflight.draft import append, draft, write

    source = Path(config.source) if config.source else None
    section = write(draft(config.text, source, (), config.root))
    try:
        text = config.text + append(config.text, section, config.source)
    except UserError:  # a file that nothing can follow
        return config
    return replace(load(source, text=text), root=config.root, drafted=True)


def records_of(arguments: argparse.Namespace) -> Records:
    """Return the records of the project that the config names, or that the working directory lies in."""
    from preflight.records.folder import DEFAULT, Records

    # To know what a config may say takes longer than to list thousands of runs.
    if arguments.config is not None or os.path.lexists("preflight.yaml"):
        from preflight.config import load

        return Records.of(load(arguments.config))
    here = Path.cwd()
    return Records(next((each for each in (here, *here.parents) if (each / DEFAULT).is_dir()), here) / DEFAULT)


def selection_of(arguments: argparse.Namespace) -> Selection:
    """Return what `add_selection` read."""
    return Selection(only=tuple(arguments.only), tags=tuple(arguments.tag), keyword=arguments.k)


def add_views(parser: argparse.ArgumentParser) -> None:
    """Add `--format` and `--output`, which can be repeated."""
    parser.set_defaults(views=[])
    parser.add_argument(
        "--format",
        action=_AddView,
        choices=list(FORMATS),
        dest="views",
        help="how to show the report; can be repeated, each with an --output of its own",
    )
    parser.add_argument(
        "--output", action=_AddView, metavar="FILE", dest="views", help="where that --format is written"
    )


def views_of(arguments: argparse.Namespace) -> list[View]:
    """Return what `add_views` read; unless a format goes to the standard output, the terminal's page is shown there.

    In a job of GitHub Actions that is GitHub's own format. Raises UserError where a file can surely not be written:
    after a long run is too late to learn it.
    """
    views: list[View] = arguments.views
    shown = [view for view in views if not view.output]
    if len(shown) > 1:
        raise UserError(f"--format {shown[1].form} has no --output, and only one format can go to the standard output")
    for view in views:
        folder = os.path.dirname(os.path.abspath(view.output))
        if view.output and not os.path.isdir(folder):
            raise UserError(f"--output {view.output}: there is no folder {folder}", fix=f"mkdir -p {folder}")
        if view.output and os.path.isdir(view.output):
            raise UserError(f"--output {view.output} is a folder", fix="Name a file in it.")
    page = "github" if os.environ.get("GITHUB_ACTIONS") == "true" else "terminal"
    return views if shown else [View(page), *views]


def show(report: Report, verdict: Verdict, views: Sequence[View]) -> None:
    """Write the report to each file, then show it; a file that cannot be written does not keep it from being shown."""
    try:
        for view in views:
            if view.output:
                write(view.output, render(view.form, report, verdict))
    finally:
        for view in views:
            if not view.output:
                say(_shown(view, report, verdict))
                if view.form == "github":
                    _summarize(report, verdict)


def _summarize(report: Report, verdict: Verdict) -> None:
    """Append the report to the summary of the step, where GitHub's runner names a file for it."""
    from preflight.reports import markdown

    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not file:
        return
    try:
        with open(file, "ab") as summary:
            page = markdown.render(report, verdict, limit=markdown.LIMIT - summary.tell())
            summary.write(page.encode("utf-8", "backslashreplace"))
    except OSError as problem:
        note(f"the summary cannot be written to {file}: {problem.strerror}")


def _shown(view: View, report: Report, verdict: Verdict) -> str:
    if view.form != "terminal" or not has_colors(sys.stdout):
        return render(view.form, report, verdict)
    from preflight.reports import terminal

    return terminal.render(report, verdict, terminal.colored)


def say(text: str) -> None:
    """Print `text` in whatever encoding there is; a reader who has gone away (`| head`) is no mistake."""
    try:
        sys.stdout.write(printable(text, sys.stdout))
        sys.stdout.flush()
    except OSError as problem:
        # What is still buffered would be tried again, and complained about, when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(problem, BrokenPipeError):
            raise UserError(f"the standard output cannot be written: {problem.strerror}") from None


def write(path: str, text: str) -> None:
    """Write a file as a whole or not at all; a device or a pipe is written as it is."""
    data = text.encode("utf-8", "backslashreplace")
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            Path(path).write_bytes(data)
        else:
            writing.replace({Path(path): data})
    except OSError as problem:
        raise UserError(f"--output {path} cannot be written: {problem.strerror}") from None
