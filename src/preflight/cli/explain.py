"""`preflight explain`: the page of a check or of a finding, read from docstrings without running anything."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preflight import config, drift, verdict
from preflight.cli import options
from preflight.discovery import check_files, folders
from preflight.errors import UserError
from preflight.reports.text import visible

_FINDING = re.compile(r" *([a-z0-9]+(?:-[a-z0-9]+)*\.[a-z0-9]+(?:-[a-z0-9]+)*)(?: {2,}(\S.*))?")

# What is found by looking at all results, or all nodes, and not by a check of its own.
_JUDGES: Mapping[str, Callable[..., object]] = {
    "config.ignores-are-used": verdict.ignores_are_used,
    drift.CHECK: drift.are_alike,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The manual page of a check: its docstring, and what it says of each finding."""

    id: str
    text: str
    file: str
    line: int
    findings: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The first line, which is a claim."""
        return self.text.partition("\n")[0]


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("explain", "Print the page of a check or of a finding.")
    parser.add_argument(
        "id", metavar="ID", help="a check, a finding or a family: data.is-there, data.lfs-pointer, data"
    )
    options.add_config(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Print what is known of the id."""
    arguments = parser().parse_args(argv)
    pages = list(read_pages(_root(arguments.config)))
    wanted = arguments.id.partition("[")[0]
    lines = list(_about(wanted, pages))
    if not lines:
        near = nearest(wanted, [name for page in pages for name in (page.id, *page.findings)])
        raise UserError(f"{arguments.id} is no check and no finding", fix=f"{near}`preflight list` shows the checks.")
    options.say("\n".join(visible(line) for line in lines).rstrip("\n") + "\n")
    return 0


def _root(source: Path | None) -> Path:
    try:
        return config.load(source).root
    except UserError:
        if source is not None:
            raise
        return Path()  # a mistake in preflight.yaml is no reason to explain nothing


def read_pages(root: Path) -> Iterator[Page]:
    """Yield the pages of all checks of a project: the built-in ones, its own, those of installed packages."""
    for file in check_files(folders(root)):
        try:
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue  # `run` tells what is wrong with it
        family = file.stem.removeprefix("check_").replace("_", "-")
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("check_"):
                name = node.name.removeprefix("check_").replace("_", "-")
                yield _page(f"{family}.{name}", ast.get_docstring(node) or "", str(file), node.lineno)
    for name, function in _JUDGES.items():
        line = inspect.getsourcelines(function)[1]
        yield _page(name, inspect.getdoc(function) or "", str(inspect.getsourcefile(function)), line)


def nearest(name: str, known: Sequence[str]) -> str:
    """Return a question that names what `name` may have been meant to be, or nothing."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return f"Do you mean {near[0]}? " if near else ""


def _page(name: str, text: str, file: str, line: int) -> Page:
    return Page(id=name, text=text, file=file, line=line, findings=_findings(text))


def _findings(text: str) -> dict[str, str]:
    """Return what a docstring says of each finding: a line that begins with its id, and the deeper ones below it."""
    found: dict[str, str] = {}
    current, depth = "", 0
    for line in text.splitlines()[1:]:
        indent = len(line) - len(line.lstrip())
        if match := _FINDING.fullmatch(line):
            current, depth = match[1], indent
            found[current] = match[2] or ""
        elif current and line.strip() and indent > depth:
            found[current] = f"{found[current]} {line.strip()}".strip()
        else:
            current = ""
    return found


def _about(name: str, pages: Sequence[Page]) -> Iterator[str]:
    for page in pages:
        if name in page.findings:
            yield from (name, f"    {page.findings[name]}", "")
    for page in pages:
        if name == page.id or name in page.findings:
            yield from (page.id, f"    {page.file}:{page.line}", "")
            yield from (f"    {line}".rstrip() for line in page.text.splitlines())
            yield ""
    for page in pages:
        if page.id.partition(".")[0] == name:
            yield f"{page.id}  {page.title}"
