"""What counts as a difference, and what does not."""

import json
import os
from pathlib import Path

import pytest

from preflight.envlock.drift import changes_between, drift
from preflight.envlock.environment import Environment
from preflight.envlock.inventory import Inventory
from preflight.envlock.model import Package

COMMIT = "c" * 40
GIT = f"git+https://host.example/o/p.git@{COMMIT}"


def package(**more: str) -> Package:
    return Package(**{"name": "p", "version": "1.0", "manager": "pip", **more})


@pytest.mark.parametrize(
    ("locked", "installed", "kind"),
    [
        (package(), package(), ""),
        (package(version="2"), package(), "version"),
        (package(url="https://a.example/p.whl", sha256="aa"), package(), ""),
        (package(url="https://a.example/p.whl", sha256="aa"), package(url="https://b.example/p.whl", sha256="aa"), ""),
        (package(sha256="aa"), package(sha256="bb"), "source"),
        (package(manager="conda", build="a_0", md5="1"), package(manager="conda", build="b_0", md5="2"), "build"),
        (package(manager="conda", build="a_0", md5="1"), package(manager="conda", build="a_0", md5="2"), "source"),
        (package(md5="1", sha256="a"), package(md5="1", sha256="b"), "source"),
        (package(md5="1"), package(md5="1", sha256="b"), ""),
        (package(url=GIT), package(url=GIT, source=GIT), ""),
        (package(url=GIT), package(url=GIT.replace("c", "d"), source=GIT.replace("c", "d")), "source"),
        (package(sha256="aa"), package(source="/home/me/p"), "source"),
    ],
)
def test_what_differs(locked: Package, installed: Package, kind: str) -> None:
    assert [change.kind for change in changes_between([locked], [installed])] == ([kind] if kind else [])


LOCK = """\
version: 1
metadata: {}
package:
- name: python
  version: '3.12'
  manager: conda
  platform: linux-64
  url: https://h.example/python-3.12-0_0.conda
  hash: {md5: aa}
"""


def with_project(folder: Path, root: Path, *, editable: bool = True) -> Inventory:
    """Return the inventory of a conda prefix in which pip has installed the project in `root`."""
    prefix = folder / "exp"
    record = {"name": "python", "version": "3.12", "build": "0_0", "subdir": "linux-64", "md5": "aa"}
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "conda-meta/python-3.12-0_0.json").write_text(json.dumps(record))
    info = prefix / "lib/python3.12/site-packages/proj-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: proj\nVersion: 0.1\n\n")
    (info / "direct_url.json").write_text(json.dumps({"url": root.as_uri(), "dir_info": {"editable": editable}}))
    return Inventory.of(Environment(prefix, ""))


@pytest.mark.parametrize(("place", "kinds"), [("project", []), ("project/sub", []), ("elsewhere", ["extra"])])
def test_the_project_itself_is_in_no_lock(tmp_path: Path, place: str, kinds: list[str]) -> None:
    root = tmp_path / "project"
    for folder in (root, tmp_path / place):
        os.makedirs(folder, exist_ok=True)
    (root / "conda-lock.yml").write_text(LOCK)
    inventory = with_project(tmp_path, tmp_path / place)
    assert [each.kind for each in drift(root / "conda-lock.yml", inventory, root).changes] == kinds


def test_a_lock_that_names_the_project_is_compared_with_it(tmp_path: Path) -> None:
    entry = (
        "- {name: proj, version: '0.1', manager: pip, platform: linux-64, url: https://h.example/proj.whl, hash: {}}\n"
    )
    (tmp_path / "conda-lock.yml").write_text(LOCK + entry)
    inventory = with_project(tmp_path, tmp_path)
    [change] = drift(tmp_path / "conda-lock.yml", inventory, tmp_path).changes
    assert (change.name, change.kind) == ("proj", "source")
