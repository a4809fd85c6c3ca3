"""What is built from this repository is complete, and its descriptions of itself agree."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import preflight

REPOSITORY = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BUILT = ["LICENSE", "README.md", "pyproject.toml", "src", "preflight_checks"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this source, built as pip builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in BUILT:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, folder / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "wheels", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode and "No matching distribution found for hatchling" in done.stderr:
        pytest.skip("the build backend cannot be had here")
    assert done.returncode == 0, done.stderr
    return next((folder / "wheels").glob("*.whl"))


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the wheel; its dependencies are those of the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder


def test_every_source_file_is_in_the_wheel(wheel: Path) -> None:
    source = {str(path.relative_to(REPOSITORY / "src")) for path in REPOSITORY.glob("src/preflight/**/*.py")}
    checks = {f"preflight/preflight_checks/{path.name}" for path in REPOSITORY.glob("preflight_checks/*.py")}
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name for name in names if name.endswith(".py")} == source | checks
    assert "preflight/py.typed" in names


def test_an_installed_package_finds_its_checks(environment: Path, tmp_path: Path) -> None:
    command = [environment / "bin" / "python", "-m", "preflight", "list", "--format", "json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{environment}/lib" in done.stdout
    assert str(REPOSITORY) not in done.stdout


def test_all_places_name_the_same_version() -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest
    assert PYPROJECT["version"] == preflight.__version__ == newest[1]


def test_conda_gets_what_pip_gets() -> None:
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
    conda = {str(Requirement(line)).lower() for line in environment["dependencies"]}
    pip = {str(Requirement(line)).lower() for line in PYPROJECT["dependencies"]}
    # There the bare name is the C library.
    conda = {line.removeprefix("python-") for line in conda}
    assert conda == pip | {f"python{PYPROJECT['requires-python']}"}


def test_the_licence_is_whole() -> None:
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
