"""What conda's own records tell, whoever wrote them, and what pip put beside them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight.envlock.environment import Environment
from preflight.envlock.inventory import Inventory
from preflight.envlock.records import dependencies_of, platform_of, read_records, requested_specs
from preflight.errors import UserError

SITE = "lib/python3.12/site-packages"


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Return `record(name, version, **more)`, which writes one into the prefix `exp`."""

    def write(name: str, version: str = "1.0", **more: Any) -> Path:
        folder = tmp_path / "exp" / "conda-meta"
        folder.mkdir(parents=True, exist_ok=True)
        document = {"name": name, "version": version, "build": "h0_0", "subdir": "linux-64", **more}
        file = folder / f"{name}-{version}-h0_0.json"
        file.write_text(json.dumps(document, indent=2))
        return file

    return write


def test_dependencies_lose_their_builds() -> None:
    lines = ["python >=3.12,<3.13.0a0", "python_abi 3.12.* *_cp312", "libpython 3.12.15 h12_0", "pip", "numpy *"]
    assert dependencies_of(
        [*lines, "python >=3.12,<3.13.0a0", "python >=3.8", "conda-forge::tzdata >=2025[build=x]"]
    ) == {
        "libpython": "3.12.15",
        "numpy": "*",
        "pip": "",
        "python": ">=3.12,<3.13.0a0,>=3.8",
        "python_abi": "3.12.*",
        "tzdata": ">=2025",
    }


def test_requests_of_conda_and_of_rattler(tmp_path: Path, record: Callable[..., Path]) -> None:
    prefix = tmp_path / "exp"
    record("python", "3.12.1", requested_spec="python=3.12")
    record("numpy", requested_specs=["numpy >=1"])
    record("six", requested_spec="None")
    record("idna", requested_spec="https://host.example/c/noarch/idna-1-py_0.conda#00")
    record("scipy")
    record("tqdm")
    history = "==> 2026-11-26 <==\n# cmd: conda install\n# update specs: ['scipy', 'gone', \"tqdm[version='>=4']\"]\n"
    history += (
        "==> later <==\n# update specs: ['scipy>=1.5', '/data/c/linux-64::tqdm==1.0=py_0']\n# update specs: [broken\n"
    )
    (prefix / "conda-meta/history").write_text(history)
    assert requested_specs(prefix, read_records(prefix)) == {
        "python": "python=3.12",
        "numpy": "numpy >=1",
        "scipy": "scipy>=1.5",
        "tqdm": "tqdm>=4",
    }


def test_a_broken_record(record: Callable[..., Path]) -> None:
    file = record("numpy")
    file.write_text('{"name": "numpy", "files": [')
    with pytest.raises(UserError, match="the record of an installed package is broken") as raised:
        read_records(file.parents[1])
    assert raised.value.where == str(file)


@pytest.mark.parametrize("odd", ["plain.py", "with[bracket].py", 'with\\"quote].py'])
def test_lists_of_files_are_passed_over_whatever_they_hold(record: Callable[..., Path], odd: str) -> None:
    files = [f"{SITE}/{odd}", f"{SITE}/Odd_Name-1.0.dist-info/METADATA", f"{SITE}/old.egg-info"]
    paths = {"paths_version": 1, "paths": [{"_path": file, "sha256": "0a"} for file in files]}
    file = record("numpy", files=files, paths_data=paths, md5="00", depends=["python >=3"])
    [found] = read_records(file.parents[1])
    assert found.infos == {"Odd_Name-1.0.dist-info", "old.egg-info"}
    assert (found.package.md5, found.package.dependencies) == ("00", {"python": ">=3"})
    assert found.digest_of(files[1]) == "0a"
    assert found.digest_of("absent") == ""


def test_the_platform_is_that_of_what_is_built(record: Callable[..., Path]) -> None:
    record("aaa", subdir="noarch")
    prefix = record("numpy", subdir="osx-arm64").parents[1]
    assert platform_of(read_records(prefix)) == "osx-arm64"


@pytest.mark.parametrize(
    ("installer", "unpacked", "by_pip"),
    [
        ("conda", "", False),
        ("pip", "same", False),
        ("pip", "other", True),
        ("pip", "unknown", False),
        ("uv", "other", True),
    ],
)
def test_conda_packages_that_pip_built_are_conda_s(
    tmp_path: Path, record: Callable[..., Path], installer: str, unpacked: str, by_pip: bool
) -> None:
    import hashlib

    info = tmp_path / "exp" / SITE / "numpy-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: numpy\nVersion: 1.0\n\n")
    (info / "INSTALLER").write_text(f"{installer}\n")
    (info / "RECORD").write_text("numpy/__init__.py,,\n")
    digest = {"same": hashlib.sha256(b"numpy/__init__.py,,\n").hexdigest(), "other": "0a" * 32}.get(unpacked, "")
    name = f"{SITE}/numpy-1.0.dist-info"
    paths = [{"_path": f"{name}/RECORD", "sha256": digest}]
    record("numpy", files=[f"{name}/METADATA", f"{name}/RECORD"], paths_data={"paths": paths})
    inventory = Inventory.of(Environment(tmp_path / "exp", ""))
    assert [each.name for each in inventory.pip] == (["numpy"] if by_pip else [])
    assert bool(inventory.replaced) is by_pip
