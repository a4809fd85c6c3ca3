"""The world of the imports check: a project whose modules are really imported, and a compiler."""

import select
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from preflight.config import Config, Import
from preflight.model import Finding
from preflight.system.modules import Imported
from preflight.worker.stage import Stage

SUFFIX = str(sysconfig.get_config_var("EXT_SUFFIX"))


@pytest.fixture(scope="session")
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("imports")


@dataclass
class World:
    """A project, and the check of its imports as a run would do it."""

    root: Path
    checks: ModuleType

    def write(self, name: str, text: str = "") -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def imported(self, entries: tuple[Import, ...], deadline: float) -> dict[str, Imported]:
        stage = Stage({entry.name: deadline for entry in entries}, self.root, deadline)
        try:
            while not stage.ready:
                select.select([stage.fd], [], [], 0.1)
                stage.read()
            return dict(stage.imported)
        finally:
            stage.close()

    def findings(self, *entries: Import | str, deadline: float = 20.0) -> list[Finding]:
        """Return what is said of the last of `entries`."""
        whole = tuple(Import(name=entry) if isinstance(entry, str) else entry for entry in entries)
        imported = self.imported(whole, deadline)
        return list(self.checks.check_works(whole[-1], imported, Config(imports=whole), self.root))

    def only(self, *entries: Import | str, deadline: float = 20.0) -> Finding:
        [finding] = self.findings(*entries, deadline=deadline)
        return finding

    def passes(self, *entries: Import | str) -> None:
        assert [finding.id for finding in self.findings(*entries)] == ["imports.loaded"]


@pytest.fixture
def world(tmp_path: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    root = tmp_path / "project"
    root.mkdir()
    return World(root, checks)


def _build(folder: Path, name: str, *, before: str = "", inside: str = "", options: tuple[str, ...] = ()) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    source = folder / f"{name}.c"
    source.write_text(
        f'#include <Python.h>\n{before}\nstatic struct PyModuleDef d = {{PyModuleDef_HEAD_INIT, "{name}", 0, -1, 0}};\n'
        f"PyMODINIT_FUNC PyInit_{name}(void) {{ {inside}; return PyModule_Create(&d); }}\n"
    )
    target = folder / f"{name}{SUFFIX}"
    include = sysconfig.get_paths()["include"]
    _gcc("-I", include, str(source), "-o", str(target), *options, "-Wl,-z,now")
    return target


@pytest.fixture(scope="session")
def build() -> Callable[..., Path]:
    """Return a function that compiles an extension module with gcc."""
    return _build


@pytest.fixture(scope="session")
def gcc() -> Callable[..., None]:
    """Return a function that compiles a shared library."""
    return _gcc


def _gcc(*options: str) -> None:
    subprocess.run(["gcc", "-shared", "-fPIC", *options], check=True, capture_output=True)
