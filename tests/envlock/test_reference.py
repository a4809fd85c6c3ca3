"""What other programs say of our files: conda-lock's parser, schema, hash and renderer, packaging, pip and uv."""

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from preflight import writing
from preflight.envlock.content_hash import content_hash
from preflight.envlock.inventory import Inventory
from preflight.envlock.lock import read_lock
from preflight.envlock.plan import plan
from preflight.envlock.specification import read_specification

pytestmark = pytest.mark.slow

Inventories = Callable[[Path], Inventory]
PLATFORMS = ["linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64"]
REPOSITORY = Path(__file__).parents[2]
SPECIFICATIONS = {
    "plain": "channels: [conda-forge]\ndependencies: [python=3.11, numpy]\n",
    "versions": """
channels: [pytorch, nvidia, conda-forge, nodefaults]
dependencies:
  - python >=3.10, <3.13
  - numpy==1.26.4
  - scipy 1.11.*
  - pandas=2
  - blas=*=*mkl
  - pytorch=2.1=*cuda*
  - cudatoolkit>=11 h1_0
  - conda-forge::tqdm
  - six[version='>=1']
  - NumPy-Stubs !=1.3
  - regex=2023|2024
""",
    "selectors": """
channels: [https://host.example/channel]
dependencies:
  - python
  - appnope # [osx]
  - pywin32  # [win]
  - libgcc  # [linux64]
  # - commented # [osx]
""",
    "pip": """
name: exp
channels: [conda-forge]
platforms: [linux-64]
category: train
dependencies:
  - python=3.12
  - pip
  - pip:
    - wandb
    - requests[socks]==2.32.3
    - torch>=2,<3 ; sys_platform == 'linux'
    - tomli ; python_version < "3.11"
    - -e .
    - Tool @ https://host.example/tool-1.0-py3-none-any.whl#sha256=00
    - proj @ git+https://host.example/o/proj.git@abc123
    - part @ git+https://host.example/o/part.git@v1#subdirectory=src
    - idna~=3.1
    - six==1.16.0 --hash=sha256:0123
""",
    "twice": "channels: [conda-forge]\ndependencies: [python, python=3.11, pip, {pip: [idna, idna>=3]}]\n",
    "repositories": """
channels: [conda-forge]
pip-repositories: ["https://$PIP_USER:$PIP_PASSWORD@host.example/simple"]
dependencies: [python, pip, {pip: [idna]}]
""",
    "variables": "channels: ['https://host.example/t/$TOKEN/channel']\ndependencies: [python]\n",
}


def said_by_conda_lock(*folders: Path) -> list[dict[str, Any]]:
    if find_spec("conda_lock") is None:
        pytest.skip("needs conda-lock")
    program = REPOSITORY / "tests/worlds/reference.py"
    done = subprocess.run([sys.executable, program, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_hash_is_that_of_conda_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN", "PIP_USER", "PIP_PASSWORD"):
        monkeypatch.setenv(name, f"secret-{name}")
    for name, text in SPECIFICATIONS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "environment.yml").write_text(text)
    said = said_by_conda_lock(*(tmp_path / name for name in SPECIFICATIONS))
    for name, wanted in zip(SPECIFICATIONS, said, strict=True):
        file = tmp_path / name / "environment.yml"
        ours = {platform: content_hash(read_specification(file, platform), platform) for platform in PLATFORMS}
        assert (name, ours) == (name, wanted["hashes"])


@pytest.mark.usefixtures("index")
def test_a_mixed_lock_is_understood_and_rendered(mixed: Path, root: Path, inventory_of: Inventories) -> None:
    writing.save(plan(inventory_of(mixed), root).files)
    [said] = said_by_conda_lock(root)
    lock = read_lock(root / "conda-lock.yml")
    packages = lock.packages("linux-64")
    assert sorted(said["packages"]) == sorted([each.manager, each.name, "linux-64"] for each in packages)
    assert "Spec hash already locked for ['linux-64']. Skipping solve." in said["told"]
    conda = {f"{each.url}#{each.md5}" for each in packages if each.manager == "conda"}
    pip = {f"# pip {each.name} @ {each.url}#sha256={each.sha256}" for each in packages if each.manager == "pip"}
    assert conda | pip <= set(said["rendered"]["linux-64"])


def test_a_lock_of_a_virtual_environment_is_understood(
    virtual: Path, root: Path, inventory_of: Inventories, index: Any, pip: Callable[..., None]
) -> None:
    pylock = pytest.importorskip("packaging.pylock", reason="needs a packaging that knows pylock.toml")
    pip(virtual, "install", "gadget==1.0")
    writing.save(plan(inventory_of(virtual), root).files)
    found = pylock.Pylock.from_dict(tomllib.loads((root / "pylock.toml").read_text()))
    found.validate()
    wheels = {each.name: each.wheels[0] for each in found.packages}
    assert wheels["gadget"].url == f"http://{index.host}/files/gadget-1.0-py3-none-any.whl"


@pytest.mark.usefixtures("index")
def test_pip_and_uv_name_the_same_files(
    mixed: Path, root: Path, inventory_of: Inventories, index: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {
        each.name: (each.url, each.sha256) for each in plan(inventory_of(mixed), root).packages if each.manager == "pip"
    }
    pins = [f"{each.key}=={each.version}" for each in inventory_of(mixed).distributions]
    words = ["-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--ignore-installed", "--report", "-"]
    done = subprocess.run([mixed / "bin/python", *words, *pins], capture_output=True, text=True, check=True)
    reported = [(each["metadata"]["name"], each["download_info"]) for each in json.loads(done.stdout)["install"]]
    assert {name: (each["url"], each["archive_info"]["hashes"]["sha256"]) for name, each in reported} == ours
    uv = shutil.which("uv", path=Path(sys.executable).parent)
    if uv is None:
        pytest.skip("needs uv")
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
    words = ["pip", "compile", "--quiet", "--no-deps", "--format", "pylock.toml", "--python", mixed / "bin/python", "-"]
    done = subprocess.run([uv, *words], input="\n".join(pins), capture_output=True, text=True, check=True)
    listed = {each["name"]: each["wheels"][0] for each in tomllib.loads(done.stdout)["packages"]}
    assert {name: (each["url"], each["hashes"]["sha256"]) for name, each in listed.items()} == ours
