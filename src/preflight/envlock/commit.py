"""The commit of an environment's files: only these, only where they changed, whatever else is staged or half done."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from preflight import writing
from preflight.envlock.message import message
from preflight.envlock.model import Change
from preflight.errors import UserError
from preflight.system import git
from preflight.system.git import GitError

_ENDS = {
    "merge": "git merge --continue",
    "rebase": "git rebase --continue",
    "cherry-pick": "git cherry-pick --continue",
    "revert": "git revert --continue",
    "bisect": "git bisect reset",
}
_PATIENCE = 60.0
_BUSY = 3.0
# What git tells its hooks about the repository that it works in; for another call they would be wrong.
_LOCAL = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


def commit(root: Path, files: Mapping[Path, bytes], changes: Sequence[Change]) -> str:
    """Write the files and commit them; return `HASH SUBJECT`, empty where the last commit has them already.

    Everything else that is staged, changed or untracked stays as it is; hooks run and commits are signed as the user
    has set it up. Raises UserError where no commit can or should be made, and has then written nothing; where git or a
    hook refuses the commit itself, the files are written and the index is as it was.
    """
    _refuse_here()
    try:
        top = _top(root)
        _refuse_half_done(top)
        paths = [os.path.relpath(os.path.realpath(path), top) for path in files]
        _refuse_unfit(top, paths)
        with _alone(top):
            writing.save(files)
            if not _differs(top, paths):
                _mend_index(top, paths)
                return ""
            _commit(top, paths, message(changes, [os.path.basename(path) for path in paths]))
            return git.ask(top, "log", "-1", "--no-show-signature", "--format=%h %s").strip()
    except GitError as problem:
        fix = f"git config --global --add safe.directory {shlex.quote(problem.foreign)}" if problem.foreign else ""
        fix = f"Trust it, if it is yours:\n    {fix}" if fix else "Write the files alone:\n    preflight env lock"
        raise UserError(f"nothing can be committed: {problem}", where=str(root), fix=fix) from None


def _refuse_here() -> None:
    if os.environ.get("CI", "").lower() not in ("", "0", "false", "no"):
        fix = "Check there instead:\n    preflight env check"
        raise UserError("no commit is made in CI (the variable CI is set)", fix=fix)
    if "GIT_INDEX_FILE" in os.environ:
        fix = "Check there instead:\n    preflight env check"
        raise UserError("no commit is made while git makes one (a hook runs this)", fix=fix)


def _top(root: Path) -> Path:
    """Return the working tree's folder; raises UserError or GitError where there is none to commit to."""
    if git.ask(root, "rev-parse", "--is-inside-work-tree").strip() != "true":
        raise UserError("this is no working tree of git's: nothing can be committed", where=str(root))
    return Path(os.path.realpath(git.ask(root, "rev-parse", "--show-toplevel").removesuffix("\n")))


def _refuse_half_done(top: Path) -> None:
    operation = git.operation(top)
    if operation:
        fix = f"End it first:\n    {_ENDS[operation]}"
        raise UserError(f"git is in the middle of a {operation}: nothing is committed", where=str(top), fix=fix)
    if not git.ask(top, "symbolic-ref", "--quiet", "HEAD", fine=(0, 1)):
        fix = "Go to a branch first:\n    git switch BRANCH"
        raise UserError("HEAD is detached: a commit would belong to no branch", where=str(top), fix=fix)


def _refuse_unfit(top: Path, paths: Sequence[str]) -> None:
    for path in paths:
        nested = git.top_of((top / path).parent)
        if path.startswith(os.pardir) or (nested and nested != top and nested.is_relative_to(top)):
            raise UserError(f"the file lies outside of the repository {top}", where=str(top / path))
    ignored = git.ask(top, "check-ignore", "--verbose", "--", *paths, fine=(0, 1))
    if ignored:
        rule, _, path = ignored.splitlines()[0].partition("\t")
        fix = f"Remove that line, or add the file once by force:\n    git add --force {shlex.quote(path)}"
        raise UserError(f"git ignores this file ({rule})", where=str(top / path), fix=fix)


@contextmanager
def _alone(top: Path) -> Iterator[None]:
    """Let one commit of ours at a time work in a working tree; a lock on a folder leaves no file behind."""
    folder = git.ask(top, "rev-parse", "--absolute-git-dir").removesuffix("\n")
    descriptor = os.open(folder, os.O_RDONLY)
    until = time.monotonic() + _PATIENCE
    try:
        while not _locked(descriptor):
            if time.monotonic() > until:
                raise UserError(
                    f"another `preflight env commit` has been at work for {_PATIENCE:.0f} s", where=str(top)
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: git's own lock on the index is left
        return True
    return True


def _differs(top: Path, paths: Sequence[str]) -> bool:
    """Say whether the last commit lacks the files as they are."""
    if not git.ask(top, "rev-parse", "--quiet", "--verify", "HEAD", fine=(0, 1)):
        return True
    committed = git.ask(top, "ls-tree", "-z", "--name-only", "--full-tree", "HEAD", "--", *paths)
    return committed.count("\0") < len(paths) or bool(
        git.ask(top, "diff", "--name-only", "HEAD", "--", *_exactly(paths))
    )


def _mend_index(top: Path, paths: Sequence[str]) -> None:
    """Stage the files as they are committed: a git that was killed after its commit has left the old ones staged."""
    if git.ask(top, "diff", "--cached", "--name-only", "HEAD", "--", *_exactly(paths)):
        _write(top, ["add", "--", *_exactly(paths)], paths)


def _exactly(paths: Sequence[str]) -> list[str]:
    return [f":(top,literal){path}" for path in paths]


def _commit(top: Path, paths: Sequence[str], text: str) -> None:
    """Commit the files; whatever stops that, the index knows no more of them than before."""
    known = git.ask(top, "ls-files", "-z", "--", *_exactly(paths)).split("\0")
    new = [path for path in paths if path not in known]
    words = ["commit", "--only", "--quiet", "--cleanup=whitespace", "--file=-", "--", *_exactly(paths)]
    try:
        if new:
            _write(top, ["add", "--intent-to-add", "--", *_exactly(new)], paths)
        _write(top, words, paths, text)
    except BaseException:
        if _differs(top, paths):
            _run(top, ["update-index", "--force-remove", "-z", "--stdin"], "\0".join(new))
        else:  # git was stopped after its commit
            _mend_index(top, paths)
        raise


def _write(top: Path, words: Sequence[str], paths: Sequence[str], text: str = "") -> None:
    """Run a git command that writes; raises UserError with the words of git, of a hook or of the signing program."""
    until = time.monotonic() + _BUSY
    status, said = _run(top, words, text)
    while status and _held(said) and time.monotonic() < until:
        time.sleep(0.1)
        status, said = _run(top, words, text)
    if not status:
        return
    if held := _held(said):
        fix = f"Wait for it; where none runs, a killed one has left its lock:\n    rm {shlex.quote(held)}"
        raise UserError(
            "another git holds a lock: the files are written, their commit is not complete", where=str(top), fix=fix
        )
    here = f"git -C {shlex.quote(str(top))}"
    again = f"{here} add -- {shlex.join(paths)} && {here} commit -m env -- {shlex.join(paths)}"
    fix = f"See all that git and its hooks say:\n    {again}"
    raise UserError(f"the files are written, not committed: {_gist(said)}", where=str(top), fix=fix)


def _held(said: str) -> str:
    """Return the lock that git speaks of, on the index or on a branch, where it is there."""
    found = re.search(r"'(.*\.lock)'", said)
    return found[1] if found and os.path.exists(found[1]) else ""


def _run(top: Path, words: Sequence[str], text: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _LOCAL}
    try:
        done = subprocess.run(
            ["git", "-C", str(top), *words],
            env=environment,
            input=os.fsencode(text),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as problem:
        return 1, f"git cannot be run: {problem.strerror}"
    return done.returncode, done.stdout.decode(errors="replace")


def _gist(said: str) -> str:
    """Return the line that tells most: git's own verdict, else one that speaks of a failure, else the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for pattern in (r"(?:error|fatal): (.*)", r"(?i)(.*\b(?:fail|error|denied|refused).*)"):
        for line in lines:
            if found := re.match(pattern, line):
                return found[1]
    return lines[-1] if lines else "git gave no reason (a hook that fails without a word?)"
