"""Patterns match as a shell's do, paths lead where they lead, and reading changes nothing."""

import errno
import glob
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preflight.system import files
from preflight.system.files import Kind


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("tree")
    for name in ("a.png", "b.jpg", "ab.png", ".c.png", "x/a.png", "x/y/a.png", "x/y/b.jpg", "x/[1].png", ".z/a.png"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("x")
    return top


PART = st.sampled_from(["*", "**", "x", "y", "a*", "?.png", "*.png", "[ab].*", "[!a].jpg", "a.png"])


@settings(deadline=None)
@given(pattern=st.lists(PART, min_size=1, max_size=4).map("/".join))
def test_a_pattern_finds_what_glob_finds(tree: Path, pattern: str) -> None:
    wanted = {path for path in glob.glob(f"{tree}/{pattern}", recursive=True) if os.path.isfile(path)}
    assert files.scan([tree], pattern).files == len(wanted)


def test_braces_stand_for_either(tree: Path) -> None:
    assert files.scan([tree], "**/*.{png,jpg}").files == 7
    assert files.scan([tree], "{a,b}.{png,jpg}").files == 2
    assert files.find(tree / "{a,b}.*") == [tree / "a.png", tree / "b.jpg"]


def test_a_name_with_signs_is_itself(tree: Path) -> None:
    assert files.find(tree / "x/[1].png") == [tree / "x/[1].png"]


def test_every_file_is_read_once(tree: Path) -> None:
    assert files.scan(files.find(tree / "**"), "**/*").files == files.scan([tree], "**/*").files == 7


def test_two_links_to_one_folder_count_twice(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/a").write_text("x")
    for name in ("train", "test"):
        (tmp_path / name).symlink_to("store")
    assert files.scan([tmp_path], "t*/*").files == 2


def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert files.scan([tmp_path]).files == 0
    assert files.look_at(tmp_path / "pipe").kind is Kind.OTHER


@pytest.mark.parametrize(
    ("name", "kind", "number"),
    [
        ("nothing", Kind.MISSING, errno.ENOENT),
        ("file/below", Kind.MISSING, errno.ENOTDIR),
        ("dead/below", Kind.DANGLING, errno.ENOENT),
        ("loop", Kind.LOOP, errno.ELOOP),
        ("n" * 300, Kind.UNREACHABLE, errno.ENAMETOOLONG),
        ("nul\0byte", Kind.UNREACHABLE, errno.EINVAL),
    ],
)
def test_where_a_path_leads_nowhere(name: str, kind: Kind, number: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dead").symlink_to("gone")
    (tmp_path / "loop").symlink_to("loop")
    seen = files.look_at(tmp_path / name)
    assert (seen.kind, seen.errno) == (kind, number)
    assert seen.nearest == (tmp_path / "file" if name.startswith("file") else tmp_path)


@pytest.mark.parametrize(
    ("wanted", "there", "similar"),
    [
        ("trian", "train", "train"),
        ("Train", "train", "train"),
        ("labels.csv", "labels.tsv", "labels.tsv"),
        ("a", "b", ""),
    ],
)
def test_a_name_alike(wanted: str, there: str, similar: str, tmp_path: Path) -> None:
    (tmp_path / there).touch()
    assert files.look_at(tmp_path / wanted / "more").similar == similar


def test_whose_a_file_is(tmp_path: Path) -> None:
    owner = files.owner_of(tmp_path)
    assert owner.uid == os.geteuid()
    assert owner.mode.startswith("drwx")
    assert str(files.Owner(uid=54321, user="", mode="")) == "uid 54321"
