"""Which backend matplotlib would draw with, and whether it wants a screen that is not there."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from preflight.system.code import Source, dotted, is_main_guard

# Lower case, as matplotlib compares them; those with no window, or with a browser's, are left out.
_WINDOWED = {
    f"{kit}{how}" for kit in ("tk", "qt", "qt4", "qt5", "qt6", "gtk3", "gtk4", "wx") for how in ("agg", "cairo")
}
_WINDOWED |= {"wx", "macosx"}
_CHOOSING = {
    "matplotlib.use",
    "mpl.use",
    "plt.switch_backend",
    "matplotlib.pyplot.switch_backend",
    "pyplot.switch_backend",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A backend by name, and what chose it: a line of the code, MPLBACKEND, or a matplotlibrc."""

    name: str
    file: str
    line: int = 0

    @property
    def is_windowed(self) -> bool:
        """True where it opens windows."""
        return self.name.lower() in _WINDOWED


def has_screen() -> bool:
    """Tell whether there is a display to open windows on; True outside Linux, where no variable tells."""
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def chosen_backend(sources: Iterable[Source], root: Path) -> Backend | None:
    """Return the backend that a run with this code surely asks for, None where it leaves the choice to matplotlib."""
    chosen = [backend for source in sources for backend in _chosen_in(source.tree.body, source.path)]
    if chosen:
        return chosen[-1]
    if name := os.environ.get("MPLBACKEND"):
        return Backend(name=name, file="MPLBACKEND")
    return _from_file(root)


def imports_pyplot(sources: Iterable[Source]) -> bool:
    """Tell whether the code imports what draws with a backend."""
    return any(
        name.startswith(("matplotlib.pyplot", "pylab", "seaborn"))
        for source in sources
        for node in ast.walk(source.tree)
        for name in _imported(node)
    )


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{name.name}" for name in node.names]
    return []


def _chosen_in(body: Iterable[ast.stmt], path: Path) -> Iterator[Backend]:
    """Give what the statements choose that are run in any case: none below `if` or `try`."""
    for statement in body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and dotted(call.func) in _CHOOSING and call.args:
            name = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
            if isinstance(name, str):
                yield Backend(name=name, file=str(path), line=call.lineno)
        elif isinstance(statement, ast.FunctionDef | ast.With | ast.For | ast.While) or (
            isinstance(statement, ast.If) and is_main_guard(statement.test)
        ):
            yield from _chosen_in(statement.body, path)


def _from_file(root: Path) -> Backend | None:
    """Read the first matplotlibrc that matplotlib would find."""
    named = os.environ.get("MATPLOTLIBRC")
    settings = os.environ.get("MPLCONFIGDIR") or os.path.join(
        os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "matplotlib"
    )
    candidates = [root / "matplotlibrc", *([Path(named), Path(named, "matplotlibrc")] if named else [])]
    for file in [*candidates, Path(settings, "matplotlibrc")]:
        if file.is_file():
            with suppress(OSError, UnicodeDecodeError):
                for line in file.read_text(encoding="utf-8").splitlines():
                    key, _, value = line.partition("#")[0].partition(":")
                    if key.strip() == "backend" and value.strip():
                        return Backend(name=value.strip(), file=str(file))
            return None
    return None
