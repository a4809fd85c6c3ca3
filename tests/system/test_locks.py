"""Lock files as people and tools write them."""

from pathlib import Path

import pytest

from preflight.system.locks import LockError, is_conda_lock, read_lock

HASH = "--hash=sha256:" + "0" * 64


def pins(folder: Path, text: str, name: str = "requirements.txt") -> list[tuple[str, int, bool]]:
    (folder / name).write_text(text)
    return [(str(pin.requirement).partition(";")[0], pin.line, pin.needed) for pin in read_lock(folder / name)]


def test_a_requirements_file_with_all_that_may_stand_there(tmp_path: Path) -> None:
    text = f"""\
# a comment
--index-url https://download.example.org/whl/cpu
-e .
torch==2.4.0+cpu \\
    {HASH} \\
    {HASH}

numpy>=1.26,<3  # both will do
requests[socks]==2.32.3; python_version >= "3.8"
old==1; python_version < "3"
wheel @ https://example.org/wheel-1-py3-none-any.whl#sha256=00
./vendored/thing.whl
git+https://example.org/x.git#egg=x
"""
    assert pins(tmp_path, text) == [
        ("torch==2.4.0+cpu", 4, True),
        ("numpy<3,>=1.26", 8, True),
        ("requests[socks]==2.32.3", 9, True),
        ("wheel @ https://example.org/wheel-1-py3-none-any.whl#sha256=00", 11, True),
    ]


def test_included_files_and_constraints(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/base.txt").write_text("numpy==1\n-r more.txt\n")
    (tmp_path / "sub/more.txt").write_text("scipy==1\n")
    (tmp_path / "limits.txt").write_text("-r sub/more.txt\nidna==3\n")
    text = "--requirement=sub/base.txt\n-c limits.txt\n"
    assert pins(tmp_path, text) == [
        ("numpy==1", 1, True),
        ("scipy==1", 1, True),
        ("scipy==1", 1, False),
        ("idna==3", 2, False),
    ]


def test_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes("\ufeffnumpy==1\r\nscipy==2\r\n".encode())
    assert [pin.requirement.name for pin in read_lock(tmp_path / "requirements.txt")] == ["numpy", "scipy"]


def test_pylock(tmp_path: Path) -> None:
    text = """\
lock-version = "1.0"
[[packages]]
name = "numpy"
version = "1.26.4"
[[packages]]
name = "pywin32"
version = "1"
marker = "sys_platform == 'win32'"
[[packages]]
name = "local"
directory = {path = "."}
"""
    assert pins(tmp_path, text, "pylock.toml") == [("numpy==1.26.4", 0, True)]


def test_uv_lock_is_walked_from_the_project(tmp_path: Path) -> None:
    text = """\
version = 1
[[package]]
name = "mine"
version = "0.1"
source = { editable = "." }
dependencies = [
    { name = "numpy" },
    { name = "pywin32", marker = "sys_platform == 'win32'" },
    { name = "torch", version = "2.4.0", source = { registry = "r" }, marker = "sys_platform != 'win32'" },
    { name = "torch", version = "2.3.0", source = { registry = "r" }, marker = "sys_platform == 'win32'" },
]
[package.optional-dependencies]
docs = [{ name = "sphinx" }]
""" + "".join(
        f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = {{ registry = "r" }}\n'
        for name, version in (("numpy", "1"), ("pywin32", "1"), ("torch", "2.3.0"), ("torch", "2.4.0"), ("sphinx", "1"))
    )
    assert sorted(pin for pin, _, _ in pins(tmp_path, text, "uv.lock")) == ["numpy==1", "torch==2.4.0"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("numpy==1\nscipy=1\n", 2, "`scipy=1` is no requirement"),
        ("\n-r absent.txt\n", 2, "-r absent.txt: there is no such file"),
        ("-r requirements.txt\n", 0, "includes itself"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(LockError, match=words) as raised:
        pins(tmp_path, text)
    assert raised.value.line == line


@pytest.mark.parametrize("text", ["a = ", "a = 1", "[[package]]\nversion = '1'", "package = 3"])
def test_toml_that_is_no_lock(tmp_path: Path, text: str) -> None:
    with pytest.raises(LockError):
        pins(tmp_path, text, "uv.lock")


def test_locks_of_conda_are_known_by_name() -> None:
    assert is_conda_lock("envs/conda-lock.yml")
    assert not is_conda_lock("requirements.txt")
