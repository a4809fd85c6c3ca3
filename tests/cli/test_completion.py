"""The scripts do in real shells what they are for."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from preflight.cli.completion import main, words
from preflight.cli.main import COMMANDS
from preflight.reports import FORMATS

ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "TERM": "dumb"}
LINES = {
    "preflight expl": {"explain"},
    "preflight run --format ": set(FORMATS),
    "preflight run --stri": {"--strict"},
    "preflight env loc": {"lock"},
    "preflight explain data.lfs": {"data.lfs-pointer"},
    "preflight run --only data.is-r": {"data.is-readable"},
}
BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_preflight; printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    assert main([shell]) == 0
    path = folder / f"preflight.{shell}"
    path.write_text(capsys.readouterr().out)
    return path


def output(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_command_is_known() -> None:
    assert list(words()) == list(COMMANDS)


def test_bash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = script("bash", tmp_path, capsys)
    for line, wanted in LINES.items():
        said = output(["bash", "-c", BASH, "bash", str(path), *line.split(" ")], tmp_path)
        assert set(said.split()) == wanted, line
    assert output(["bash", "-c", BASH, "bash", str(path), "preflight", "run", "--config", ""], tmp_path).split() == []


def test_fish(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = script("fish", tmp_path, capsys)
    for line, wanted in LINES.items():
        said = output(["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"], tmp_path)
        assert {each.partition("\t")[0] for each in said.splitlines()} == wanted, line


def test_zsh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Typed at a terminal, since zsh completes nowhere else."""
    path = script("zsh", tmp_path, capsys)
    process, terminal = pty.fork()
    if not process:
        os.chdir(tmp_path)
        os.execvpe("zsh", ["zsh", "-f", "-i"], ENVIRONMENT)
    try:
        os.write(terminal, f"autoload -U compinit; compinit -u -D; source {path}; print read''y\n".encode())
        assert heard(terminal, "ready\r")
        os.write(terminal, b"print =preflight; preflight expl\t data.lfs-p\t")
        assert heard(terminal, "explain data.lfs-pointer")
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)
        os.close(terminal)


def heard(terminal: int, wanted: str) -> bool:
    said, end = "", time.monotonic() + 40
    while wanted not in said.replace("\b", "").replace("  ", " ") and time.monotonic() < end:
        if select.select([terminal], [], [], 0.5)[0]:
            said += os.read(terminal, 4096).decode(errors="replace")
    return wanted in said.replace("\b", "").replace("  ", " ") or pytest.fail(repr(said))


def test_runs_are_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / ".preflight" / "runs" / "monday").mkdir(parents=True)
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == "monday\n"
