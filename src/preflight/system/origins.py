"""Where modules come from, and which of them hides another: the project, PYTHONPATH, user site, environment."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.machinery import ModuleSpec, PathFinder, all_suffixes
from itertools import pairwise
from pathlib import Path

from preflight.system.modules import Imported


class Source(StrEnum):
    """Which part of the module search path a file lies on, in the order in which Python searches."""

    PROJECT = "the project"
    PYTHONPATH = "PYTHONPATH"
    STANDARD_LIBRARY = "the standard library"
    USER_SITE = "the user site"
    ENVIRONMENT = "the environment"
    ELSEWHERE = "elsewhere"


STRAY = (Source.PYTHONPATH, Source.USER_SITE)
INSTALLED = (Source.ENVIRONMENT, Source.STANDARD_LIBRARY)


@dataclass(frozen=True, slots=True)
class SearchPath:
    """The folders that modules come from, each with its source, in the order in which Python searches them.

    `roots` are those among them that are the project itself, and no installation.
    """

    folders: tuple[tuple[str, Source], ...]
    roots: tuple[str, ...] = ()

    @classmethod
    def of(cls, root: Path) -> SearchPath:
        """Read the search path that a program in `root` would have, whatever `sys.path` is here."""
        import site
        import sysconfig

        paths = sysconfig.get_paths()
        project = os.path.realpath(root)
        found = [
            (folder, Source.ENVIRONMENT) for folder in (paths["purelib"], paths["platlib"], *site.getsitepackages())
        ]
        found += [(paths[key], Source.STANDARD_LIBRARY) for key in ("stdlib", "platstdlib")]
        found += [(project, Source.PROJECT), (str(root), Source.PROJECT)]
        if site.ENABLE_USER_SITE:
            found.append((site.getusersitepackages(), Source.USER_SITE))
        for folder in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
            inside = _is_below(os.path.realpath(folder), project)
            found.append((folder, Source.PROJECT if inside else Source.PYTHONPATH))
        unique: dict[str, Source] = {}
        for folder, source in found:
            for way in (os.path.abspath, os.path.realpath):
                unique.setdefault(way(folder), source)
        as_python_searches = sorted(unique.items(), key=lambda entry: list(Source).index(entry[1]))
        return cls(tuple(as_python_searches), (os.path.abspath(root), project))

    def of_file(self, file: str) -> tuple[str, Source]:
        """Return the innermost folder that `file` lies in, and its source; `("", ELSEWHERE)` where none does."""
        above = [(folder, source) for folder, source in self.folders if _is_below(os.path.abspath(file), folder)]
        return max(above, key=lambda entry: len(entry[0]), default=("", Source.ELSEWHERE))

    def source(self, file: str) -> Source:
        """Return the source that `file` comes from."""
        return self.of_file(file)[1]

    def folders_of(self, *sources: Source) -> list[str]:
        """Return the folders of `sources`, in order."""
        return [folder for folder, source in self.folders if source in sources]

    @property
    def installations(self) -> list[str]:
        """The folders in which distributions may be installed."""
        return [f for f, source in self.folders if source is not Source.STANDARD_LIBRARY and f not in self.roots]

    def find(self, name: str, *sources: Source) -> ModuleSpec | None:
        """Return what `import name` finds in the folders of `sources`, without running any of it."""
        return PathFinder.find_spec(name, self.folders_of(*sources))

    def top_level(self, file: str) -> str:
        """Return the import name of the module or package at the top of which `file` lies, empty where none."""
        folder, _ = self.of_file(file)
        return os.path.relpath(file, folder).split(os.sep)[0].partition(".")[0] if folder else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A module that is found before another of the same name: `file` hides `hidden`."""

    name: str
    file: str
    source: Source
    hidden: str
    hidden_source: Source


def shadow(file: str, path: SearchPath) -> Shadow | None:
    """Return what the module or package that holds `file` hides, None where it hides nothing."""
    source, name = path.source(file), path.top_level(file)
    if not name or source not in (Source.PROJECT, *STRAY):
        return None
    hidden_source = Source.STANDARD_LIBRARY if name in sys.stdlib_module_names else Source.ENVIRONMENT
    hidden, here = path.find(name, hidden_source), path.find(name, source)
    if hidden is None or hidden.origin is None or here is None or here.origin in (None, hidden.origin):
        return None
    return Shadow(name=name, file=str(here.origin), source=source, hidden=hidden.origin, hidden_source=hidden_source)


def tripped(imported: Imported, path: SearchPath) -> Shadow | None:
    """Return the shadow that a failed import fell over, None where the failure shows none.

    A file that merely has the name of another is no answer: somebody must have wanted the other one, which shows where
    installed code reaches it, where what is missing in it is there in the other, or where the error
    arose in a stray copy.
    """
    for file in _reached(imported, path):
        if found := shadow(file, path):
            return found
    return None


def lacks(found: Shadow, name: str, path: SearchPath) -> bool:
    """Say whether a name is not in the file that is found first, and is in the one that it hides."""
    here = path.find(found.name, found.source)
    is_open = mentions(here, "__getattr__") or re.search(r"import \*", _text(found.file)) is not None
    return not is_open and not mentions(here, name) and mentions(path.find(found.name, found.hidden_source), name)


def plain_folder(name: str, path: SearchPath) -> str:
    """Return the folder without any Python file that `import name` takes for a package, empty where that is not so."""
    spec = path.find(name, Source.PROJECT, *STRAY, *INSTALLED)
    if spec is None or spec.origin is not None or not spec.submodule_search_locations:
        return ""
    folder = next(iter(spec.submodule_search_locations))
    return "" if _holds_code(folder) else folder


def own_module(name: str, root: Path) -> Path | None:
    """Return the module or package of that name in a folder of the project, where Python does not look for it."""
    try:
        folders = [entry.path for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return None
    for folder in sorted(folders):
        spec = PathFinder.find_spec(name, [folder])
        if spec and spec.origin:
            file = Path(spec.origin)
            return file.parent if spec.submodule_search_locations else file
    return None


def foreign_binaries(package: str) -> str:
    """Return the Python that the compiled modules of a package are for, empty where that is this one."""
    found = set()
    for _, _, names in os.walk(package):
        found |= {tag[1] for name in names if (tag := re.search(r"\.((?:cpython-|cp|pypy)\d+)[\w-]*\.so$", name))}
    return "" if sys.implementation.cache_tag in found else ", ".join(sorted(found))


def frames(traceback: str) -> list[str]:
    """Return the files that Python's traceback names, the outermost first, importlib's own left out."""
    return [file for file in re.findall(r'^ *File "([^"]+)", line \d+', traceback, re.MULTILINE) if file[0] != "<"]


def _reached(imported: Imported, path: SearchPath) -> Iterator[str]:
    files = frames(imported.traceback)
    for importer, file in reversed(list(pairwise(files))):
        if path.source(importer) in INSTALLED and path.top_level(importer) != path.top_level(file):
            yield file
    if asked := _asked_in_vain(imported.error):
        module, name = asked
        spec = path.find(module, Source.PROJECT, *STRAY)
        wanted_elsewhere = path.source(imported.file) in INSTALLED or mentions(path.find(module, *INSTALLED), name)
        if spec and spec.origin and wanted_elsewhere:
            yield spec.origin
    if imported.file and path.source(imported.file) in STRAY:
        yield imported.file


def _asked_in_vain(error: str) -> tuple[str, str] | None:
    """Return module and name of `cannot import name`, `has no attribute` and `is not a package`."""
    for pattern in (
        r"cannot import name '(?P<name>\w+)' from (?:partially initialized module )?'(?P<module>\w+)",
        r"module '(?P<module>\w+)[\w.]*' has no attribute '(?P<name>\w+)'",
        r"No module named '(?P<module>\w+)\.(?P<name>\w+)",
    ):
        if found := re.search(pattern, error):
            return found["module"], found["name"]
    return None


def mentions(spec: ModuleSpec | None, name: str) -> bool:
    """Say whether a module has the name in its text, or a package a module of that name below it."""
    if spec is None or spec.origin is None:
        return False
    folder = next(iter(spec.submodule_search_locations or ()), None)
    if folder and PathFinder.find_spec(name, [folder]):
        return True
    return re.search(rf"\b{name}\b", _text(spec.origin)) is not None


def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _holds_code(folder: str) -> bool:
    suffixes = tuple(all_suffixes())
    return any(name.endswith(suffixes) for _, _, names in os.walk(folder) for name in names)


def _is_below(file: str, folder: str) -> bool:
    return file == folder or file.startswith(folder.rstrip(os.sep) + os.sep)
