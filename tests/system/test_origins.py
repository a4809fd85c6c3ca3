"""Where files lie on the module search path, and what they hide."""

import os
import sys
from pathlib import Path

import pytest
import yaml

from preflight.system.origins import (
    SearchPath,
    Shadow,
    Source,
    foreign_binaries,
    frames,
    own_module,
    plain_folder,
    shadow,
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / "vendored").mkdir(parents=True)
    (tmp_path / "workspace").mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "workspace"), "", str(root / "vendored")]))
    return root


def test_every_file_has_a_source(project: Path) -> None:
    path = SearchPath.of(project)
    assert path.source(str(project / "train.py")) is Source.PROJECT
    assert path.source(str(project / "vendored/x.py")) is Source.PROJECT
    assert path.source(str(project.parent / "workspace/x/y.py")) is Source.PYTHONPATH
    assert path.source(str(yaml.__file__)) is Source.ENVIRONMENT
    assert path.source(str(os.__file__)) is Source.STANDARD_LIBRARY
    assert path.source("/nowhere/x.py") is Source.ELSEWHERE
    assert path.top_level(str(project.parent / "workspace/x/y.py")) == "x"
    assert path.top_level("/nowhere/x.py") == ""


def test_an_environment_inside_the_project_is_no_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = project / ".venv/site-packages"
    monkeypatch.setattr("site.getsitepackages", lambda: [str(inside)])
    assert SearchPath.of(project).source(str(inside / "x.py")) is Source.ENVIRONMENT


def test_a_project_behind_a_link_is_the_same_project(project: Path) -> None:
    link = project.parent / "link"
    link.symlink_to(project)
    path = SearchPath.of(link)
    assert path.source(str(project / "x.py")) is path.source(str(link / "x.py")) is Source.PROJECT


def test_packages_are_installed_everywhere_but_in_the_project_itself(project: Path) -> None:
    folders = SearchPath.of(project).installations
    assert str(project / "vendored") in folders
    assert str(project) not in folders


def test_what_a_file_hides(project: Path) -> None:
    for name in ("random.py", "yaml.py", "mine.py"):
        (project / name).touch()
    path = SearchPath.of(project)
    assert shadow(str(project / "yaml.py"), path) == Shadow(
        name="yaml",
        file=str(project / "yaml.py"),
        source=Source.PROJECT,
        hidden=str(yaml.__file__),
        hidden_source=Source.ENVIRONMENT,
    )
    hidden = shadow(str(project / "random.py"), path)
    assert hidden is not None
    assert hidden.hidden_source is Source.STANDARD_LIBRARY
    assert shadow(str(project / "mine.py"), path) is None
    assert shadow(str(yaml.__file__), path) is None


def test_only_a_folder_without_code_is_plain(project: Path) -> None:
    path = SearchPath.of(project)
    (project / "datasets_here/raw").mkdir(parents=True)
    (project / "datasets_here/raw/a.csv").touch()
    assert plain_folder("datasets_here", path) == str(project / "datasets_here")
    (project / "datasets_here/raw/load.py").touch()
    assert plain_folder("datasets_here", path) == ""
    assert plain_folder("yaml", path) == ""
    assert plain_folder("absent_thing", path) == ""


def test_the_projects_own_modules_are_found_beside_the_path(project: Path) -> None:
    (project / "src/mine").mkdir(parents=True)
    (project / "src/mine/__init__.py").touch()
    (project / "lib").mkdir()
    (project / "lib/single.py").touch()
    assert own_module("mine", project) == project / "src/mine"
    assert own_module("single", project) == project / "lib/single.py"
    assert own_module("absent_thing", project) is None
    assert own_module("mine", project / "absent") is None


def test_binaries_for_another_python(tmp_path: Path) -> None:
    assert foreign_binaries(str(tmp_path)) == ""
    (tmp_path / "a.cpython-38-x86_64-linux-gnu.so").touch()
    (tmp_path / "b.abi3.so").touch()
    assert foreign_binaries(str(tmp_path)) == "cpython-38"
    (tmp_path / f"a.{sys.implementation.cache_tag}-x86_64-linux-gnu.so").touch()
    assert foreign_binaries(str(tmp_path)) == ""


def test_the_files_of_a_traceback() -> None:
    lines = ["/a b.py", "<frozen importlib._bootstrap>", "/c.py"]
    text = "".join(f'  File "{file}", line 3, in f\n    x = 1\n' for file in lines)
    assert frames(text) == ["/a b.py", "/c.py"]
