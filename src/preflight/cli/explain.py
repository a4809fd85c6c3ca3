"""`preflight explain`: the page of a check or of a finding, read from docstrings without running anything."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from preflight import config, drift, verdict
from preflight.cli import options
from preflight.collectives import together
from preflight.discovery import builtin, check_files, folders
from preflight.errors import UserError
from preflight.reports.text import visible

_FINDING = re.compile(r" *([a-z0-9]+(?:-[a-z0-9]+)*\.[a-z0-9]+(?:-[a-z0-9]+)*)(?: {2,}(\S.*))?")

# What is found by looking at all results, or all nodes, and not by a check of its own.
_JUDGES: Mapping[str, Callable[..., object]] = {
    "config.ignores-are-used": verdict.ignores_are_used,
    drift.CHECK: drift.are_alike,
    together.CHECK: together.add_up_together,
}
_ROW = re.compile(r"\| ([A-Z]\d+) \| (.+?) \| (.+?) \|(.*)")
_LINK = re.compile(r"\]\((https:.+?)\)")
_BY_HAND, _MEND = "See it by hand:", "Mend it:"
_WIDTH = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The manual page of a check: its docstring, and what it says of each finding.

    `by_hand` and `mend` are what the docstring of its file says under those words for all of its checks: commands that
    show the same without preflight, and what helps. `subject` is the first line of that docstring.
    """

    id: str
    text: str
    file: str
    line: int
    findings: Mapping[str, str] = field(default_factory=dict)
    subject: str = ""
    by_hand: str = ""
    mend: str = ""

    @property
    def family(self) -> str:
        """The first word of the id."""
        return self.id.partition(".")[0]

    @property
    def title(self) -> str:
        """The first line, which is a claim."""
        return self.text.partition("\n")[0]


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("explain", "Print the page of a check or of a finding.")
    parser.add_argument(
        "id",
        metavar="ID",
        nargs="?",
        default="",
        help="a check, a finding or a family: data.is-readable, data.lfs-pointer, data; default: list the families",
    )
    options.add_config(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Print what is known of the id."""
    arguments = parser().parse_args(argv)
    pages = list(read_pages(_root(arguments.config)))
    wanted = arguments.id.partition("[")[0]
    lines = list(_about(wanted, pages) if arguments.id else _families(pages))
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
        about = ast.get_docstring(tree) or ""
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("check_"):
                name = node.name.removeprefix("check_").replace("_", "-")
                yield _page(f"{family}.{name}", ast.get_docstring(node) or "", str(file), node.lineno, about)
    for name, function in _JUDGES.items():
        line = inspect.getsourcelines(function)[1]
        about = inspect.getdoc(inspect.getmodule(function)) or ""
        yield _page(name, inspect.getdoc(function) or "", str(inspect.getsourcefile(function)), line, about)


def nearest(name: str, known: Sequence[str]) -> str:
    """Return a question that names what `name` may have been meant to be, or nothing."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return f"Do you mean {near[0]}? " if near else ""


def _page(name: str, text: str, file: str, line: int, about: str) -> Page:
    return Page(
        id=name,
        text=text,
        file=file,
        line=line,
        findings=_findings(text),
        subject=about.partition("\n")[0],
        by_hand=_part(about, _BY_HAND),
        mend=_part(about, _MEND),
    )


def _part(about: str, head: str) -> str:
    """Return what is indented below a line of a docstring."""
    lines = iter(about.partition(f"\n{head}\n")[2].splitlines())
    taken: list[str] = []
    for line in lines:
        if line and not line.startswith(" "):
            break
        taken.append(line)
    return textwrap.dedent("\n".join(taken)).strip("\n")


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


class Row(NamedTuple):
    """A row of docs/failures.md: its number, what happened, and the addresses of threads in which people tell it."""

    number: str
    what: str
    threads: tuple[str, ...]


def met(names: Iterable[str]) -> list[Row]:
    """Return the rows of docs/failures.md that these findings answer."""
    try:
        text = (builtin().parent / "docs" / "failures.md").read_text(encoding="utf-8")
    except OSError:
        return []
    wanted = {f"`{name}`" for name in names}
    rows = (match for line in text.splitlines() if (match := _ROW.match(line)))
    return [Row(row[1], row[2], tuple(_LINK.findall(row[4]))) for row in rows if wanted & set(row[3].split())]


def _families(pages: Sequence[Page]) -> Iterator[str]:
    subjects: dict[str, str] = {}
    for page in pages:
        if not subjects.get(page.family):
            subjects[page.family] = page.subject
    width = max(map(len, subjects))
    for family, subject in sorted(subjects.items()):
        yield from _filled(subject, f"{family:<{width}}  ")
    yield ""
    yield "`preflight explain data` lists the checks of a family and what they find."


def _about(name: str, pages: Sequence[Page]) -> Iterator[str]:
    asked = [page for page in pages if name == page.id or name in page.findings]
    for page in asked:
        if name in page.findings:
            yield name
            yield from _filled(page.findings[name], "    ")
            yield ""
    for page in asked:
        yield page.id
        yield from (f"    {page.file}:{page.line}", "")
        yield from _folded(page.text)
        yield from _advice(page, [name] if name in page.findings else [page.id, *page.findings])
    family = [page for page in pages if page.family == name]
    for page in family:
        yield from _filled(page.title, f"{page.id}  ")
    findings = {each: text for page in family for each, text in page.findings.items()}
    width = max(map(len, findings), default=0)
    for each, text in findings.items():
        yield from _filled(text, f"    {each:<{width}}  ")


def _advice(page: Page, names: Sequence[str]) -> Iterator[str]:
    yield "how to see it"
    # What judges a whole run cannot be chosen alone.
    yield "    preflight run" if page.id in _JUDGES else f"    preflight run --only {page.id}"
    yield from (f"    {line}".rstrip() for line in page.by_hand.splitlines())
    yield ""
    yield "how to fix it"
    for line in page.mend.splitlines():
        yield from [f"    {line}"] if line.startswith(" ") else _filled(line, "    ")
    yield from _filled("The run says under `fix` what helps against what it found there.", "    ")
    yield ""
    if rows := met(names):
        yield "where it was met (docs/failures.md)"
        for row in rows:
            yield from _filled(row.what, f"    {row.number}  ")
            yield from (f"         {thread}" for thread in row.threads)
        yield ""


def _folded(text: str) -> Iterator[str]:
    """Yield a docstring in lines that a terminal shows whole: paragraphs filled, what is indented left in its place."""
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.splitlines()
        if any(line.startswith(" ") or _FINDING.fullmatch(line) for line in lines):
            for line in lines:
                start = re.match(r" *(?:\S+ {2,})?", line)
                yield from _filled(line[start.end() :], f"    {start[0]}") if start else [line]
        else:
            yield from _filled(" ".join(lines), "    ")
        yield ""


def _filled(text: str, start: str) -> list[str]:
    """Return `text` behind `start`, its further lines below the first; a word that is too long stays whole."""
    indent = " " * min(len(start), _WIDTH // 2)
    return textwrap.wrap(
        text, _WIDTH, initial_indent=start, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [start.rstrip()]
