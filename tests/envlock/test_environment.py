"""Which environment is meant, and why; and what its files tell without running it."""

import os
import sys
from pathlib import Path

import pytest

from preflight.envlock.environment import find, of_prefix
from preflight.errors import UserError

SITE = f"lib/python3.{sys.version_info.minor}/site-packages"


@pytest.fixture(autouse=True)
def _nothing_active(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)


def made(folder: Path, *, conda: bool = False) -> Path:
    (folder / SITE).mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to(sys.executable)
    if conda:
        (folder / "conda-meta").mkdir()
        (folder / "conda-meta/python-3.12.15-h1_0_cpython.json").write_text("{}")
    else:
        (folder / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.13.2\n")
    return folder


def test_the_job_s_and_not_that_of_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(tmp_path).prefix == Path(sys.prefix)
    assert find(tmp_path).why == "no environment is active, and preflight runs in it"
    pixi = made(tmp_path / ".pixi/envs/default", conda=True)
    assert (find(tmp_path).prefix, find(tmp_path).kind) == (pixi, "pixi")
    own = made(tmp_path / ".venv")
    assert (find(tmp_path).prefix, find(tmp_path).kind) == (own, "venv")
    conda = made(tmp_path / "envs/exp", conda=True)
    monkeypatch.setenv("CONDA_PREFIX", str(conda))
    assert (find(tmp_path).prefix, find(tmp_path).why) == (conda, "CONDA_PREFIX says that it is active")
    named = made(tmp_path / "named")
    assert find(tmp_path, python=f"{named}/bin/python").prefix == named
    given = made(tmp_path / "given")
    assert find(tmp_path, prefix=given, python=f"{named}/bin/python").prefix == given


def test_of_two_active_ones_that_whose_python_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conda, virtual = made(tmp_path / "base", conda=True), made(tmp_path / "venv")
    monkeypatch.setenv("CONDA_PREFIX", str(conda))
    monkeypatch.setenv("VIRTUAL_ENV", str(virtual))
    for first, second in ((conda, virtual), (virtual, conda)):
        monkeypatch.setenv("PATH", os.pathsep.join([f"{first}/bin", f"{second}/bin", "/usr/bin", "/bin"]))
        assert find(tmp_path).prefix == first


def test_files_tell_the_version(tmp_path: Path) -> None:
    assert of_prefix(made(tmp_path / "conda", conda=True), "").python_version == "3.12.15"
    virtual = of_prefix(made(tmp_path / "venv"), "")
    assert virtual.python_version == "3.13.2"
    assert virtual.markers == {"python_version": "3.13", "python_full_version": "3.13.2"}
    (virtual.prefix / "pyvenv.cfg").write_text("home = /usr/bin\n")
    assert of_prefix(virtual.prefix, "").python_version == f"3.{sys.version_info.minor}"


@pytest.mark.parametrize(("conda", "name"), [(False, "exp"), (True, "base")])
def test_conda_s_own_environment_is_base(tmp_path: Path, conda: bool, name: str) -> None:
    prefix = made(tmp_path / "exp", conda=True)
    if conda:
        (prefix / "condabin").mkdir()
    assert of_prefix(prefix, "").name == name


def test_no_environment(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        find(tmp_path, prefix=tmp_path / "absent")
    with pytest.raises(UserError, match=r"it has neither conda-meta nor lib/python3\.\*/site-packages"):
        find(tmp_path, prefix=tmp_path)
    with pytest.raises(UserError, match="the job's interpreter absent-python is not there"):
        find(tmp_path, python="absent-python")
