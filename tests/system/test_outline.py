"""The outline of data: what changes shows, and little is read for it."""

import os
import time
from pathlib import Path

import pytest

from preflight.system import outline as outlines
from preflight.system.outline import outline


def test_a_small_file_has_its_digest(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x\n")
    os.utime(file, ns=(7, 7))
    seen = outline(file)
    assert (seen["size"], seen["modified"], len(seen["sha256"])) == (2, 7, 64)
    file.write_text("y\n")
    assert outline(file)["sha256"] != seen["sha256"]


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.touch()
    os.truncate(file, outlines.SMALL + 1)
    assert set(outline(file)) == {"size", "modified"}


def test_a_folder_and_a_glob(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "in/c.png", "in/d.txt"):
        (tmp_path / name).write_text("x" * 10)
        os.utime(tmp_path / name, ns=(len(name), len(name)))
    assert outline(tmp_path) == {"files": 4, "size": 40, "modified": 8}
    assert outline(tmp_path, "**/*.png") == {"files": 3, "size": 30, "modified": 8}
    assert outline(tmp_path / "*.png") == {"files": 2, "size": 20, "modified": 5}
    assert outline(tmp_path / "*.jpg") == {"missing": True}


def test_a_folder_of_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlines, "MOST_FILES", 3)
    for number in range(5):
        (tmp_path / f"{number}").touch()
    assert outline(tmp_path) == {"entries": 5, "modified": tmp_path.stat().st_mtime_ns}


def test_a_folder_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").touch()
    clock = iter([0.0, 10.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    assert outline(tmp_path)["entries"] == 1


def test_what_is_not_there_or_cannot_be_looked_at(tmp_path: Path) -> None:
    assert outline(tmp_path / "nothing") == {"missing": True}
    (tmp_path / "loop").symlink_to("loop")
    assert outline(tmp_path / "loop") == {"error": "Too many levels of symbolic links"}
    (tmp_path / "dangling").symlink_to("nowhere")
    assert outline(tmp_path / "dangling") == {"missing": True}


def test_a_link_in_a_folder_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").symlink_to("nowhere")
    assert "error" not in outline(tmp_path)


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert outline(tmp_path / "pipe")["size"] == 0
