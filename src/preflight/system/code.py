"""A project's source, read and never run: its files, and the modules that it imports in the order of the program."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

NOTEBOOK = ".ipynb"
# Loaded before the program's folder is looked at, so that no file of the project can take their place.
EARLY = frozenset(
    {*sys.builtin_module_names, "abc", "codecs", "encodings", "genericpath", "io", "os", "posixpath", "site", "stat"}
)

_IMPORT_ERRORS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
# `%matplotlib inline`, `!pip install …`, `frame?`
_MAGIC = re.compile(r"^(\s*)(?:[%!?].*|[\w.]+\?+)$")
_PROGRAMS = ("train.py", "main.py", "run.py", "__main__.py")
_EXITS = {"exit", "quit", "_exit", "abort"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file of the project."""

    path: Path
    tree: ast.Module


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A module that the program imports from outside the project.

    `optional` where the program goes on without it; `deferred` where it is imported in a function or under a
    condition, so that a run may never come there.
    """

    name: str
    file: Path
    line: int
    optional: bool = False
    deferred: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The scripts with all of the project that they import, and what they import besides."""

    sources: tuple[Source, ...]
    imports: tuple[Named, ...]


def parse_file(path: Path) -> Source:
    """Return the file's syntax tree; raises SyntaxError, ValueError or OSError where there is none."""
    text = path.read_bytes()
    try:
        return Source(path=path, tree=ast.parse(code_of_notebook(text) if path.suffix == NOTEBOOK else text, str(path)))
    except (RecursionError, MemoryError):
        raise ValueError("its expressions nest too deeply") from None


def code_of_notebook(text: bytes) -> str:
    """Return the code of a notebook without what only a notebook understands; raises ValueError where it is none."""
    import json

    try:
        cells = [cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    except (KeyError, TypeError):
        raise ValueError("it is no notebook") from None
    texts = ["".join(cell) for cell in cells]
    lines = [line for text in texts if not text.startswith("%%") for line in text.splitlines()]
    return "\n".join(_MAGIC.sub(r"\1pass", line) for line in lines)


def find_scripts(root: Path) -> list[Path]:
    """Return the programs of a folder: train.py, main.py or run.py, else every file with a `__main__` block.

    Where there is none, those of `scripts/`, of `src/` and of the packages are taken.
    """
    packages = (
        file.parent for pattern in ("src/*/__init__.py", "*/__init__.py") for file in sorted(root.glob(pattern))
    )
    folders = [each for each in [root / "scripts", root / "src", *packages] if each.name != "tests"]
    for some in ([root], folders):
        usual = [path for folder in some for name in _PROGRAMS if (path := folder / name).is_file()]
        if found := usual[:1] or [path for folder in some for path in sorted(folder.glob("*.py")) if _is_program(path)]:
            return found
    return []


def find_notebooks(root: Path) -> list[Path]:
    """Return the notebooks of a folder, and of `notebooks/` in it."""
    return sorted([*root.glob(f"*{NOTEBOOK}"), *root.glob(f"notebooks/*{NOTEBOOK}")])


def read_program(scripts: Sequence[Path], root: Path) -> Program:
    """Return what the scripts import, directly and by way of the project's own modules.

    A module of the standard library is left out, unless a file of the project stands in its place. Raises what
    `parse_file` raises for a script; other files of the project that cannot be parsed are passed over.
    """
    reader = _Reader(root)
    for script in scripts:
        reader.read_script(parse_file(script))
    return Program(sources=tuple(reader.sources.values()), imports=tuple(reader.imports.values()))


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` of such an expression, or an empty text."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else ""


def is_main_guard(test: ast.expr) -> bool:
    """Tell whether `test` is `__name__ == "__main__"`."""
    return isinstance(test, ast.Compare) and dotted(test.left) == "__name__"


def ends_program(body: Iterable[ast.stmt]) -> bool:
    """Tell whether one of the statements raises or exits."""
    for node in (each for statement in body for each in ast.walk(statement)):
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in _EXITS:
            return True
    return False


def catches_import_error(statement: ast.Try) -> bool:
    """Tell whether the program goes on where an import in the `try` fails."""
    for handler in statement.handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        caught = any(kind is None or dotted(kind).rpartition(".")[2] in _IMPORT_ERRORS for kind in kinds)
        if caught and not ends_program(handler.body):
            return True
    return False


@dataclass(frozen=True, slots=True)
class _Context:
    """Where a statement stands: in which file and package, and whether it counts."""

    source: Source
    package: str = ""
    optional: bool = False
    deferred: bool = False
    is_script: bool = False


class _Reader:
    """Goes through the statements as Python would, top level first, functions afterwards."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders: list[Path] = []
        self.sources: dict[Path, Source] = {}
        self.imports: dict[str, Named] = {}
        self._functions: list[tuple[Sequence[ast.stmt], _Context]] = []

    def read_script(self, source: Source) -> None:
        package = _package_of(source.path)
        top = source.path.absolute().parents[len(package)]
        self.folders = list(dict.fromkeys([source.path.parent, self.root, self.root / "src", top]))
        self.sources[source.path.resolve()] = source
        self._read(source.tree.body, _Context(source, package=".".join(package), is_script=True))
        while self._functions:
            body, context = self._functions.pop(0)
            self._read(body, replace(context, deferred=True))

    def _read(self, body: Iterable[ast.stmt], context: _Context) -> None:
        for statement in body:
            match statement:
                case ast.Import():
                    for alias in statement.names:
                        self._import(alias.name, statement, context)
                case ast.ImportFrom():
                    self._import_from(statement, context)
                case ast.If():
                    self._read_if(statement, context)
                case ast.Try():
                    self._read_try(statement, context)
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._functions.append((statement.body, context))
                case _:
                    self._read_other(statement, context)

    def _read_if(self, statement: ast.If, context: _Context) -> None:
        inner = replace(context, deferred=True)
        if is_main_guard(statement.test):
            self._read(statement.body if context.is_script else [], context)
        elif dotted(statement.test).rpartition(".")[2] != "TYPE_CHECKING":
            self._read(statement.body, inner)
        self._read(statement.orelse, inner)

    def _read_try(self, statement: ast.Try, context: _Context) -> None:
        inner = replace(context, optional=context.optional or catches_import_error(statement))
        self._read(statement.body, inner)
        for handler in statement.handlers:
            self._read(handler.body, replace(inner, deferred=True))
        self._read(statement.orelse, inner)
        self._read(statement.finalbody, context)

    def _read_other(self, statement: ast.stmt, context: _Context) -> None:
        """Go into classes, loops and `with`; find `import_module("name")` in the rest."""
        bodies = [getattr(statement, name, []) for name in ("body", "orelse")]
        cases = [case.body for case in getattr(statement, "cases", [])]
        for body in [*bodies, *cases]:
            self._read(body, context)
        if not any(bodies) and not cases:
            for name in _named_in_calls(statement):
                self._import(name, statement, context)

    def _import_from(self, statement: ast.ImportFrom, context: _Context) -> None:
        module = statement.module or ""
        if statement.level:
            parts = context.package.split(".")[: -(statement.level - 1) or None]
            module = ".".join(part for part in [*parts, module] if part)
        if not module:
            return
        self._import(module, statement, context)
        for alias in statement.names:
            if self._find(f"{module}.{alias.name}"):
                self._import(f"{module}.{alias.name}", statement, context)

    def _import(self, name: str, statement: ast.stmt, context: _Context) -> None:
        top = name.partition(".")[0]
        is_standard = top in sys.stdlib_module_names
        if top == "__future__" or (is_standard and (top in EARLY or not self._find(top))):
            return
        # In a package without `__init__.py` that holds packages alone, only the whole name leads to a file.
        if self._find(top) or self._find(name):
            for length in range(1, name.count(".") + 2):
                self._follow(".".join(name.split(".")[:length]), context)
            if not is_standard:
                return
        self._note(top if is_standard else name, statement, context)

    def _follow(self, name: str, context: _Context) -> None:
        path = self._find(name)
        if path is None or path.suffix != ".py" or path.resolve() in self.sources:
            return
        try:
            source = parse_file(path)
        except (SyntaxError, ValueError, OSError):
            return
        self.sources[path.resolve()] = source
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self._read(source.tree.body, replace(context, source=source, package=package, is_script=False))

    def _find(self, name: str) -> Path | None:
        """Return the file, or the folder without `__init__.py`, that the project has for a module."""
        relative = Path(*name.split("."))
        for folder in self.folders:
            for path in (folder / relative / "__init__.py", folder / relative.with_suffix(".py")):
                if path.is_file():
                    return path
        for folder in self.folders:
            if any((folder / relative).glob("*.py")) and not is_installed(name.partition(".")[0], self.root):
                return folder / relative
        return None

    def _note(self, name: str, statement: ast.stmt, context: _Context) -> None:
        known = self.imports.get(name)
        optional = context.optional and (known is None or known.optional)
        deferred = context.deferred and (known is None or known.deferred)
        place = known or Named(name=name, file=context.source.path, line=statement.lineno)
        self.imports[name] = replace(place, optional=optional, deferred=deferred)


def is_installed(name: str, root: Path) -> bool:
    """Tell whether the environment has the top-level module, by looking for its file only."""
    return name in sys.builtin_module_names or _installed_file(name, root) is not None


def is_loaded_with_parent(name: str, root: Path) -> bool:
    """Tell whether importing `torch` imports `torch.nn`, as far as the packages' own `__init__.py` tells."""
    top, *rest = name.split(".")
    file = _installed_file(top, root)
    for step in rest:
        if file is None or file.name != "__init__.py" or step not in _imported_names(file):
            return False
        below = file.parent / step / "__init__.py"
        file = below if below.is_file() else None
    return True


def _installed_file(name: str, root: Path) -> Path | None:
    from importlib.machinery import PathFinder

    inside = os.path.join(os.path.realpath(root), "")
    path = [
        entry
        for entry in sys.path
        if entry and ("site-packages" in entry or not os.path.join(os.path.realpath(entry), "").startswith(inside))
    ]
    try:
        spec = PathFinder.find_spec(name, path)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _imported_names(file: Path) -> set[str]:
    """Return every part of every name in the file's import statements."""
    try:
        tree = parse_file(file).tree
    except (SyntaxError, ValueError, OSError):
        return set()
    imports = [each for each in ast.walk(tree) if isinstance(each, ast.Import | ast.ImportFrom)]
    names = {alias.name for each in imports for alias in each.names}
    names |= {each.module for each in imports if isinstance(each, ast.ImportFrom) and each.module}
    return {part for name in names for part in name.split(".")}


def _named_in_calls(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in ("import_module", "__import__"):
            match node.args:
                case [ast.Constant(value=str(name)), *_] if name.replace(".", "").isidentifier() and name[0] != ".":
                    yield name


def _package_of(script: Path) -> list[str]:
    """Return the names of the packages that a file lies in, the outermost first."""
    folders = script.absolute().parents
    inner = next((number for number, each in enumerate(folders) if not (each / "__init__.py").is_file()), 0)
    return [each.name for each in reversed(folders[:inner])]


def _is_program(path: Path) -> bool:
    try:
        tree = parse_file(path).tree
    except (SyntaxError, ValueError, OSError):
        return False
    return any(isinstance(each, ast.If) and is_main_guard(each.test) for each in tree.body)
