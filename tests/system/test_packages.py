"""Installed distributions: what they own, where they come from, how more of them are installed."""

import sys
from pathlib import Path

import pytest

from preflight.system.origins import SearchPath
from preflight.system.packages import (
    Installed,
    closure,
    distribution_name,
    install_command,
    is_project,
    owner_of,
    satisfies,
    unmet_requirements,
)


def install(folder: Path, info: str, metadata: str, **files: str) -> None:
    place = folder / info
    place.mkdir(parents=True)
    (place / ("METADATA" if info.endswith(".dist-info") else "PKG-INFO")).write_text(metadata)
    for name, text in files.items():
        (place / name.replace("_txt", ".txt").replace("_json", ".json")).write_text(text)


def test_metadata_is_read_up_to_the_description(tmp_path: Path) -> None:
    install(tmp_path, "A_b-1.dist-info", "Name: A.b\nVersion: 1\nRequires-Dist: c>=1\n\nVersion: 9\nRequires-Dist: d\n")
    [distribution] = Installed.in_folders([str(tmp_path)])
    assert (distribution.key, distribution.version, distribution.requires) == ("a-b", "1", ("c>=1",))


def test_egg_info_is_read_too(tmp_path: Path) -> None:
    requires = "c>=1\n\n[docs]\nd\n"
    install(tmp_path, "x.egg-info", "Name: x\nVersion: 1\n", requires_txt=requires)
    (tmp_path / "y-2.egg-info").write_text("Name: y\nVersion: 2\n")
    installed = Installed.in_folders([str(tmp_path)])
    assert [(each.name, each.requires) for each in installed] == [("x", ("c>=1",)), ("y", ())]


def test_the_first_folder_counts(tmp_path: Path) -> None:
    install(tmp_path / "one", "x-1.dist-info", "Name: x\nVersion: 1\n")
    install(tmp_path / "two", "x-2.dist-info", "Name: x\nVersion: 2\n")
    installed = Installed.in_folders([str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "absent")])
    assert [each.version for each in installed] == ["1"]
    assert installed.rivals(SearchPath(())) == []


def test_owners_by_record_by_source_and_by_name(tmp_path: Path) -> None:
    source = tmp_path / "checkout"
    install(tmp_path, "pillow-1.dist-info", "Name: pillow\nVersion: 1\n", RECORD='PIL/__init__.py,,\n"a,b.py",,\n')
    install(tmp_path, "mine-1.dist-info", "Name: mine\nVersion: 1\n", direct_url_json=f'{{"url": "file://{source}"}}')
    install(tmp_path, "bare-1.dist-info", "Name: bare\nVersion: 1\n")
    installed = Installed.in_folders([str(tmp_path)])

    def owner(file: Path) -> str:
        found = installed.owner(str(file))
        return found.name if found else ""

    assert owner(tmp_path / "PIL/__init__.py") == "pillow"
    assert owner(tmp_path / "a,b.py") == "pillow"
    assert owner(source / "src/mine/train.py") == "mine"
    assert owner(tmp_path / "bare.cpython-311-x86_64-linux-gnu.so") == "bare"
    assert owner(tmp_path / "stranger.py") == ""


def test_the_modules_here_have_owners(tmp_path: Path) -> None:
    import packaging
    import yaml

    path = SearchPath.of(tmp_path)
    names = [owner.name for module in (yaml, packaging) if (owner := owner_of(str(module.__file__), path))]
    assert names == ["PyYAML", "packaging"]


def test_requirements_in_a_circle_end(tmp_path: Path) -> None:
    install(tmp_path, "x-1.dist-info", "Name: x\nVersion: 1\nRequires-Dist: y[all]\n")
    install(tmp_path, "y-1.dist-info", 'Name: y\nVersion: 1\nRequires-Dist: x[all]; extra == "all"\n')
    installed = Installed.in_folders([str(tmp_path)])
    assert unmet_requirements(installed) == []
    assert closure(installed, ["X"]) == {"x", "y"}


@pytest.mark.parametrize("line", ["not a requirement!", "x @ ://", "y>=1; nonsense == 3"])
def test_unreadable_requirements_are_passed_over(tmp_path: Path, line: str) -> None:
    install(tmp_path, "x-1.dist-info", f"Name: x\nVersion: 1\nRequires-Dist: {line}\n")
    assert unmet_requirements(Installed.in_folders([str(tmp_path)])) == []


def test_a_version_that_follows_no_rule_will_do() -> None:
    from packaging.requirements import Requirement

    assert satisfies("2013-a", Requirement("x>=3"))
    assert satisfies("2.13.0+cpu", Requirement("x==2.13.0"))
    assert not satisfies("2.13.0+cpu", Requirement("x==2.13.0+cu121"))


@pytest.mark.parametrize(
    ("module", "name"),
    [("cv2", "opencv-python"), ("PIL.Image", "Pillow"), ("google.protobuf", "protobuf"), ("flash_attn", "flash-attn")],
)
def test_import_names_lead_to_distributions(module: str, name: str) -> None:
    assert distribution_name(module) == name


def test_the_program_that_installs_most_is_the_one_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, tool in (("x", "uv\n"), ("y", "uv"), ("z", "pip\n"), ("w", "")):
        install(tmp_path, f"{name}-1.dist-info", f"Name: {name}\nVersion: 1\n", INSTALLER=tool)
    assert Installed.in_folders([str(tmp_path)]).installer() == "uv"
    assert Installed([]).installer() == "pip"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install_command(["a>1"], "uv") == f"{sys.executable} -m pip install 'a>1'"
    for program in ("uv", "conda"):
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    assert install_command(["a"], "uv") == f"uv pip install --python {sys.executable} a"
    assert install_command(["a"], "conda") == f"conda install --prefix {sys.prefix} --channel conda-forge a"


def test_the_project_is_known_by_its_source_and_by_its_name(tmp_path: Path) -> None:
    url = f'{{"url": "file://{tmp_path}"}}'
    install(tmp_path, "x-1.dist-info", "Name: x\nVersion: 1\n", direct_url_json=url)
    install(tmp_path, "y_y-1.dist-info", "Name: y.y\nVersion: 1\n", direct_url_json='{"url": "https://example.org/y"}')
    x, y = Installed.in_folders([str(tmp_path)])
    assert [is_project(each, tmp_path) for each in (x, y)] == [True, False]
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'Y-Y'\n")
    assert is_project(y, tmp_path)
