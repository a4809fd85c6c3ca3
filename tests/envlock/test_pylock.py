"""pylock.toml: the same packages give the same bytes, and what is not understood is told."""

import tomllib
from pathlib import Path

import pytest

from preflight.envlock.drift import drift
from preflight.envlock.environment import Environment
from preflight.envlock.inventory import Inventory
from preflight.envlock.model import Package
from preflight.envlock.plan import plan
from preflight.envlock.pylock import read_pylock, written
from preflight.errors import UserError

WHEEL = "https://host.example/a%20b/idna-3.10-py3-none-any.whl"
COMMIT = "c" * 40
PACKAGES = [
    Package(name="six", version="1.0", manager="pip", url="https://host.example/six-1.0.tar.gz", sha256="0b" * 32),
    Package(name="idna", version="3.10", manager="pip", url=WHEEL, sha256="0a" * 32),
    Package(
        name="proj",
        version="0.1",
        manager="pip",
        url=f"git+https://host.example/o/p.git@{COMMIT}#subdirectory=src",
        source=f"git+https://host.example/o/p.git@{COMMIT}#subdirectory=src",
    ),
]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    unlocked = {"mine": '0.2 (editable ../a "b" \\ ü)'}
    text = written(PACKAGES, unlocked, "3.12.1")
    assert written(list(reversed(PACKAGES)), unlocked, "3.12.1") == text
    file = tmp_path / "pylock.toml"
    file.write_text(text)
    packages, reasons, writer = read_pylock(file)
    assert packages == sorted(PACKAGES, key=lambda each: each.name)
    assert (reasons, writer) == (unlocked, "preflight")
    document = tomllib.loads(text)
    assert document["requires-python"] == "==3.12.*"
    assert document["packages"][1]["vcs"] == {
        "type": "git",
        "url": "https://host.example/o/p.git",
        "commit-id": COMMIT,
        "subdirectory": "src",
    }


def test_nothing_is_a_lock_too() -> None:
    assert tomllib.loads(written([], {}, ""))["packages"] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [("a = [", "this is not TOML"), ('lock-version = "2.0"\n', "version 2.0 of this format is not known")],
)
def test_what_is_not_understood(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "pylock.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=told):
        read_pylock(file)


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    """A virtual environment with idna in it."""
    info = tmp_path / "venv/lib/python3.12/site-packages/idna-3.10.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: idna\nVersion: 3.10\n\n")
    (tmp_path / "venv/pyvenv.cfg").write_text("version = 3.12.1\n")
    return Inventory.of(Environment(tmp_path / "venv", ""))


def test_the_lock_of_another_tool_is_not_written_over(tmp_path: Path, inventory: Inventory) -> None:
    (tmp_path / "pylock.toml").write_text('lock-version = "1.0"\ncreated-by = "uv"\n')
    with pytest.raises(UserError, match="uv has written the file"):
        plan(inventory, tmp_path, offline=True)
    (tmp_path / "uv.lock").write_text("version = 1\n")
    with pytest.raises(UserError, match=r"uv\.lock is the lock of this project, and uv keeps it"):
        plan(inventory, tmp_path, offline=True)


def test_what_could_not_be_locked_is_compared_by_its_version(tmp_path: Path, inventory: Inventory) -> None:
    file = tmp_path / "pylock.toml"
    for version, kinds in (("3.10", []), ("3.9", ["version"])):
        file.write_text(written([], {"idna": f"{version} (no index offers it)"}, "3.12.1"))
        assert [each.kind for each in drift(file, inventory, tmp_path).changes] == kinds
    file.write_text(written([], {"six": "1.0 (no index offers it)"}, "3.12.1"))
    assert [(each.name, each.kind) for each in drift(file, inventory, tmp_path).changes] == [
        ("six", "missing"),
        ("idna", "extra"),
    ]
