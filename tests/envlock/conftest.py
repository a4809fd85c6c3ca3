"""What the tests of the locks share: a package index on this machine, and a conda prefix with pip in it."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from preflight.envlock.environment import Environment
from preflight.envlock.inventory import Inventory


@pytest.fixture(scope="session")
def wheels(load_world: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels."""
    conda = load_world("conda")
    wheel = conda.wheel
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "1.1"):
        wheel(folder, "gadget", version, "widget>=1", 'other-part; extra == "all"')
    wheel(folder, "widget", "1.2")
    wheel(folder, "Show", "5.1")
    shutil.copy(conda.bundled_pip(), folder)
    return folder


@pytest.fixture(scope="session")
def index_type(load_world: Callable[[str], ModuleType]) -> type:
    """The type of an index on this machine."""
    found: type = load_world("index").Index
    return found


@pytest.fixture
def index(index_type: type, wheels: Path, user: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """An index that pip's configuration names as the only one."""
    with index_type(wheels) as served:
        (user / ".config/pip").mkdir(parents=True)
        (user / ".config/pip/pip.conf").write_text(f"[global]\nindex-url = {served.url}\n")
        monkeypatch.setenv("UV_DEFAULT_INDEX", served.url)
        yield served


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any configuration, whose home is empty."""
    home = tmp_path / "home"
    home.mkdir()
    for name in [each for each in os.environ if each.startswith(("PIP_", "UV_", "XDG_", "CONDA_", "VIRTUAL_ENV"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(home))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return home


@pytest.fixture(scope="session")
def mixed_once(conda: ModuleType, channel: Path, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conda prefix in which pip has installed two packages more; tests work on copies."""
    folder = tmp_path_factory.mktemp("mixed") / "envs" / "exp"
    conda.install(channel, folder, "python", "pip", "tinyapp >=0.3", "tinyssl")
    command = [folder / "bin/python", "-m", "pip", "install", "--no-index", "--find-links", wheels, "gadget==1.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def mixed(mixed_once: Path, tmp_path: Path) -> Path:
    """A conda prefix with Python, pip, an application and what it needs, and two packages that pip has installed."""
    return Path(shutil.copytree(mixed_once, tmp_path / "envs" / "exp", symlinks=True))


@pytest.fixture(scope="session")
def virtual_once(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with pip, which is compiled once; tests work on copies."""
    folder = tmp_path_factory.mktemp("virtual") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    with zipfile.ZipFile(next(wheels.glob("pip-*.whl"))) as archive:
        archive.extractall(next(folder.glob("lib/python3.*/site-packages")))
    command = [folder / "bin/python", "-m", "pip", "install", "--no-index", "--find-links", wheels, "widget"]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run(
        [folder / "bin/python", "-m", "pip", "uninstall", "--yes", "widget"], check=True, capture_output=True
    )
    return folder


@pytest.fixture
def virtual(virtual_once: Path, tmp_path: Path) -> Path:
    """A virtual environment with pip."""
    return Path(shutil.copytree(virtual_once, tmp_path / "venv", symlinks=True))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's folder, and the working directory."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def install(conda: ModuleType, channel: Path) -> Callable[..., None]:
    """Return `install(prefix, *specs)`, which makes conda's part of a prefix what is asked for."""
    return lambda prefix, *specs: conda.install(channel, prefix, *specs)


@pytest.fixture
def pip(user: Path) -> Callable[..., None]:
    """Return `pip(prefix, *words)`, which installs and uninstalls: by uv where that is there, which takes no second."""
    uv = shutil.which("uv", path=Path(sys.executable).parent)

    def run(prefix: Path, verb: str, *words: str) -> None:
        command = [uv, "pip", verb, "--python", prefix / "bin/python", *(word for word in words if word != "--yes")]
        if uv is None:
            command = [prefix / "bin/python", "-m", "pip", verb, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return run


@pytest.fixture
def inventory_of() -> Callable[[Path], Inventory]:
    """Return `inventory_of(prefix)`."""
    return lambda prefix: Inventory.of(Environment(prefix, "the test says so"))
