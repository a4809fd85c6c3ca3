"""What environment.yml asks for, and whether what is installed is that."""

from pathlib import Path

import pytest

from preflight.envlock.model import Package
from preflight.envlock.specification import is_met, parse_spec, read_specification
from preflight.errors import UserError


@pytest.mark.parametrize(
    ("line", "version", "build", "met"),
    [
        ("numpy", "1.26.4", "", True),
        ("numpy=1.26", "1.26.4", "", True),
        ("numpy=1.26", "1.27.0", "", False),
        ("numpy=1.2", "1.26.4", "", False),
        ("numpy==1.26.4", "1.26.4", "", True),
        ("numpy==1.26", "1.26.4", "", False),
        ("numpy 1.26.*", "1.26.4", "", True),
        ("numpy >=1.26,<2", "1.26.4", "", True),
        ("numpy >=1.26, <2", "2.0.1", "", False),
        ("numpy>1.26.4", "1.26.4", "", False),
        ("numpy!=1.26.4", "1.26.4", "", False),
        ("numpy!=1.26.*", "1.26.4", "", False),
        ("numpy~=1.25", "1.26.4", "", True),
        ("numpy~=1.25", "2.0", "", False),
        ("numpy<1.26|>=2", "2.0.1", "", True),
        ("numpy<1.26|>=2", "1.26.4", "", False),
        ("numpy=1.26.4=py_0", "1.26.4", "py_0", True),
        ("numpy=1.26.4=py_0", "1.26.4", "py_1", False),
        ("pytorch=2.1=*cuda*", "2.1", "py3.11_cuda12.1_0", True),
        ("pytorch=2.1=*cuda*", "2.1", "py3.11_cpu_0", False),
        ("conda-forge::numpy>=1", "1.26.4", "", True),
        ("numpy[version='>=2']", "1.26.4", "", False),
        # What cannot be compared is no difference.
        ("openssl>=1.1.1", "1.1.1w", "", True),
        ("tzdata=2026c", "2026c", "", True),
        ("tzdata=2026b", "2026c", "", False),
    ],
)
def test_what_is_asked_for(line: str, version: str, build: str, met: bool) -> None:
    spec = parse_spec(line)
    assert spec
    assert is_met(spec, Package(name=spec.name, version=version, manager="conda", build=build)) is met


def read(folder: Path, text: str, platform: str = "linux-64") -> object:
    file = folder / "environment.yml"
    file.write_text(text)
    return read_specification(file, platform)


def test_lines_for_another_platform_are_passed_over(tmp_path: Path) -> None:
    text = "dependencies:\n- python\n- appnope # [osx]\n- libgcc  # needed  # [linux]\n# - pip # [osx]\n"
    assert [spec.name for spec in read(tmp_path, text).conda] == ["python", "libgcc"]
    assert [spec.name for spec in read(tmp_path, text, "osx-arm64").conda] == ["python", "appnope"]


@pytest.mark.parametrize(
    ("text", "where", "told"),
    [
        ("name: exp\n", "environment.yml: dependencies", "`dependencies` is missing"),
        ("dependencies: python\n", "environment.yml:1: dependencies", "`dependencies` is no list"),
        ("dependencies:\n- python\n- 3\n", "environment.yml:3: dependencies[1]", "3 is no package"),
        ("dependencies:\n- npm: [a]\n", "environment.yml:2: dependencies[0]", "is no package"),
        ("dependencies:\n- python\n- '>=3'\n", "environment.yml:3: dependencies[1]", "no package specification"),
        ("channels: conda-forge\ndependencies: []\n", "environment.yml:1: channels", "`channels` is no list"),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, text: str, where: str, told: str) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, text)
    assert raised.value.where == f"{tmp_path}/{where}"
    assert told in raised.value.message
