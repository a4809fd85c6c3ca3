"""`preflight env` as a user types it: what it says, and the exit code."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def once(conda: ModuleType, channel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conda prefix, installed once."""
    folder = tmp_path_factory.mktemp("once") / "exp"
    conda.install(channel, folder, "python", "pip", "tinyapp >=0.3", "tinyssl")
    return folder


@pytest.fixture
def prefix(once: Path, tmp_path: Path) -> Path:
    """A conda prefix."""
    return Path(shutil.copytree(once, tmp_path / "exp", symlinks=True))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, in which no environment is active."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_lock_check_restore(preflight: Command, root: Path, prefix: Path, conda: ModuleType, channel: Path) -> None:
    here = ("--prefix", str(prefix))
    said = preflight("env", "check", *here)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.splitlines()[-1] == "    preflight env lock"

    said = preflight("env", "lock", "--offline", *here)
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines() == [
        f"env: {prefix} (conda), chosen since --prefix names it",
        "env: environment.yml and conda-lock.yml: 5 packages",
    ]
    for _ in range(2):
        said = preflight("env", "check", *here)
        assert said.returncode == 0, said.stderr
        assert said.stdout.splitlines()[0] == f"env: {prefix} (conda) is what conda-lock.yml says"

    conda.install(channel, prefix, "python", "pip", "tinyapp", "tinylib=1.9")
    said = preflight("env", "check", *here)
    assert said.returncode == 1, said.stderr
    shown = said.stdout.replace(str(prefix), "/envs/exp").replace(sys.version.split()[0], "3.12.15")
    assert (
        shown
        == """\
env: 2 differences between conda-lock.yml and /envs/exp (conda)
  chosen since --prefix names it
  conda  tinylib  locked 2.0-py_1, installed 1.9-py_0
  conda  tinyssl  locked 1.1.1w-h0_0, not installed
  back    preflight env restore --prefix /envs/exp
  record  preflight env commit --prefix /envs/exp
"""
    )
    assert shown in (REPOSITORY / "docs/env-lock.md").read_text(encoding="utf-8")

    said = preflight("env", "restore", *here)
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[0] == f"env: 2 changes make {prefix} (conda) what conda-lock.yml says"
    assert preflight("env", "check", "--deep", *here).returncode == 0


def test_a_program_reads_the_answer(
    preflight: Command, root: Path, prefix: Path, conda: ModuleType, channel: Path
) -> None:
    here = ("--prefix", str(prefix), "--format", "json")
    said = json.loads(preflight("env", "lock", "--offline", *here).stdout)
    assert said["files"] == [str(root / "environment.yml"), str(root / "conda-lock.yml")]
    said = json.loads(preflight("env", "check", *here).stdout)
    assert said["in_sync"] is True
    assert said["environment"]["kind"] == "conda"
    conda.install(channel, prefix, "python", "pip", "tinyapp")
    done = preflight("env", "diff", *here)
    assert done.returncode == 1
    said = json.loads(done.stdout)
    [change] = said["locks"][0]["changes"]
    assert (said["in_sync"], change["kind"], change["before"]["version"]) == (False, "missing", "1.1.1w")


def test_the_environment_of_another_name_is_not_meant(
    preflight: Command, root: Path, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "environment.yml").write_text("name: other\nchannels: []\ndependencies: [python]\n")
    monkeypatch.setenv("CONDA_PREFIX", str(prefix))
    said = preflight("env", "check")
    assert said.returncode == 2
    assert f"the file is for the environment other, and {prefix} is found: CONDA_PREFIX says" in said.stderr
    assert f"--prefix {prefix}" in said.stderr
    assert preflight("env", "check", "--prefix", str(prefix)).returncode == 0
    (root / "preflight.yaml").write_text(f"preflight: {{python: {prefix}/bin/python}}\n")
    said = preflight("env", "check")
    assert said.returncode == 0, said.stderr
    assert "which the config names as `python:`" in said.stdout


def test_the_locks_that_the_config_names_are_compared(preflight: Command, root: Path, prefix: Path) -> None:
    (root / "preflight.yaml").write_text("preflight: {packages: {lock: [wanted.txt, environment.yml]}}\n")
    (root / "wanted.txt").write_text("tinylib==1.9\n")
    (root / "environment.yml").write_text("channels: []\ndependencies: [tinylib=2]\n")
    said = preflight("env", "check", "--prefix", str(prefix))
    assert said.returncode == 1
    assert "between wanted.txt" in said.stdout
    assert "is what environment.yml says" in said.stdout


def test_commit(preflight: Command, root: Path, prefix: Path, conda: ModuleType, channel: Path) -> None:
    here = ("--prefix", str(prefix), "--offline")
    for words in (["init", "--quiet"], ["config", "user.name", "a"], ["config", "user.email", "a@host.example"]):
        subprocess.run(["git", *words], check=True)
    said = preflight("env", "commit", *here)
    assert said.returncode == 0, said.stderr
    assert preflight("env", "commit", *here).stdout.splitlines()[-1] == "env: nothing to commit"
    conda.install(channel, prefix, "python", "pip", "tinyapp", "tinyssl", "tinylib=1.9")
    # What was locked and not yet committed counts too.
    assert preflight("env", "lock", *here).returncode == 0
    assert preflight("env", "commit", *here).returncode == 0
    log = subprocess.run(["git", "log", "--format=%s"], check=True, capture_output=True, text=True).stdout
    assert log.splitlines()[0] == "env: tinylib 2.0 -> 1.9"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["env", "check", "--prefix", "absent"], "absent is no folder"),
        (["env", "check", "--prefix", "."], "neither conda-meta nor lib/python3.*/site-packages"),
        (["env"], "the following arguments are required"),
        (["env", "lock", "--deep"], "unrecognized arguments: --deep"),
    ],
)
def test_what_cannot_be(preflight: Command, root: Path, words: list[str], told: str) -> None:
    said = preflight(*words)
    assert said.returncode == 2
    assert told in said.stderr
    assert "Traceback" not in said.stderr


def test_the_gate_compares_the_environment_of_the_job(preflight: Command, root: Path, prefix: Path) -> None:
    assert preflight("env", "lock", "--offline", "--prefix", str(prefix)).returncode == 0
    section = f"{{python: {prefix}/bin/python, packages: {{lock: conda-lock.yml, consistent: false}}}}"
    (root / "preflight.yaml").write_text(f"preflight: {section}\n")
    said = preflight("run", "--only", "packages.matches-lock")
    assert said.returncode == 0, said.stdout
    lock = root / "conda-lock.yml"
    lock.write_text(lock.read_text().replace("version: '2.0'", "version: '1.9'"))
    said = preflight("run", "--only", "packages.matches-lock")
    assert said.returncode == 1, said.stdout
    assert "tinylib 2.0, conda-lock.yml wants 1.9  [packages.drift]" in said.stdout
