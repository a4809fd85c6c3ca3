"""Where checks lie: the built-in folder, the project's own, those of installed packages."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

FOLDER = "preflight_checks"
GROUP = "preflight.checks"


def builtin() -> Path:
    """Return the folder of the built-in checks, in an installation or in a checkout."""
    here = Path(__file__).resolve()
    installed = here.parent / FOLDER
    return installed if installed.is_dir() else here.parents[2] / FOLDER


def folders(root: Path) -> list[Path]:
    """Return all folders of checks for a project in `root`, each once, the built-in one first."""
    found = [builtin(), root / FOLDER, *(_folder_of(point.value) for point in entry_points(group=GROUP))]
    unique = dict.fromkeys(folder.resolve() for folder in found if folder is not None and folder.is_dir())
    return list(unique)


def check_files(folders: Iterable[Path]) -> list[Path]:
    """Return the check files of `folders`, in order."""
    return [file for folder in folders for file in sorted(folder.glob("check_*.py"))]


def imports_at_top(file: Path, names: Collection[str]) -> bool:
    """Tell whether `file` imports one of the modules `names` at its top; unreadable code imports nothing."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    for node in tree.body:
        if isinstance(node, ast.Import) and any(alias.name.partition(".")[0] in names for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] in names:
            return True
    return False


def _folder_of(module: str) -> Path | None:
    # Only the top-level package is looked up, since finding a submodule would run its parents.
    top, *rest = module.partition(":")[0].split(".")
    spec = find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)), *rest)
