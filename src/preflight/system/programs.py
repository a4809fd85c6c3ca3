"""The program that a job runs: its script with all of the project that it imports, and what of that is no Python."""

from __future__ import annotations

import ast
import shlex
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from preflight.system.code import Program, find_scripts, parse_file, read_program

NOTHING = Program(sources=(), imports=())


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPython:
    """A file that Python cannot compile, and why."""

    file: Path
    line: int
    message: str


def scripts_of(commands: Iterable[str], modules: Iterable[str], root: Path) -> list[Path]:
    """Return the scripts that the commands run, else those that the folder seems to have and its own `modules`."""
    words = [word for command in commands for word in _words(command)]
    named = [file for word in words if word.endswith(".py") and (file := root / word).is_file()]
    own = [file for module in modules for file in _files_of(module, [root, root / "src"])]
    return list(dict.fromkeys(named or [*find_scripts(root), *own]))


def read_scripts(scripts: Iterable[Path], root: Path) -> Program:
    """Return what the scripts that can be parsed hold and import."""
    readable = [script for script in scripts if no_python(script) is None]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_program(readable, root)
    except (OSError, SyntaxError, ValueError):
        return NOTHING


def not_compiling(scripts: Iterable[Path], root: Path) -> Iterator[NoPython]:
    """Yield the scripts, and the files of the project that they import at any depth, which are no Python."""
    scripts = list(scripts)
    folders = list(dict.fromkeys([*(script.parent for script in scripts), root, root / "src"]))
    program = read_scripts(scripts, root)
    files = [*scripts, *(source.path for source in program.sources)]
    for source in program.sources:
        for module in _imported_at_top(source.tree):
            files += _files_of(module, [*folders, source.path.parent])
    for file in dict.fromkeys(file.resolve() for file in files):
        if problem := no_python(file):
            yield problem


def no_python(file: Path) -> NoPython | None:
    """Return why the file cannot be compiled, None where it can or cannot be read at all."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(parse_file(file).tree, str(file), "exec", dont_inherit=True)
    except SyntaxError as error:
        return NoPython(file=file, line=error.lineno or 0, message=error.msg)
    except (ValueError, OSError, RecursionError):
        return None
    return None


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _imported_at_top(tree: ast.Module) -> Iterator[str]:
    """Yield the modules that importing a file surely imports, the relative ones by their own name."""
    for statement in tree.body:
        match statement:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names):
                yield from ([module] if module else [alias.name for alias in names])


def _files_of(module: str, folders: Iterable[Path]) -> list[Path]:
    """Return the file of a module of the project, with those of the packages around it."""
    parts = module.split(".")
    for folder in folders:
        found = [
            file
            for length in range(1, len(parts) + 1)
            for file in (Path(folder, *parts[:length], "__init__.py"), Path(folder, *parts[:length]).with_suffix(".py"))
            if file.is_file()
        ]
        if found:
            return found
    return []
