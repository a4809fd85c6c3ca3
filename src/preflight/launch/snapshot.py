"""The commit that a run is tied to: that of a clean tree, or a snapshot of a dirty one that changes nothing of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from preflight import writing
from preflight.errors import UserError
from preflight.launch.git import Git, Tell, refusal, silent
from preflight.phrases import counted, in_a_row
from preflight.quantities import format_size
from preflight.system.git import GitError, Repository

# Files that nobody has added yet: more than this is data or output that .gitignore forgot.
MOST_UNTRACKED = 100 * 1000**2
_PLAIN = ("H 100644 ", "H 100755 ", "H 120000 ")
_SUBMODULE, _ASSUMED, _LEFT_OUT = "160000", "h", "S"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A commit that holds what runs.

    `top` is the working tree that it was taken of, `branch` the branch that was checked out there (empty where none
    was); `ref` holds the commit where it is a snapshot, `changes` is then its diff-stat against HEAD. `uncovered` tells
    in a line each what of the tree the commit does not hold.
    """

    top: Path
    commit: str
    branch: str = ""
    ref: str = ""
    changes: str = ""
    uncovered: tuple[str, ...] = ()


def take(root: Path, name: str, tell: Tell = silent) -> Snapshot:
    """Return the commit of the tree around `root`, made for the run `name` where files differ from HEAD.

    A snapshot is a commit on HEAD that only `refs/preflight/NAME` leads to; branch, index, stash and files stay as they
    are, and no hook runs. It holds the files that git knows and those that no .gitignore names. Raises UserError where
    it cannot be taken, or would not be right.
    """
    git = Git.around(root, tell)
    with _told(git, "no snapshot can be taken"):
        before = git.state()
        entries = list(_entries(git))
        uncovered = tuple(_uncovered(git, entries, before))
        if not (before.changed or before.untracked) and before.commit:
            return Snapshot(top=git.top, commit=before.commit, branch=before.branch, uncovered=uncovered)
        _refuse_conflicts(git, before, entries)
        new, nested = _untracked(before)
        _refuse_bulk(git, new)
        told = (*uncovered, *_of_nested(nested))
        tree = _tree(git, nested)
        if before.commit and tree == git("rev-parse", f"{before.commit}^{{tree}}").strip():
            return Snapshot(top=git.top, commit=before.commit, branch=before.branch, uncovered=told)
        parents = ("-p", before.commit) if before.commit else ()
        commit = git("commit-tree", "--no-gpg-sign", *parents, tree, given=f"Snapshot for the run {name}\n").strip()
        ref = _hold(git, name, commit)
        changes = git("show", "--format=", "--no-ext-diff", "--stat=100", "--stat-count=20", commit)
        return Snapshot(
            top=git.top, commit=commit, branch=before.branch, ref=ref, changes=changes.rstrip(), uncovered=told
        )


def commit(root: Path, message: str, tell: Tell = silent) -> Snapshot:
    """Commit all that differs from HEAD on the branch, as its author and with the hooks of the repository.

    Raises UserError where git or a hook refuses; the index then is as it was.
    """
    git = Git.around(root, tell)
    with _told(git, "the commit was refused"):
        before, entries = git.state(), list(_entries(git))
        _refuse_conflicts(git, before, entries)
        new, nested = _untracked(before)
        _refuse_bulk(git, new)
        with _private_index(git) as index:
            _add(git, index, nested)
            if not before.commit or git("diff", "--cached", "--name-only", index=index):
                git("commit", f"--message={message}", index=index, hooks=True)
                writing.save({_index_of(git): index.read_bytes()})
        after = git.state()
        uncovered = (*_uncovered(git, entries, after), *_of_nested(nested))
        return Snapshot(top=git.top, commit=after.commit, branch=after.branch, uncovered=uncovered)


def known(root: Path, commit: str, tell: Tell = silent) -> Snapshot:
    """Return a commit that a run had before; raises UserError where the repository has it no more."""
    git = Git.around(root, tell)
    with _told(git, f"the commit {commit[:12]} is not there any more"):
        git("cat-file", "-e", f"{commit}^{{commit}}")
    return Snapshot(top=git.top, commit=commit)


def require_clean(root: Path, tell: Tell = silent) -> Snapshot:
    """Return the commit of a tree that has no changes; raises UserError with those that it has."""
    git = Git.around(root, tell)
    with _told(git, "the state of the code is not known"):
        state = git.state()
        uncovered = tuple(_uncovered(git, list(_entries(git)), state))
    if not state.commit:
        raise UserError("the repository has no commit yet", where=str(git.top))
    if differing := [*state.changed, *state.untracked]:
        raise UserError(
            f"the commit lacks changes in {counted(len(differing), 'file')}: {in_a_row(differing)}",
            where=str(git.top),
            fix="Commit them, or launch without --clean: then a snapshot is taken",
        )
    return Snapshot(top=git.top, commit=state.commit, branch=state.branch, uncovered=uncovered)


def ref_of(name: str) -> str:
    """Return the ref of a run's snapshot: git-check-ref-format(1) forbids much of what a run may be called."""
    word = quote(name, safe="").replace("~", "%7E").replace("..", "%2E%2E").replace(".lock", "%2Elock")
    return f"refs/preflight/{word.removesuffix('.')}{'%2E' if word.endswith('.') else ''}"


@contextmanager
def _told(git: Git, what: str) -> Iterator[None]:
    try:
        yield
    except GitError as problem:
        raise refusal(problem, what, git.top) from None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file in the index: the letter of its state (`git ls-files -v`), its mode, its stage and its path."""

    letter: str
    mode: str
    stage: str
    path: str


def _entries(git: Git) -> Iterator[_Entry]:
    """Yield what is in the index and no plain file that is as git expects it, and the .gitattributes."""
    for line in git("ls-files", "-v", "--stage", "-z").split("\0"):
        if line and not (line.startswith(_PLAIN) and not line.endswith(".gitattributes")):
            words, _, path = line.partition("\t")
            letter, mode, _, stage = words.split(" ")
            yield _Entry(letter, mode, stage, path)


def _uncovered(git: Git, entries: list[_Entry], state: Repository) -> Iterator[str]:
    submodules = [each.path for each in entries if each.mode == _SUBMODULE]
    if submodules:
        changed = [each for each in submodules if each in state.changed]
        also = f"; {in_a_row(changed)} {'has' if len(changed) == 1 else 'have'} changes" if changed else ""
        yield f"the content of the submodules {in_a_row(submodules)}: their folders are empty in the checkout{also}"
    if hidden := [each.path for each in entries if each.letter == _ASSUMED]:
        yield f"changes in {in_a_row(hidden)}, which git is told to assume unchanged"
    if left_out := [each.path for each in entries if each.letter == _LEFT_OUT]:
        yield f"{counted(len(left_out), 'file')} that the sparse checkout leaves out, as {left_out[0]}"
    attributes = [each.path for each in entries if os.path.basename(each.path) == ".gitattributes"]
    if any(_speaks_of_lfs(git.top / each) for each in attributes) and shutil.which("git-lfs") is None:
        yield "the files that Git LFS keeps: git-lfs is not installed, and the checkout holds their pointers"


def _speaks_of_lfs(file: Path) -> bool:
    try:
        return b"filter=lfs" in file.read_bytes()
    except OSError:
        return False


def _untracked(state: Repository) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the files that git neither knows nor ignores, and the repositories among them."""
    names = state.untracked
    return tuple(each for each in names if not each.endswith("/")), tuple(each for each in names if each.endswith("/"))


def _of_nested(nested: tuple[str, ...]) -> Iterator[str]:
    yield from (f"the repository {each} in it, which is no submodule" for each in nested)


def _refuse_conflicts(git: Git, state: Repository, entries: list[_Entry]) -> None:
    if names := sorted({each.path for each in entries if each.stage != "0"}):
        raise UserError(
            f"{in_a_row(names)} {'has' if len(names) == 1 else 'have'} conflicts that are not resolved",
            where=str(git.top),
            fix=f"Resolve them, or give up the {state.operation or 'merge'}",
        )


def _refuse_bulk(git: Git, names: tuple[str, ...]) -> None:
    sizes = {name: _size(git.top / name) for name in names}
    if (total := sum(sizes.values())) > MOST_UNTRACKED:
        largest = sorted(sizes, key=lambda name: -sizes[name])
        raise UserError(
            f"{counted(len(names), 'file')} of {format_size(total)} are neither committed nor ignored, "
            f"as {in_a_row(largest)}",
            where=str(git.top),
            fix="Name what is no code in .gitignore, or commit what is",
        )


def _size(file: Path) -> int:
    try:
        return os.lstat(file).st_size
    except OSError:
        return 0


def _tree(git: Git, nested: tuple[str, ...]) -> str:
    with _private_index(git) as index:
        _add(git, index, nested)
        return git("write-tree", index=index).strip()


def _add(git: Git, index: Path, nested: tuple[str, ...]) -> None:
    git("add", "--all", "--", ":/", *(f":(top,exclude,literal){each.rstrip('/')}" for each in nested), index=index)


@contextmanager
def _private_index(git: Git) -> Iterator[Path]:
    """Give a copy of the index, which knows how every file looked when it was last read."""
    with tempfile.TemporaryDirectory(prefix="preflight-") as folder:
        index = Path(folder, "index")
        try:
            shutil.copyfile(_index_of(git), index)
        except FileNotFoundError:  # nothing was ever added
            pass
        except OSError as problem:
            raise UserError(f"the index of git cannot be copied: {problem.strerror}", where=str(index)) from None
        yield index


def _index_of(git: Git) -> Path:
    return git.top / git("rev-parse", "--git-path", "index").rstrip("\n")


def _hold(git: Git, name: str, commit: str) -> str:
    """Make the ref that keeps the commit; one of the same name, of a run elsewhere, is left alone."""
    for ref in (ref_of(name), f"{ref_of(name)}-{commit[:12]}"):
        try:
            git("update-ref", ref, commit, "")
        except GitError as problem:
            if "already exists" not in str(problem):
                raise
        else:
            return ref
    return ref_of(name)
