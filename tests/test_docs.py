"""What README.md and docs/ show is what happens."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from preflight import config

REPOSITORY = Path(__file__).parents[1]
PAGES = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]
SCRIPTS = Path(sys.executable).parent
HOME = "/home/me/preflight"
# What `make test` leaves in the environment, and what colours an output.
FOREIGN = {"FORCE_COLOR", "MAKEFLAGS", "MAKELEVEL", "PYTHON", "PYTHONPATH", "VENV"}
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name not in FOREIGN},
    "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
    "NO_COLOR": "1",
}


def blocks_of(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a page that are in one language."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands_of(page: str) -> list[str]:
    """Return the lines of a page's shell blocks, without comments."""
    lines = "".join(blocks_of(page, "sh")).splitlines()
    return [line.partition("#")[0].strip() for line in lines]


def call(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would, and keep what it prints."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, text=True, check=False, timeout=300, **streams)


def masked(text: str, repository: Path) -> list[str]:
    """Return the lines of an output without what differs from one run, one machine or one repository to the next."""
    for place, name in ((sys.prefix, f"{HOME}/.venv"), (str(repository), HOME), (socket.gethostname(), "desk")):
        text = text.replace(place, name)
    text = re.sub(r"\b\d+(\.\d+)? ?m?s\b", "_ s", text)
    text = re.sub(r"\b[Pp]ython ?3[.\d]*", "python", text)
    # What put the environment there is what its remedies name.
    text = re.sub(r"uv pip install --python (\S+)", r"\1 -m pip install", text)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("info ")]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of what the commands of the README need, with an environment that counts as set up."""
    folder = tmp_path / "repository"
    shutil.copytree(REPOSITORY / "examples", folder / "examples", ignore=shutil.ignore_patterns("data", "__pycache__"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, folder / name)
    (folder / ".venv").mkdir()
    for part in SCRIPTS.parent.iterdir():
        (folder / ".venv" / part.name).symlink_to(part)
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    for stamp in ("user", "developer"):
        (folder / ".venv" / stamp).unlink(missing_ok=True)
        (folder / ".venv" / stamp).touch()
    return folder


def project_of(folder: Path, check: str) -> Path:
    """Write a project that has one check file, and in which every check of the docs passes."""
    (folder / "shards").mkdir()
    (folder / "shards" / "1.shard").write_bytes(b"data END\n")
    (folder / "words.txt").write_text("<pad> a b", encoding="utf-8")
    (folder / "config.yaml").write_text("vocabulary: words.txt\nshards: shards\npreflight: {imports: [torch]}\n")
    (folder / "preflight_checks").mkdir()
    (folder / "preflight_checks" / "check_example.py").write_text(check, encoding="utf-8")
    return folder


def test_two_commands_set_up_everything() -> None:
    assert commands_of("README.md")[:2] == ["make example", "make test"]
    assert "make test " in (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_example_is_checked(repository: Path) -> None:
    if not find_spec("torch") or not find_spec("sklearn"):
        pytest.skip("the example needs torch and scikit-learn")
    done = call(["make", "example"], repository)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("GO ")


@pytest.mark.slow
def test_a_first_section_is_written_and_good(repository: Path) -> None:
    if not find_spec("torch") or not find_spec("sklearn"):
        pytest.skip("the example needs torch and scikit-learn")
    folder = repository / "examples" / "digits"
    experiment, _, _ = (folder / "config.yaml").read_text(encoding="utf-8").partition("preflight:")
    (folder / "config.yaml").write_text(experiment, encoding="utf-8")
    assert call(["python", "prepare.py"], folder).returncode == 0
    for command in commands_of("README.md")[2:]:
        done = call(shlex.split(command), folder)
        assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("GO ")


def test_the_tests_are_run(repository: Path) -> None:
    done = call(["make", "--dry-run", "test"], repository)
    command = ".venv/bin/python -m pytest --numprocesses 4 --dist loadfile -m 'not slow'"
    assert done.stdout.splitlines()[-1].endswith(command), done.stdout


def test_a_fresh_machine_gets_torch_first(repository: Path) -> None:
    shutil.rmtree(repository / ".venv")
    lines = call(["make", "--dry-run", "test"], repository).stdout.splitlines()
    assert "-m venv .venv" in lines[0]
    assert lines[1].endswith("pip install --disable-pip-version-check torch==2.13.0")
    assert "torch==2.13.0" in (REPOSITORY / "examples" / "digits" / "requirements.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", blocks_of("README.md", "console"))
def test_output_is_what_happens(block: str, repository: Path) -> None:
    folder = repository
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
        if command.startswith("cd "):
            folder /= command.removeprefix("cd ")
            continue
        assert masked(call(shlex.split(command), folder).stdout, repository) == masked(shown, repository)


@pytest.mark.parametrize("block", blocks_of("README.md", "yaml"))
def test_configs_are_understood(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_ROOT", "/data")
    assert config.load(None, text=block).imports


CHECKS = [*blocks_of("README.md", "python"), *blocks_of("docs/writing-checks.md", "python")]


@pytest.mark.parametrize("check", CHECKS)
def test_checks_pass_in_a_healthy_project(check: str, tmp_path: Path) -> None:
    if "torch" in check and not find_spec("torch"):
        pytest.skip("needs torch")
    folder = project_of(tmp_path, check)
    done = call(["preflight", "run", "--config", "config.yaml", "--only", "example"], folder)
    assert done.stdout.splitlines()[-1].startswith("GO "), done.stdout


@pytest.mark.parametrize("check", [each for each in CHECKS if "torch" not in each])
def test_checks_fail_in_a_broken_project(check: str, tmp_path: Path) -> None:
    folder = project_of(tmp_path, check)
    (folder / "words.txt").write_text("a b", encoding="utf-8")
    (folder / "shards" / "1.shard").write_bytes(b"data")
    done = call(["preflight", "run", "--config", "config.yaml", "--only", "example"], folder)
    assert done.stdout.splitlines()[-1].startswith("NO-GO "), done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_decisions_are_one_page() -> None:
    long = [page.name for page in REPOSITORY.glob("docs/decisions/*.md") if len(page.read_text().splitlines()) > 40]
    assert long == []


def test_this_repository_passes_its_own_checks() -> None:
    done = call(["preflight", "run"], REPOSITORY)
    assert done.returncode == 0, done.stdout
