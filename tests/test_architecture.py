"""What keeps the source readable: layers, sizes, opening sentences, and a start that loads nothing heavy."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
HEAVY = {"torch", "numpy", "pandas"}
SLOW_TO_IMPORT = {"pytest", "rich", "yaml", "psutil", "pynvml", "asyncio", "multiprocessing", "email", "http", "xml"}
MOST_LINES = 400


def read_layers() -> dict[str, int]:
    """Return the rank of each module or folder that the table in CONTRIBUTING.md names; the topmost row has rank 0."""
    table = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("| --- | --- | --- |")[2]
    rows = re.findall(r"^\| \w+ \|([^|]+)\|", table, re.MULTILINE)
    return {name: rank for rank, row in enumerate(rows) for name in re.findall(r"`(\w+)`", row)}


def find_modules() -> dict[str, Path]:
    """Return the source files by the name that others import them by."""
    modules = {}
    for path in sorted([*REPOSITORY.glob("src/preflight/**/*.py"), *REPOSITORY.glob("preflight_checks/*.py")]):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        parts = parts[1:] if parts[0] == "src" else parts
        modules[".".join(parts).removesuffix(".__init__")] = path
    return modules


LAYERS = read_layers()
MODULES = find_modules()
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), str(path)) for name, path in MODULES.items()}


def room_of(module: str) -> str:
    """Return the name under which the table lists a module; the package itself re-exports the words of `check`."""
    first, *rest = module.split(".")
    return first if first != "preflight" else rest[0] if rest else "check"


def imports_of(module: str) -> set[str]:
    """Return the modules of this project that `module` imports, anywhere in its text, type hints' imports included."""
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively in line {node.lineno}"
            inner = {f"{node.module}.{name.name}" for name in node.names}
            found |= inner if inner <= MODULES.keys() else {str(node.module), *inner}
    return found & MODULES.keys()


def test_the_table_names_every_module_and_no_other() -> None:
    assert set(LAYERS) == {room_of(module) for module in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_toward_the_words(module: str) -> None:
    rank = LAYERS.get(room_of(module), len(LAYERS))
    later = {each for each in imports_of(module) if LAYERS.get(room_of(each), 0) > rank}
    assert not later, f"{module} imports {later}, which stand in a later row of the table in CONTRIBUTING.md"


def test_no_circle_of_imports() -> None:
    list(graphlib.TopologicalSorter({module: imports_of(module) - {module} for module in MODULES}).static_order())


@pytest.mark.parametrize("module", MODULES)
def test_opens_with_one_sentence(module: str) -> None:
    docstring = ast.get_docstring(TREES[module]) or ""
    assert docstring.partition("\n")[0].endswith("."), f"{module} has no sentence that says what it is for"


@pytest.mark.parametrize("module", MODULES)
def test_is_not_too_long(module: str) -> None:
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("module", MODULES)
def test_nothing_of_the_experiment_is_imported_at_the_top(module: str) -> None:
    statements = [node for node in TREES[module].body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [name.name for node in statements for name in node.names] + [
        getattr(node, "module", "") for node in statements
    ]
    assert not HEAVY & {name.partition(".")[0] for name in names}


def test_the_command_starts_light() -> None:
    program = "import sys, preflight.__main__, preflight.cli.main; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not (SLOW_TO_IMPORT | HEAVY) & set(loaded)
