"""All that is known of a project before a section is written for it: its config, and what its code says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from preflight.config.document import parse
from preflight.config.references import References
from preflight.draft.settings import Key, Setting, named, read_settings
from preflight.errors import UserError
from preflight.system.amounts import Amounts
from preflight.system.code import Program, find_notebooks, find_scripts, parse_file, read_program
from preflight.system.columns import CLASSES, Columns, read_columns
from preflight.system.demands import Demands, read_demands
from preflight.system.flow import Flow
from preflight.system.uses import Use, read_uses


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """`root` is where relative paths start from, `source` the config's own file, None where there is none.

    `scripts` are the programs, those that were named or those that were found.
    """

    root: Path
    source: Path | None
    scripts: Sequence[Path]
    settings: Sequence[Setting]
    program: Program
    flow: Flow
    uses: Sequence[Use]
    demands: Demands
    columns: Columns


def read_project(text: str, source: Path | None, scripts: Sequence[Path], root: Path) -> Project:
    """Return what a config of that text and the scripts say; raises UserError where one of them cannot be read."""
    document = parse(text, str(source or ""))
    settings = read_settings(document, References(document, str(source or ""), os.environ))
    scripts = scripts or find_scripts(root) or _notebooks(root)
    program = _read(scripts, root)
    flow = Flow(program.sources)
    amounts = Amounts(flow, lambda key: _value(key, settings, flow))
    return Project(
        root=root,
        source=source,
        scripts=scripts,
        settings=settings,
        program=program,
        flow=flow,
        uses=read_uses(flow, amounts),
        demands=read_demands(flow, amounts),
        columns=_with_classes(read_columns(flow, amounts), settings),
    )


def _notebooks(root: Path) -> list[Path]:
    """Return the notebooks that can be read."""
    found = []
    for path in find_notebooks(root):
        with suppress(OSError, SyntaxError, ValueError):
            parse_file(path)
            found.append(path)
    return found


def _value(key: Key, settings: Sequence[Setting], flow: Flow) -> object:
    """Return what the config has under a key, or what an option of that name has by default."""
    found = named(key, settings)
    if len(found) == 1:
        return found[0].value
    default = flow.defaults[key[-1]].parts if key[-1] in flow.defaults and not found else ()
    return int(default[0]) if len(default) == 1 and isinstance(default[0], str) and default[0].isdecimal() else None


def _with_classes(columns: Columns, settings: Sequence[Setting]) -> Columns:
    """Add the number of classes that the config has under one of its usual names."""
    numbers = {each.value for each in settings if each.name in CLASSES and type(each.value) is int}
    return replace(columns, classes=numbers.pop()) if len(numbers) == 1 else columns


def _read(scripts: Sequence[Path], root: Path) -> Program:
    try:
        return read_program(scripts, root)
    except OSError as error:
        raise UserError(f"the script cannot be read: {error.strerror}", where=str(error.filename)) from None
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"{error.filename}:{line}" if isinstance(error, SyntaxError) and line else ", ".join(map(str, scripts))
        raise UserError(f"this is no Python: {getattr(error, 'msg', error)}", where=where) from None
