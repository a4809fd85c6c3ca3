"""`preflight data`: lists that are written, and verified."""

import shutil
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest


@pytest.fixture
def data(project: Path, preflight: Any, tmp_path: Path) -> Any:
    """Return `data(*arguments)`, in a project with a folder of two files."""
    (project / "set" / "deep").mkdir(parents=True)
    (project / "set" / "a.txt").write_text("a")
    (project / "set" / "deep" / "b.txt").write_text("b")

    def run(*arguments: str) -> CompletedProcess[str]:
        return preflight("data", *arguments, XDG_CACHE_HOME=str(tmp_path / "cache"))

    return run


def test_write_and_verify(data: Any, project: Path) -> None:
    written = data("manifest", "set")
    assert (written.returncode, written.stderr) == (0, "")
    assert written.stdout.startswith("set/MANIFEST: 2 files, ")
    assert data("verify", "set/MANIFEST").stdout == "2 files, all right\n"
    (project / "set" / "a.txt").write_text("c")
    (project / "set" / "deep" / "b.txt").unlink()
    (project / "set" / "c.txt").write_text("")
    wrong = data("verify", "set/MANIFEST")
    assert wrong.returncode == 1
    assert wrong.stdout.splitlines() == [
        "missing: deep/b.txt",
        "changed: a.txt",
        "not in the list: c.txt",
        "2 files, 2 wrong",
    ]


def test_the_list_can_stand_elsewhere_and_is_the_same_each_time(data: Any, project: Path) -> None:
    data("manifest", "set", "--output", "lists.txt", "--algorithm", "sha256")
    text = (project / "lists.txt").read_text()
    assert "SHA256 (set/deep/b.txt) = " in text
    assert data("verify", "lists.txt").returncode == 0
    shutil.copytree(project / "set", project / "copy")
    shutil.rmtree(project / "set")
    (project / "copy").rename(project / "set")
    data("manifest", "set", "--output", "lists.txt", "--algorithm", "sha256")
    assert (project / "lists.txt").read_text() == text


def test_a_bit_that_has_turned_is_found_by_reading_all(data: Any, project: Path) -> None:
    import os
    import time

    data("manifest", "set")
    time.sleep(1.1)
    data("verify", "set/MANIFEST")
    assert "2 not read again" in data("verify", "set/MANIFEST").stdout
    # The disk changes what it holds, and no time is written down: a memory that says so of the damaged file.
    memory = next(each for each in (project.parent / "cache").rglob("*") if each.is_file())
    facts = os.stat(project / "set" / "a.txt")
    (project / "set" / "a.txt").write_text("x")
    os.utime(project / "set" / "a.txt", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    now = os.stat(project / "set" / "a.txt")
    was, new = (each.st_ino.to_bytes(8, "little") + each.st_ctime_ns.to_bytes(8, "little") for each in (facts, now))
    memory.write_bytes(memory.read_bytes().replace(was, new))
    assert data("verify", "set/MANIFEST").returncode == 0
    full = data("verify", "set/MANIFEST", "--full")
    assert full.returncode == 1
    assert full.stdout.startswith("corrupt (looks as it did, and differs): a.txt\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("manifest", "none"), "none is no folder"),
        (("manifest", "foo.yaml"), "foo.yaml is no folder"),
        (("manifest", "set", "--output", "none/x"), "cannot be written"),
        (("verify", "none"), "none cannot be read"),
        (("verify", "foo.yaml"), "foo.yaml is no list of checksums"),
        (("verify", "set"), "set cannot be read"),
        ((), "required"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], words: str, data: Any) -> None:
    answer = data(*arguments)
    assert answer.returncode == 2
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr
