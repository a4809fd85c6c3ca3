"""Writes the pages that are made from the source: docs/reference, docs/schema and the man page."""

import argparse
import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from preflight.cli.completion import parsers
from preflight.cli.explain import Page, met, read_pages
from preflight.cli.main import COMMANDS
from preflight.config.jsonschema import Schema, config_schema
from preflight.reports.schema import report_schema

HERE = Path(__file__).parent
MADE = "Made from the source by `make docs`; what is changed here is lost."
CODES = {
    "0": "GO",
    "1": "NO-GO",
    "2": "the command line or the config is wrong",
    "3": "NO VERDICT: something is BROKEN, or what the config asks for was SKIPPED",
    "125": "of gate and launch: the command was not started",
    "130": "interrupted",
}


def pages() -> dict[str, str]:
    """Return the text of each page by its path below docs/."""
    checks = [page for page in read_pages(HERE) if page.subject]
    return {
        "reference/checks.md": _joined(_checks(checks)),
        "reference/findings.md": _joined(_findings(checks)),
        "reference/config.md": _joined(_config(config_schema())),
        "reference/commands.md": _joined(_commands()),
        "schema/config.json": json.dumps(config_schema(), indent=2) + "\n",
        "schema/report-1.json": json.dumps(report_schema(), indent=2) + "\n",
        "preflight.1": _joined(_manual()),
    }


def _joined(lines: Iterator[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"


def _checks(checks: Sequence[Page]) -> Iterator[str]:
    yield from ("# Checks", "", MADE, "")
    seen = set()
    for page in sorted(checks, key=lambda each: each.family):
        if page.family not in seen:
            seen.add(page.family)
            yield from (f"## {page.family}", "", page.subject, "")
            yield from ("By hand:", "", *(f"    {line}".rstrip() for line in page.by_hand.splitlines()), "")
            yield from ("What helps:", "", *page.mend.splitlines(), "")
        yield from (f"### {page.id}", "", "```text", *(line.rstrip() for line in page.text.splitlines()), "```", "")


def _findings(checks: Sequence[Page]) -> Iterator[str]:
    yield from ("# Findings", "", MADE, "", "The rows in the last column are those of [failures](../failures.md).", "")
    yield from ("| finding | what it means | check | met in |", "| --- | --- | --- | --- |")
    found = sorted((name, text, page.id) for page in checks for name, text in page.findings.items())
    for name, text, check in found:
        yield f"| `{name}` | {_cell(text)} | `{check}` | {' '.join(row.number for row in met([name]))} |"


def _config(schema: Schema) -> Iterator[str]:
    yield from ("# Keys of the config", "", MADE, "")
    sections = schema["$defs"]
    for name in ["Config", *(each for each in sections if each != "Config")]:
        section = sections[name]
        yield from (f"## {name}", "", *section["description"].splitlines(), "")
        yield from ("| key | takes |", "| --- | --- |")
        keys = next(each for each in [section, *section.get("anyOf", [])] if "properties" in each)["properties"]
        for key, takes in keys.items():
            yield f"| `{key}` | {_cell('; '.join(dict.fromkeys(_takes(takes))))} |"
        yield ""


def _takes(schema: Schema) -> Iterator[str]:
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        yield f"[{name}](#{name.lower()})"
    if text := schema.get("description"):
        yield text
    for each in [*schema.get("anyOf", []), schema.get("items"), schema.get("additionalProperties")]:
        if each and isinstance(each, dict):
            yield from _takes(each)


def _commands() -> Iterator[str]:
    yield from ("# Commands", "", MADE, "")
    for name, parser in parsers().items():
        yield from (f"## preflight {name}", "", f"{parser.description}", "")
        taken = [(_heading(action), action.help or "") for action in _actions(parser)]
        if taken:
            yield from ("| | |", "| --- | --- |", *(f"| `{_cell(head)}` | {_cell(text)} |" for head, text in taken), "")


def _manual() -> Iterator[str]:
    yield '.TH PREFLIGHT 1 "2026-11-27" "preflight" "User Commands"'
    yield from (".SH NAME", r"preflight \- check what an experiment needs before it is launched")
    yield from (".SH SYNOPSIS", ".B preflight", ".I COMMAND", "[...]")
    yield from (".SH DESCRIPTION", "Checks imports, data, paths, GPUs and seeds, and says GO or NO\\-GO.")
    yield from (".SH COMMANDS",)
    for name, parser in parsers().items():
        yield from (f".SS preflight {name}", _roff(parser.description or COMMANDS[name]))
        for action in _actions(parser):
            yield from (".TP", f".B {_roff(_heading(action))}", _roff(action.help or ""))
    yield ".SH EXIT STATUS"
    for code, meaning in CODES.items():
        yield from (".TP", f".B {code}", _roff(meaning))
    yield ".SH FILES"
    yield from (".TP", ".I preflight.yaml", _roff("The config where no --config is given."))
    yield from (".TP", ".I .preflight/runs", _roff("The records of launched runs."))
    yield from (".SH SEE ALSO", ".BR pytest (1)", ".PP", "The page of a check or a finding:", ".B preflight explain ID")


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to tell what a parser takes
        if not isinstance(action, argparse._HelpAction):  # noqa: SLF001 - as above
            yield action


def _heading(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    value = metavar or "|".join(map(str, action.choices or ())) or ("" if action.nargs == 0 else action.dest.upper())
    return " ".join(each for each in [", ".join(action.option_strings), value if action.nargs != 0 else ""] if each)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("%%", "%")


def _roff(text: str) -> str:
    escaped = text.replace("%%", "%").replace("\\", "\\e").replace("-", "\\-")
    lines = textwrap.wrap(escaped, 78, break_on_hyphens=False, break_long_words=False)
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines) or "\\&"


def main() -> None:
    """Write them all."""
    for name, text in pages().items():
        (HERE / name).parent.mkdir(exist_ok=True)
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
