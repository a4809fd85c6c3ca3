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
from packaging.requirements import Requirement

import preflight
from preflight.envlock.addresses import channel_of, without_credentials
from preflight.envlock.content_hash import content_hash
from preflight.envlock.lock import read_lock
from preflight.envlock.specification import is_met, read_specification

REPOSITORY = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PYPROJECT["optional-dependencies"]
BUILT = ["LICENSE", "README.md", "pyproject.toml", "src", "preflight_checks", "docs"]


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


# What conda calls otherwise, and what comes with `pip install` since the records that were solved do not have it.
CONDA_NAMES = {"PyYAML": "pyyaml", "types-PyYAML": "types-pyyaml"}
BY_PIP = {"nvidia-ml-py", "xxhash"}


def test_conda_gets_what_pip_gets() -> None:
    wanted = read_specification(REPOSITORY / "environment.yml", "linux-64")
    conda = {spec.name: spec.version for spec in wanted.conda}
    assert f"python{PYPROJECT['requires-python']}" == f"python{conda['python']}"
    needed = {CONDA_NAMES.get(each.name, each.name): each for each in map(Requirement, PYPROJECT["dependencies"])}
    assert needed.keys() - conda.keys() == BY_PIP
    for name in needed.keys() & conda.keys():
        assert (name, conda[name]) == (name, str(needed[name].specifier))
    for_change = {
        CONDA_NAMES.get(each.name, each.name): str(each.specifier) for each in map(Requirement, EXTRAS["dev"])
    }
    others = conda.keys() - needed.keys() - {"python", "pip"}
    assert {name: conda[name] for name in others} == {name: for_change[name] for name in others}
    comment = (REPOSITORY / "environment.yml").read_text(encoding="utf-8")
    assert all(name in comment for name in BY_PIP)


def test_the_lock_answers_what_is_asked_for() -> None:
    lock = read_lock(REPOSITORY / "conda-lock.yml")
    assert lock.platforms == ["linux-64", "osx-arm64"]
    assert not lock.custom.get("stale")
    assert not lock.unlocked
    for platform in lock.platforms:
        wanted = read_specification(REPOSITORY / "environment.yml", platform)
        assert lock.metadata["content_hash"][platform] == content_hash(wanted, platform)
        there = {package.name: package for package in lock.packages(platform)}
        assert [spec.name for spec in wanted.conda if not is_met(spec, there[spec.name])] == []
        needed = {name for package in there.values() for name in package.dependencies if not name.startswith("__")}
        assert needed <= there.keys()
        for package in there.values():
            assert channel_of(package.url) == "conda-forge"
            assert package.url == without_credentials(package.url)
            assert (len(package.md5), len(package.sha256)) == (32, 64)


def test_the_licence_is_whole() -> None:
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
