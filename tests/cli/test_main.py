"""Every way the command itself can end: a code, a line, never a traceback."""

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import preflight as package
from preflight import __main__ as start
from preflight.cli import explain, version
from preflight.cli.main import COMMANDS, main

HIDING = [
    "typing",
    "random",
    "re",
    "argparse",
    "json",
    "yaml",
    "dataclasses",
    "enum",
    "difflib",
    "inspect",
    "packaging",
]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in COMMANDS)


def test_every_command_has_a_file() -> None:
    assert [name for name in COMMANDS if find_spec(f"preflight.cli.{name}") is None] == []


def test_without_a_command_the_help_is_a_mistake() -> None:
    assert main([]) == 2


def test_an_unknown_command_is_met_with_the_nearest(preflight) -> None:
    ended = preflight("rnu")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "preflight: rnu is no command\n  Do you mean `preflight run`?\n"


def test_a_wrong_option_is_a_mistake(preflight) -> None:
    ended = preflight("run", "--fromat", "json")
    assert ended.returncode == 2
    assert "--fromat" in ended.stderr


def test_version_names_the_package(preflight) -> None:
    ended = preflight("--version")
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[0].startswith(f"preflight {package.__version__} (pytest-preflight), Python 3.")


@pytest.mark.parametrize("where", ["working directory", "PYTHONPATH"])
def test_files_of_the_user_hide_nothing(where: str, tmp_path: Path, preflight, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HIDING:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the {name} of the user is imported')\n")
    if where == "working directory":
        monkeypatch.chdir(tmp_path)
    environment = {} if where == "working directory" else {"PYTHONPATH": str(tmp_path)}
    ended = preflight("explain", "data", **environment)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_package_that_only_pythonpath_has_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), "/elsewhere", os.getcwd()])
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}")
    start._put_path_right()
    assert sys.path == ["/elsewhere", str(tmp_path), os.getcwd()]


def test_a_deleted_working_directory(tmp_path: Path) -> None:
    line = f"cd {tmp_path} && rmdir {tmp_path} && exec {sys.executable} -m preflight --version"
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str) -> None:
    line = f"{sys.executable} -m preflight explain data.missing {closed}"
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_reader_who_goes_away() -> None:
    line = f"{{ {sys.executable} -m preflight explain data.missing; echo $? >&2; }} | true"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr == "0\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_the_standard_output() -> None:
    line = f"{sys.executable} -m preflight explain data.missing >/dev/full"
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "preflight: the standard output cannot be written: No space left on device\n"


def raising(problem: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    def raise_it(_argv: list[str]) -> int:
        raise problem

    monkeypatch.setattr(explain, "main", raise_it)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return start.main(["explain", "x"])


def test_ctrl_c_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert raising(KeyboardInterrupt(), monkeypatch) == 130
    assert signal.getsignal(signal.SIGINT) == before, "who calls main goes on to hear Ctrl-C"
    assert capsys.readouterr().err == "preflight: interrupted\n"


@pytest.mark.parametrize("problem", [KeyError("x\x1b\ny"), RecursionError("deep"), MemoryError()])
def test_a_fault_of_ours_is_kept_in_a_file(
    problem: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(problem, monkeypatch) == 3
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"preflight itself failed: {type(problem).__name__}: ")
    kept = Path(second.partition("the traceback is in ")[2].partition(";")[0])
    assert "raise problem" in kept.read_text()
    kept.unlink()


def rival(folder: Path, **files: str) -> None:
    information = folder / "preflight-0.3.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: preflight\nVersion: 0.3\n")
    for name, text in files.items():
        (
            information / name.replace("top_level", "top_level.txt").replace("entry_points", "entry_points.txt")
        ).write_text(text)


@pytest.mark.parametrize(
    "files",
    [
        {"top_level": "preflight\n"},
        {"entry_points": "[console_scripts]\npreflight = preflight.cli:main\n"},
        {"RECORD": "preflight-0.3.dist-info/METADATA,,\npreflight/__init__.py,,\n"},
    ],
)
def test_another_owner_of_the_name_is_told(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert version.rivals() == []
    rival(tmp_path, **files)
    monkeypatch.syspath_prepend(tmp_path)
    (line,) = version.rivals()
    assert "pip uninstall preflight" in line


def test_a_plugin_of_another_name_is_no_rival(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rival(tmp_path, RECORD="preflight_tools/__init__.py,,\n", top_level="tools\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert version.rivals() == []


def test_a_package_that_another_has_overwritten(tmp_path: Path) -> None:
    shutil.copytree(Path(package.__file__).parent, tmp_path / "preflight")
    (tmp_path / "preflight" / "__init__.py").write_text("__version__ = '0.3'\n")
    rival(tmp_path, top_level="preflight\n")
    ended = subprocess.run(
        [sys.executable, "-m", "preflight", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("preflight: another distribution has overwritten this package\n  the installed")
