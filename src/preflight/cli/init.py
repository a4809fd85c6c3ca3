"""`preflight init`: write the `preflight:` section of a config from the project, by reading its code."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preflight import draft, writing
from preflight.cli import options
from preflight.config import DEFAULT_SOURCE
from preflight.config.document import read_text
from preflight.phrases import counted


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("init", "Write the preflight: section from the project, without running its code.")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="the YAML to append the section to; default: preflight.yaml"
    )
    parser.add_argument("--print", action="store_true", dest="prints", help="print the section and write nothing")
    parser.add_argument(
        "scripts", metavar="SCRIPT", nargs="*", type=Path, help="the program; default: it is looked for"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Write or print the section and return 0."""
    arguments = parser().parse_args(argv)
    source = arguments.config or DEFAULT_SOURCE
    text = read_text(source) if arguments.config or os.path.lexists(source) else ""
    # A mistake that needs no look at the code is told first.
    if not arguments.prints:
        draft.append(text, "preflight: {}\n", str(source))
    section = draft.draft(text, source, arguments.scripts, Path.cwd())
    written = draft.write(section)
    if arguments.prints:
        options.say(written)
        return 0
    addition = draft.append(text, written, str(source)).encode()
    writing.save({source: (source.read_bytes() if source.exists() else b"") + addition})
    options.say(f"{source}: {_summary(section)}\n")
    return 0


def _summary(section: dict[str, Any]) -> str:
    parts = [counted(len(section.get("imports", [])), "import"), f"{len(section.get('data', []))} data"]
    parts += [counted(len(section.get("paths", [])), "path")]
    rest = [key for key in ("packages", "system", "gpu", "seeds", "rehearsal") if key in section]
    return f"`preflight:` added with {', '.join([*parts, *rest])}"
