"""A real conda prefix with pip in it: locked, changed, restored and locked again, without any channel."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight import writing
from preflight.envlock.drift import drift
from preflight.envlock.environment import Environment
from preflight.envlock.inventory import Inventory
from preflight.envlock.lock import read_lock
from preflight.envlock.plan import Plan, plan
from preflight.envlock.restore import restore
from preflight.errors import UserError

Inventories = Callable[[Path], Inventory]
Run = Callable[..., None]


def lock(inventory: Inventory, root: Path, **how: bool) -> Plan:
    found = plan(inventory, root, **how)
    writing.save(found.files)
    return found


def kinds(file: Path, inventory: Inventory, root: Path, **how: bool) -> list[tuple[str, str, str]]:
    return [(each.manager, each.name, each.kind) for each in drift(file, inventory, root, **how).changes]


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("index")]


def test_lock_restore_lock_gives_the_same_bytes(
    mixed: Path, root: Path, inventory_of: Inventories, install: Run, pip: Run
) -> None:
    found = lock(inventory_of(mixed), root)
    assert not found.unlocked
    file = root / "conda-lock.yml"
    locked = file.read_bytes()
    assert kinds(file, inventory_of(mixed), root, deep=True) == []

    install(mixed, "python", "pip", "tinyapp", "tinylib=1.9")
    pip(mixed, "install", "gadget==1.1", "Show==5.1")
    pip(mixed, "uninstall", "--yes", "widget")
    assert kinds(file, inventory_of(mixed), root) == [
        ("conda", "tinylib", "version"),
        ("conda", "tinyssl", "missing"),
        ("pip", "gadget", "version"),
        ("pip", "show", "extra"),
        ("pip", "widget", "missing"),
    ]
    assert len(restore(file, Environment(mixed, ""), root)) == 5
    assert kinds(file, inventory_of(mixed), root, deep=True) == []
    assert plan(inventory_of(mixed), root).files == {}
    file.unlink()
    lock(inventory_of(mixed), root, offline=True)
    assert file.read_bytes() == locked
    assert (mixed / "lib/libtinyssl.so.1").read_bytes() == b"code"


def test_an_empty_folder_becomes_the_environment(
    mixed: Path, root: Path, tmp_path: Path, inventory_of: Inventories
) -> None:
    lock(inventory_of(mixed), root)
    locked = (root / "conda-lock.yml").read_bytes()
    other = tmp_path / "envs" / "other"
    (other / "conda-meta").mkdir(parents=True)
    restore(root / "conda-lock.yml", Environment(other, ""), root)
    said = subprocess.run(
        [other / "bin/python", "-c", "import gadget, tinyapp; print(gadget.VERSION)"], check=True, capture_output=True
    )
    assert said.stdout == b"1.0\n"
    (root / "conda-lock.yml").unlink()
    lock(inventory_of(other), root)
    assert (root / "conda-lock.yml").read_bytes() == locked


def test_what_is_asked_for_is_in_environment_yml(
    mixed: Path, root: Path, inventory_of: Inventories, channel: Path, conda: ModuleType
) -> None:
    lock(inventory_of(mixed), root)
    comment, _, rest = (root / "environment.yml").read_text().partition("\n")
    assert comment.startswith("# What is wanted")
    assert (
        rest
        == f"""\
name: exp
channels:
- {channel.as_uri()}
platforms:
- linux-64
dependencies:
- python={conda.SERIES}
- pip
- tinyapp >=0.3
- tinyssl
- pip:
  - gadget
"""
    )


def test_one_changed_package_asks_the_index_once(
    mixed: Path, root: Path, inventory_of: Inventories, index: Any, pip: Run
) -> None:
    lock(inventory_of(mixed), root)
    pip(mixed, "install", "gadget==1.1")
    index.asked.clear()
    assert [(each.name, each.kind) for each in lock(inventory_of(mixed), root).changes] == [("gadget", "version")]
    assert index.asked == ["/simple/gadget/"]
    index.asked.clear()
    assert plan(inventory_of(mixed), root).files == {}
    assert index.asked == []


def test_another_build_and_another_file_of_the_same_version(
    mixed: Path, root: Path, inventory_of: Inventories, install: Run
) -> None:
    lock(inventory_of(mixed), root)
    install(mixed, "python", "pip", "tinyapp", "tinyssl", "tinylib=2.0=py_0")
    assert kinds(root / "conda-lock.yml", inventory_of(mixed), root) == [("conda", "tinylib", "build")]
    record = next((mixed / "conda-meta").glob("tinyssl-*.json"))
    document = json.loads(record.read_text())
    record.write_text(json.dumps({**document, "md5": "0" * 32, "sha256": "0" * 64}))
    assert ("conda", "tinyssl", "source") in kinds(root / "conda-lock.yml", inventory_of(mixed), root)


def test_modules_that_were_edited_in_place(
    mixed: Path, root: Path, inventory_of: Inventories, conda: ModuleType
) -> None:
    lock(inventory_of(mixed), root)
    site = mixed / conda.SITE
    for name in ("gadget", "tinyapp"):
        module = site / name / "__init__.py"
        text = module.read_text()
        module.unlink()  # it is a hard link into the cache
        module.write_text(text.replace("VERSION", "version"))
    file = root / "conda-lock.yml"
    assert kinds(file, inventory_of(mixed), root) == []
    found = drift(file, inventory_of(mixed), root, deep=True)
    assert [(each.name, each.kind) for each in found.changes] == [("tinyapp", "edited"), ("gadget", "edited")]
    assert found.edited["gadget"] == (str(site / "gadget/__init__.py"),)


def test_pip_replaces_what_conda_installed(
    mixed: Path, root: Path, inventory_of: Inventories, install: Run, pip: Run
) -> None:
    install(mixed, "python", "pip", "tinyapp", "tinyshow")
    pip(mixed, "install", "--no-deps", "--force-reinstall", "Show==5.1")
    found = lock(inventory_of(mixed), root)
    assert found.notes == ["tinyshow was installed by conda (5.0) and replaced by pip (5.1)"]
    packages = {
        (each.manager, each.name): each.version for each in read_lock(root / "conda-lock.yml").packages("linux-64")
    }
    assert packages["conda", "tinyshow"] == "5.0"
    assert packages["pip", "show"] == "5.1"


def test_no_lock_without_the_pip_that_would_install_it(mixed: Path, root: Path, inventory_of: Inventories) -> None:
    next((mixed / "conda-meta").glob("pip-*.json")).unlink()
    with pytest.raises(UserError, match="would change another environment") as raised:
        plan(inventory_of(mixed), root)
    assert f"conda install --prefix {mixed} pip" in raised.value.fix


def test_a_package_that_was_tampered_with_is_refused(
    mixed: Path, root: Path, inventory_of: Inventories, install: Run, pip: Run
) -> None:
    lock(inventory_of(mixed), root)
    file = root / "conda-lock.yml"
    install(mixed, "python", "pip", "tinyapp")
    text = file.read_text()
    before = next(each for each in read_lock(file).packages("linux-64") if each.name == "tinyssl")
    file.write_text(text.replace(before.sha256, "f" * 64))
    with pytest.raises(UserError, match=r"the file of tinyssl 1.1.1w is not the locked one"):
        restore(file, Environment(mixed, ""), root)
    gadget = next(each for each in read_lock(file).packages("linux-64") if each.name == "gadget")
    pip(mixed, "uninstall", "--yes", "gadget")
    file.write_text(text.replace(gadget.sha256, "f" * 64))
    with pytest.raises(UserError, match="pip fails: ERROR: THESE PACKAGES DO NOT MATCH THE HASHES"):
        restore(file, Environment(mixed, ""), root)


def test_without_py_rattler_it_is_said_who_else_installs(
    mixed: Path, root: Path, inventory_of: Inventories, install: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(inventory_of(mixed), root)
    install(mixed, "python", "pip", "tinyapp")
    monkeypatch.setitem(sys.modules, "rattler", None)
    with pytest.raises(UserError, match="py-rattler, which installs conda's packages, is not installed") as raised:
        restore(root / "conda-lock.yml", Environment(mixed, ""), root)
    assert f"conda-lock install --prefix {mixed} conda-lock.yml" in raised.value.fix


def test_a_virtual_environment_goes_back_too(virtual: Path, root: Path, inventory_of: Inventories, pip: Run) -> None:
    pip(virtual, "install", "gadget==1.0")
    found = lock(inventory_of(virtual), root)
    file = root / "pylock.toml"
    assert (list(found.files), found.unlocked) == ([file], {})
    locked = file.read_bytes()
    pip(virtual, "install", "gadget==1.1", "Show==5.1")
    drifted = [("pip", "gadget", "version"), ("pip", "show", "extra")]
    assert sorted(kinds(file, inventory_of(virtual), root)) == drifted
    assert len(restore(file, Environment(virtual, ""), root)) == 2
    assert kinds(file, inventory_of(virtual), root, deep=True) == []
    file.unlink()
    lock(inventory_of(virtual), root)
    assert file.read_bytes() == locked


def test_what_pixi_keeps_is_left_to_pixi(tmp_path: Path, inventory_of: Inventories) -> None:
    prefix = tmp_path / ".pixi/envs/default"
    (prefix / "conda-meta").mkdir(parents=True)
    (tmp_path / "pixi.lock").write_text("version: 6\n")
    with pytest.raises(UserError, match=r"pixi\.lock is the lock of this project, and pixi keeps it"):
        plan(inventory_of(prefix), tmp_path)
    with pytest.raises(UserError, match=r"pixi\.lock is another tool's"):
        restore(tmp_path / "pixi.lock", Environment(prefix, ""), tmp_path)
