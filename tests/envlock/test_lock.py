"""conda-lock.yml: what cannot be understood is told with its line, and what another platform has stays."""

from pathlib import Path

import pytest
import yaml

from preflight.envlock.drift import drift
from preflight.envlock.environment import Environment
from preflight.envlock.inventory import Inventory
from preflight.envlock.lock import read_lock, written
from preflight.envlock.model import Package
from preflight.envlock.specification import read_specification
from preflight.errors import UserError

ENTRY = """\
- name: idna
  version: '3.10'
  manager: pip
  platform: linux-64
  dependencies: {}
  url: https://host.example/idna-3.10-py3-none-any.whl
  hash: {sha256: aa}
  category: main
  optional: false
"""
LOCK = f"version: 1\nmetadata: {{}}\npackage:\n{ENTRY}"


@pytest.mark.parametrize(
    ("text", "line", "told", "fix"),
    [
        ("version: 1\npackage: [\n", 2, "this is not YAML", ""),
        ("- a\n", 1, "the file holds a list", ""),
        ("", 0, "the file is empty", ""),
        ("channels: []\ndependencies: [python]\n", 0, "it has no `version`", "environment.yml is none"),
        (LOCK.replace("version: 1\n", "version: 2\n"), 1, "version 2 of this format is not known", "Update preflight"),
        ("version: 1\n", 0, "`package` lists no packages", "preflight env lock"),
        (LOCK.replace("manager: pip", "manager: npm"), 6, "the manager npm is not known", "preflight env lock"),
        (LOCK.replace("'3.10'", "3.10"), 5, "3.1 is no text", "Put it in quotes"),
        (LOCK.replace("  url: https://host.example/idna-3.10-py3-none-any.whl\n", ""), 4, "has no `url`", "anew"),
        (LOCK + ENTRY.replace("3.10", "3.9"), 13, "idna is locked twice for linux-64: 3.10 and 3.9", "Remove one"),
        (LOCK.replace("  manager: pip\n", "\tmanager: pip\n"), 6, "a tab indents this line", ""),
    ],
)
def test_what_cannot_be_understood_is_told_with_its_line(
    tmp_path: Path, text: str, line: int, told: str, fix: str
) -> None:
    file = tmp_path / "conda-lock.yml"
    file.write_text(text)
    with pytest.raises(UserError) as raised:
        read_lock(file)
    where = f"{file}:{line}" if line else str(file)
    assert raised.value.where.partition(": ")[0] == where
    assert told in raised.value.message
    assert fix in raised.value.fix


def test_a_package_of_two_categories_is_one_package(tmp_path: Path) -> None:
    file = tmp_path / "conda-lock.yml"
    file.write_text(LOCK + ENTRY.replace("main", "dev"))
    assert [each.name for each in read_lock(file).packages("linux-64")] == ["idna"]


def specification(folder: Path, text: str = "channels: [conda-forge]\ndependencies: [python]\n") -> Path:
    file = folder / "environment.yml"
    file.write_text(text)
    return file


def conda_package(name: str, version: str = "1.0") -> Package:
    url = f"https://host.example/c/linux-64/{name}-{version}-h0_0.conda"
    return Package(name=name, version=version, manager="conda", url=url, md5="0a" * 16, sha256="0a" * 32)


def test_another_platform_stays_and_is_stale_once_this_one_changes(tmp_path: Path) -> None:
    wanted = specification(tmp_path)
    file = tmp_path / "conda-lock.yml"

    def write(platform: str, *packages: Package) -> dict[str, str]:
        old = read_lock(file) if file.exists() else None
        file.write_text(written(packages, platform, read_specification(wanted, platform), file=file, old=old))
        return dict(read_lock(file).custom)

    assert write("osx-arm64", conda_package("python", "3.12.1")) == {}
    assert write("linux-64", conda_package("python", "3.12.1")) == {}
    before = read_lock(file).packages("osx-arm64")
    assert write("linux-64", conda_package("python", "3.12.2")) == {"stale": "osx-arm64"}
    assert read_lock(file).packages("osx-arm64") == before
    assert write("linux-64", conda_package("python", "3.12.2")) == {"stale": "osx-arm64"}
    assert write("osx-arm64", conda_package("python", "3.12.2")) == {}
    assert write("linux-64", conda_package("python", "3.12.2"), conda_package("libx", "2")) == {}


def test_a_platform_is_stale_where_something_else_is_asked_for(tmp_path: Path) -> None:
    wanted = specification(tmp_path)
    file = tmp_path / "conda-lock.yml"
    for platform in ("osx-arm64", "linux-64"):
        old = read_lock(file) if file.exists() else None
        text = written([conda_package("python")], platform, read_specification(wanted, platform), file=file, old=old)
        file.write_text(text)
    specification(tmp_path, "channels: [conda-forge]\ndependencies: [python, numpy]\n")
    text = written(
        [conda_package("python")], "linux-64", read_specification(wanted, "linux-64"), file=file, old=read_lock(file)
    )
    assert yaml.safe_load(text)["metadata"]["custom_metadata"] == {"stale": "osx-arm64"}


def test_categories_that_somebody_gave_stay(tmp_path: Path) -> None:
    file = tmp_path / "conda-lock.yml"
    file.write_text(LOCK.replace("main", "dev"))
    package = Package(name="idna", version="3.11", manager="pip", url="https://host.example/idna.whl", sha256="bb")
    wanted = read_specification(specification(tmp_path), "linux-64")
    text = written([package], "linux-64", wanted, file=file, old=read_lock(file))
    [entry] = yaml.safe_load(text)["package"]
    assert (entry["version"], entry["category"]) == ("3.11", "dev")


def test_a_lock_of_another_platform_only(tmp_path: Path) -> None:
    file = tmp_path / "conda-lock.yml"
    file.write_text(LOCK.replace("linux-64", "osx-arm64"))
    (tmp_path / "exp" / "conda-meta").mkdir(parents=True)
    inventory = Inventory.of(Environment(tmp_path / "exp", ""))
    with pytest.raises(UserError, match="packages for osx-arm64, and this environment is linux-") as raised:
        drift(file, inventory, tmp_path)
    assert raised.value.fix == "Add this platform:\n    preflight env lock"
