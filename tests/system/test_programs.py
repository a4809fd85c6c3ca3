"""Which program a job runs, and which of its files are no Python."""

from pathlib import Path

import pytest

from preflight.system.programs import not_compiling, read_scripts, scripts_of


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


def test_the_script_is_the_one_that_is_run(tmp_path: Path) -> None:
    write(tmp_path, train="", other="", package="")
    assert scripts_of([], [], tmp_path) == [tmp_path / "train.py"]
    assert scripts_of(["python other.py --x 'a b'"], [], tmp_path) == [tmp_path / "other.py"]
    assert scripts_of(["python -m 'unclosed"], ["package"], tmp_path) == [
        tmp_path / "train.py",
        tmp_path / "package.py",
    ]


@pytest.mark.parametrize("text", ["def f(:\n", "x = 1\nreturn x\n", "f(**a, *b)\n"])
def test_a_file_that_python_cannot_compile(tmp_path: Path, text: str) -> None:
    write(tmp_path, train="import model\nx = '\\d'\n", model="import layers\n", layers=text, unused="def f(:\n")
    [found] = not_compiling([tmp_path / "train.py"], tmp_path)
    assert found.file == tmp_path / "layers.py"
    assert found.line in (1, 2)
    write(tmp_path, layers="")
    assert list(not_compiling([tmp_path / "train.py"], tmp_path)) == []


def test_a_script_that_is_no_python_holds_nothing(tmp_path: Path) -> None:
    write(tmp_path, train="def f(:\n")
    assert read_scripts([tmp_path / "train.py"], tmp_path).sources == ()
    assert [found.file.name for found in not_compiling([tmp_path / "train.py"], tmp_path)] == ["train.py"]
