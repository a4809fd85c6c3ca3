"""Git worlds: the snapshot is right or the refusal clear, and what is being edited stays byte for byte as it is."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from preflight.errors import UserError
from preflight.launch import snapshot
from preflight.launch.checkout import check_out
from preflight.launch.snapshot import commit, ref_of, require_clean, take

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

HOSTILE = ["a b", "$(touch x)", "'\"`", "ü☃", "a..b", "x.lock", "v1.", "~^:?*[\\", "@{-1}", "@", "a\u202eb"]


def files_of(folder: Path) -> dict[str, str]:
    """Return what a checkout holds, apart from git's own pointer."""
    paths = [each for each in folder.rglob("*") if each.is_file() and ".git" not in each.parts]
    return {str(each.relative_to(folder)): each.read_text() for each in paths}


def dirty(top: Path) -> None:
    """Change one file, remove one, add one, leave one to .gitignore, make one executable."""
    (top / "train.py").write_text("print('two')\n")
    (top / "train.py").chmod(0o755)
    (top / "package" / "model.py").unlink()
    (top / "new file.py").write_text("new\n")
    (top / "data").mkdir()
    (top / "data" / "x.bin").write_text("data")


def test_a_clean_tree_is_its_commit(top, git, seal) -> None:
    before = seal(top)
    taken = take(top, "one")
    assert (taken.commit, taken.branch, taken.ref, taken.changes) == (git(top, "rev-parse", "HEAD"), "trunk", "", "")
    assert seal(top) == before
    assert git(top, "for-each-ref", "refs/preflight") == ""


def test_a_touched_file_is_no_change(top, git) -> None:
    os.utime(top / "train.py", (1, 1))
    assert take(top, "one").commit == git(top, "rev-parse", "HEAD")


def test_a_dirty_tree_becomes_a_commit_and_stays_as_it_is(top, git, seal, tmp_path: Path) -> None:
    dirty(top)
    git(top, "add", "train.py")
    (top / "train.py").write_text("print('three')\n")
    before = seal(top)
    taken = take(top, "one")
    assert seal(top) == before
    assert taken.ref == "refs/preflight/one"
    assert git(top, "rev-parse", taken.ref, f"{taken.commit}^").split() == [taken.commit, git(top, "rev-parse", "HEAD")]
    assert "new file.py" in taken.changes
    assert "3 files changed" in taken.changes
    check_out(top, taken.commit, tmp_path / "code")
    expected = {"train.py": "print('three')\n", "new file.py": "new\n", ".gitignore": "data/\n*.log\n"}
    assert files_of(tmp_path / "code") == expected
    assert os.access(tmp_path / "code" / "train.py", os.X_OK)
    assert git(tmp_path / "code", "rev-parse", "HEAD") == taken.commit
    assert seal(top) == before


def test_the_folder_may_lie_below_the_top(top) -> None:
    (top / "package" / "more.py").write_text("x\n")
    assert "package/more.py" in take(top / "package", "one").changes


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_has_a_ref(name: str, top, git) -> None:
    (top / "train.py").write_text("x\n")
    taken = take(top, name)
    assert git(top, "rev-parse", taken.ref) == taken.commit
    assert taken.ref == ref_of(name)


def test_names_have_refs_of_their_own() -> None:
    assert len({ref_of(name) for name in HOSTILE}) == len(HOSTILE)


def test_a_snapshot_of_another_run_is_kept(top, git) -> None:
    (top / "train.py").write_text("one\n")
    first = take(top, "same")
    (top / "train.py").write_text("two\n")
    second = take(top, "same")
    assert git(top, "rev-parse", first.ref) == first.commit
    assert git(top, "rev-parse", second.ref) == second.commit
    assert first.ref != second.ref


def test_every_command_is_told(top) -> None:
    told = []
    (top / "train.py").write_text("x\n")
    take(top, "one", lambda words, code, seconds: told.append((words, code)))
    assert {"status", "add", "write-tree", "commit-tree", "update-ref"} <= {word for words, _ in told for word in words}
    assert {code for _, code in told} == {0}


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lies in no git repository") as refused:
        take(tmp_path, "one")
    assert "git init" in refused.value.fix


def test_a_bare_repository(top, git, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(top), "bare.git")
    with pytest.raises(UserError, match="is a bare repository"):
        take(tmp_path / "bare.git", "one")


def test_no_commit_yet(tmp_path: Path, git) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.py").write_text("a\n")
    taken = take(tmp_path, "one")
    assert git(tmp_path, "ls-tree", "--name-only", taken.commit) == "a.py"
    assert "a.py" in taken.changes
    with pytest.raises(UserError, match="no commit yet"):
        require_clean(tmp_path)


def test_a_detached_head(top, git, seal) -> None:
    git(top, "checkout", "--quiet", "--detach")
    (top / "train.py").write_text("x\n")
    before = seal(top)
    assert take(top, "one").branch == ""
    assert seal(top) == before


def conflicting(top: Path, git) -> None:
    git(top, "switch", "--quiet", "--create", "other")
    (top / "train.py").write_text("other\n")
    git(top, "commit", "--quiet", "--all", "--message=other")
    git(top, "switch", "--quiet", "trunk")
    (top / "train.py").write_text("trunk\n")
    git(top, "commit", "--quiet", "--all", "--message=trunk")


@pytest.mark.parametrize("operation", ["merge", "rebase"])
def test_in_the_middle_of_something(operation: str, top, git, seal) -> None:
    conflicting(top, git)
    git(top, operation, "other", check=False)
    before = seal(top)
    with pytest.raises(UserError, match=r"train\.py has conflicts that are not resolved") as refused:
        take(top, "one")
    assert operation in refused.value.fix
    assert seal(top) == before
    (top / "train.py").write_text("both\n")
    git(top, "add", "train.py")
    before = seal(top)
    assert git(top, "show", f"{take(top, 'one').commit}:train.py") == "both"
    assert seal(top) == before


def test_a_shallow_clone(top, git, tmp_path: Path, seal) -> None:
    (top / "train.py").write_text("second\n")
    git(top, "commit", "--quiet", "--all", "--message=second")
    git(tmp_path, "clone", "--quiet", "--depth=1", top.as_uri(), "shallow")
    clone = tmp_path / "shallow"
    (clone / "train.py").write_text("third\n")
    before = seal(clone)
    taken = take(clone, "one")
    check_out(clone, taken.commit, tmp_path / "code")
    assert (tmp_path / "code" / "train.py").read_text() == "third\n"
    assert seal(clone) == before


def test_a_worktree(top, git, tmp_path: Path, seal) -> None:
    git(top, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    (tmp_path / "side" / "train.py").write_text("side\n")
    before = seal(tmp_path / "side"), seal(top)
    taken = take(tmp_path / "side", "one")
    check_out(tmp_path / "side", taken.commit, tmp_path / "code")
    assert (taken.branch, (tmp_path / "code" / "train.py").read_text()) == ("side", "side\n")
    assert (seal(tmp_path / "side"), seal(top)) == before


def test_a_submodule_is_told(top, git, tmp_path: Path, seal) -> None:
    git(tmp_path, "clone", "--quiet", str(top), "library")
    git(top, "submodule", "--quiet", "add", str(tmp_path / "library"), "library")
    git(top, "commit", "--quiet", "--message=library")
    assert take(top, "one").uncovered == (
        "the content of the submodules library: their folders are empty in the checkout",
    )
    (top / "library" / "train.py").write_text("changed\n")
    before = seal(top)
    taken = take(top, "one")
    assert taken.commit == git(top, "rev-parse", "HEAD")
    assert taken.uncovered[0].endswith("; library has changes")
    assert seal(top) == before
    with pytest.raises(UserError, match="lacks changes in 1 file: library"):
        require_clean(top)


def test_a_repository_inside_is_told(top, git, seal) -> None:
    for name, commits in (("full", True), ("em pty", False)):
        git(top, "init", "--quiet", name)
        (top / name / "x.py").write_text("x\n")
        if commits:
            git(top / name, "add", ".")
            git(top / name, "commit", "--quiet", "--message=x")
    (top / "train.py").write_text("x\n")
    before = seal(top)
    taken = take(top, "one")
    assert "train.py" in taken.changes
    assert sorted(taken.uncovered) == [
        f"the repository {name}/ in it, which is no submodule" for name in ("em pty", "full")
    ]
    assert seal(top) == before


def test_pointers_of_lfs_are_told(top, git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (top / "package" / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (top / "package" / "weights.bin").write_text("version https://git-lfs.github.com/spec/v1\n")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message=lfs")
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "git-lfs" else f"/usr/bin/{name}")
    assert "git-lfs is not installed" in take(top, "one").uncovered[0]


def test_a_sparse_checkout_is_told_and_its_snapshot_whole(top, git, seal, tmp_path: Path) -> None:
    (top / "docs").mkdir()
    (top / "docs" / "page.md").write_text("page\n")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message=docs")
    git(top, "sparse-checkout", "set", "package")
    assert not (top / "docs").exists()
    (top / "package" / "model.py").write_text("layers = 4\n")
    before = seal(top)
    taken = take(top, "one")
    assert seal(top) == before
    assert taken.uncovered == ("1 file that the sparse checkout leaves out, as docs/page.md",)
    assert git(top, "show", f"{taken.commit}:docs/page.md") == "page"
    assert git(top, "diff", "--name-only", "HEAD", taken.commit) == "package/model.py"


def test_what_is_assumed_unchanged_is_told(top, git) -> None:
    git(top, "update-index", "--assume-unchanged", "train.py")
    (top / "train.py").write_text("secretly\n")
    assert take(top, "one").uncovered == ("changes in train.py, which git is told to assume unchanged",)


def test_dubious_ownership(top, in_world) -> None:
    (top / "train.py").write_text("x\n")
    with pytest.raises(AssertionError, match="belongs to another user"):
        in_world(f"chown -R 12345 {top}; export HOME=/nowhere SUDO_UID=", take, top, "one")


def test_a_repository_that_cannot_be_written(top, git, in_world, tmp_path: Path) -> None:
    read_only = f"mount --bind {top} {top}; mount -o remount,ro,bind {top}"
    clean = in_world(read_only, take, top, "one")
    assert clean.commit == git(top, "rev-parse", "HEAD")
    in_world(read_only, check_out, top, clean.commit, tmp_path / "code")
    assert files_of(tmp_path / "code") == files_of(top)
    (top / "train.py").write_text("x\n")
    with pytest.raises(AssertionError, match="no snapshot can be taken"):
        in_world(read_only, take, top, "one")


def test_hooks_do_not_run(top, git, tmp_path: Path) -> None:
    for name in ("pre-commit", "post-commit", "post-checkout", "reference-transaction", "post-index-change"):
        hook = top / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/{name}'\nexit 1\n")
        hook.chmod(0o755)
    (top / "train.py").write_text("x\n")
    check_out(top, take(top, "one").commit, tmp_path / "code")
    assert sorted(os.listdir(tmp_path)) == ["code", "project"]


def test_signing_is_not_asked_for(top, git) -> None:
    git(top, "config", "commit.gpgSign", "true")
    git(top, "config", "gpg.program", "/bin/false")
    (top / "train.py").write_text("x\n")
    assert take(top, "one").ref


def test_who_hides_git_elsewhere_is_not_followed(top, git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    (top / "train.py").write_text("x\n")
    assert take(top, "one").ref


def test_names_that_look_like_patterns(top, git) -> None:
    for name in (":(top)x", "*", "-f", "a\nb", "ü", "\udcff"):
        (top / name).write_text("x\n")
    taken = take(top, "one")
    assert len(git(top, "ls-tree", "-r", "--name-only", taken.commit).splitlines()) == 9


def test_data_that_gitignore_forgot_is_refused(top, seal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MOST_UNTRACKED", 1000)
    (top / "train.bin").write_bytes(bytes(2000))
    (top / "small.py").write_text("x\n")
    before = seal(top)
    with pytest.raises(UserError, match=r"2 files of 2 kB are neither committed nor ignored, as train\.bin"):
        take(top, "one")
    assert seal(top) == before


def test_a_file_that_cannot_be_read(top, in_world) -> None:
    (top / "secret.py").write_text("x\n")
    (top / "secret.py").chmod(0)
    with pytest.raises(AssertionError, match=r"no snapshot can be taken: .*secret\.py"):
        in_world('set -- setpriv --bounding-set=-all --inh-caps=-all "$@"', take, top, "one")


def test_clean_is_demanded(top, git) -> None:
    assert require_clean(top).commit == git(top, "rev-parse", "HEAD")
    dirty(top)
    with pytest.raises(UserError, match=r"lacks changes in 3 files: .*new file\.py"):
        require_clean(top)


def test_a_real_commit(top, git, tmp_path: Path) -> None:
    dirty(top)
    git(top, "config", "user.name", "A")
    git(top, "config", "user.email", "a@example.org")
    made = commit(top, "better")
    assert git(top, "log", "-1", "--format=%H %an %s") == f"{made.commit} A better"
    assert git(top, "status", "--porcelain") == ""
    assert commit(top, "nothing").commit == made.commit
    assert made.ref == ""


@pytest.mark.parametrize("why", ["hook", "signing", "nobody"])
def test_a_commit_that_is_refused_leaves_all_as_it_is(why: str, top, git, seal, monkeypatch) -> None:
    dirty(top)
    if why != "nobody":
        git(top, "config", "user.name", "A")
        git(top, "config", "user.email", "a@example.org")
    else:
        git(top, "config", "user.useConfigOnly", "true")
    if why == "hook":
        (top / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh\necho no tests >&2\nexit 1\n")
        (top / ".git" / "hooks" / "pre-commit").chmod(0o755)
    if why == "signing":
        git(top, "config", "commit.gpgSign", "true")
        git(top, "config", "gpg.program", "/bin/false")
    before = seal(top)
    with pytest.raises(UserError, match="the commit was refused: "):
        commit(top, "better")
    assert seal(top) == before


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder where 20,000 files take no time."""
    has_room = os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 10**9
    with TemporaryDirectory(dir="/dev/shm" if has_room else tmp_path) as folder:
        yield Path(folder)


@pytest.mark.slow
def test_twenty_thousand_files(in_memory: Path, git, seal) -> None:
    git(in_memory, "init", "--quiet")
    for folder in range(200):
        (in_memory / f"{folder}").mkdir()
        for number in range(100):
            (in_memory / f"{folder}" / f"{number}.py").write_text("x = 1\n")
    git(in_memory, "add", ".")
    git(in_memory, "commit", "--quiet", "--message=many")
    (in_memory / "0" / "0.py").write_text("changed\n")
    (in_memory / "0" / "new.py").write_text("new\n")
    before = seal(in_memory)
    taken = take(in_memory, "one")
    assert "2 files changed" in taken.changes
    assert seal(in_memory) == before


def test_git_is_killed_in_the_middle(top, seal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (top / "train.py").write_text("x\n")
    before = seal(top)
    real = shutil.which("git")
    for word in ("add", "write-tree", "commit-tree", "update-ref"):
        program = tmp_path / word / "git"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nfor w; do [ "$w" = {word} ] && kill -9 $$; done\nexec {real} "$@"\n')
        program.chmod(0o755)
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(program.parent), prepend=os.pathsep)
            with pytest.raises(UserError, match="no snapshot can be taken"):
                take(top, "one")
        assert seal(top) == before
    assert take(top, "one").ref == "refs/preflight/one"


def test_fifty_at_once(top, tmp_path: Path) -> None:
    (top / "train.py").write_text("x\n")

    def launch(number: int) -> str:
        folder = tmp_path / "runs" / f"run {number}" / "code"
        check_out(top, take(top, f"run {number}").commit, folder)
        return (folder / "train.py").read_text()

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(launch, range(50))) == ["x\n"] * 50
