"""The environment that is locked and checked: the job's, found without running anything, and why it is that one."""

from __future__ import annotations

import os
import platform as machine
import re
import shutil
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from preflight.errors import UserError

_ACTIVE = ("VIRTUAL_ENV", "CONDA_PREFIX")
_SYSTEMS = {"linux": "linux", "darwin": "osx", "win32": "win"}
_MACHINES = {"x86_64": "64", "amd64": "64", "arm64": "arm64", "i686": "32"}


@dataclass(frozen=True)
class Environment:
    """An environment by its folder; `why` says what chose it."""

    prefix: Path
    why: str

    @cached_property
    def is_conda(self) -> bool:
        """Whether conda, mamba or pixi made it."""
        return (self.prefix / "conda-meta").is_dir()

    @cached_property
    def kind(self) -> str:
        """What it is: `conda`, `pixi`, `venv`, or `python` for an interpreter that has no environment."""
        if self.is_conda:
            return "pixi" if self.prefix.parent.name == "envs" and self.prefix.parents[1].name == ".pixi" else "conda"
        return "venv" if (self.prefix / "pyvenv.cfg").is_file() else "python"

    @cached_property
    def name(self) -> str:
        """What conda calls it, empty where it has no name."""
        if not self.is_conda:
            return ""
        return "base" if (self.prefix / "condabin").is_dir() else self.prefix.name

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.prefix / "bin" / "python")

    @cached_property
    def site_packages(self) -> tuple[str, ...]:
        """The folders that pip installs into."""
        libraries = [self.prefix / "lib", self.prefix / "lib64"]
        found = [each for library in libraries for each in library.glob("python3.*/site-packages") if each.is_dir()]
        if self.kind == "python" and os.path.realpath(self.prefix) == os.path.realpath(sys.prefix):
            import site

            found += [Path(each) for each in site.getsitepackages() if os.path.isdir(each)]
        return tuple(dict.fromkeys(os.path.realpath(each) for each in found))

    @cached_property
    def python_version(self) -> str:
        """The version of its Python, as exactly as files tell it; empty where there is none."""
        for record in sorted(self.prefix.glob("conda-meta/python-3*.json")):
            if found := re.match(r"python-(3[\w.]*)-[^-]+\.json$", record.name):
                return found[1]
        if os.path.realpath(self.prefix) == os.path.realpath(sys.prefix):
            return machine.python_version()
        settings = self.prefix / "pyvenv.cfg"
        text = settings.read_text(encoding="utf-8", errors="replace") if settings.is_file() else ""
        if found := re.search(r"^version(?:_info)?\s*=\s*(3(?:\.\d+)+)", text, re.MULTILINE):
            return found[1]
        folders = [Path(each).parent.name for each in self.site_packages]
        return next((name.removeprefix("python") for name in folders if name.startswith("python3.")), "")

    @cached_property
    def markers(self) -> dict[str, str]:
        """What environment markers go by there, where that differs from this interpreter."""
        version = self.python_version
        if not version:
            return {}
        return {"python_version": ".".join(version.split(".")[:2]), "python_full_version": version}

    @property
    def told(self) -> str:
        """What it is called in messages."""
        return f"{self.prefix} ({self.kind})"


def of_prefix(prefix: Path, why: str) -> Environment:
    """Return the environment in a folder; raises UserError where there is none."""
    whole = Path(os.path.abspath(os.path.expanduser(prefix)))
    if not whole.is_dir():
        raise UserError(f"{whole} is no folder", fix="Name the folder of an environment: --prefix FOLDER")
    environment = Environment(whole, why)
    if not environment.is_conda and not environment.site_packages:
        message = f"{whole} is no environment: it has neither conda-meta nor lib/python3.*/site-packages"
        raise UserError(message, fix="Name the folder of an environment: --prefix FOLDER")
    return environment


def find(root: Path, *, prefix: Path | None = None, python: str = "") -> Environment:
    """Return the environment that the job in `root` runs in.

    That is `prefix`; else that of the interpreter `python` which the config names; else the active one, `.venv` or
    `.pixi` in `root`; else the one that preflight runs in. Raises UserError where the chosen one is none.
    """
    if prefix is not None:
        return of_prefix(prefix, "--prefix names it")
    if python:
        return of_prefix(_prefix_of(python), f"it has {python}, which the config names as `python:`")
    if active := _active():
        return active
    for folder in (root / ".venv", root / ".pixi" / "envs" / "default"):
        if folder.is_dir():
            return of_prefix(folder, f"no environment is active, and {folder.relative_to(root)} is in {root}")
    return of_prefix(Path(sys.prefix), "no environment is active, and preflight runs in it")


def here() -> Environment:
    """Return the environment of this interpreter."""
    return Environment(Path(sys.prefix), "this interpreter is in it")


def platform_here() -> str:
    """Return what conda calls this machine: `linux-64`, `osx-arm64`."""
    name = machine.machine().lower()
    return f"{_SYSTEMS.get(sys.platform, sys.platform)}-{_MACHINES.get(name, name)}"


def _active() -> Environment | None:
    """Return the active environment; of two the one that `python` comes from."""
    folders = {name: folder for name in _ACTIVE if (folder := os.environ.get(name)) and os.path.isdir(folder)}
    python = shutil.which("python") or ""
    first = [name for name, folder in folders.items() if python and _is_in(python, folder)]
    for name in [*first, *folders]:
        return of_prefix(Path(folders[name]), f"{name} says that it is active")
    return None


def _is_in(python: str, folder: str) -> bool:
    return os.path.realpath(os.path.dirname(python)) == os.path.realpath(os.path.join(folder, "bin"))


def _prefix_of(python: str) -> Path:
    program = shutil.which(os.path.expanduser(python))
    if program is None:
        raise UserError(f"the job's interpreter {python} is not there", where="preflight.python")
    return Path(os.path.abspath(program)).parent.parent
