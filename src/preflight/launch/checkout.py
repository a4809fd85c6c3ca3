"""The folder that a run executes in: a checkout of its commit that no editor touches."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from preflight.errors import UserError
from preflight.launch.git import Git, Tell, refusal, silent
from preflight.system.git import GitError

# What it is called in the folder of its run.
CHECKOUT = "checkout"
# Who holds the lock needs it for milliseconds; who has it for longer hangs, and is not waited for.
_PATIENCE = 30.0


def check_out(top: Path, commit: str, folder: Path, tell: Tell = silent) -> None:
    """Make `folder` a checkout of `commit` from the repository of the working tree at `top`.

    It is a worktree with a detached HEAD, so that git answers in it; where the repository cannot be written, the bare
    files. No hook runs. Raises UserError where `folder` is there, or the files cannot be written.
    """
    if os.path.lexists(folder):
        raise UserError("the checkout of the run cannot be made: something is there", where=str(folder))
    git = Git(top, tell)
    try:
        _make_worktree(git, commit, folder)
    except GitError as problem:
        _remove(git, folder)
        if os.access(_common_folder(git), os.W_OK):
            raise refusal(problem, f"{commit[:12]} cannot be checked out", folder) from None
        _export(git, commit, folder)


def remove(top: Path, folder: Path, tell: Tell = silent) -> None:
    """Remove a checkout that `check_out` made, and what git keeps of it; one that is gone is no mistake."""
    _remove(Git(top, tell), folder)


def _make_worktree(git: Git, commit: str, folder: Path) -> None:
    with _alone(_common_folder(git)):
        git("worktree", "add", "--no-checkout", "--detach", "--force", "--quiet", str(folder), commit)
    Git(folder, git.tell)("reset", "--hard", "--quiet", commit)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other launches out for a while: git fails where it meets a worktree that another git has half made."""
    with ExitStack() as stack:
        with suppress(OSError):
            file = stack.enter_context(open(folder / "preflight.lock", "wb"))
            until = time.monotonic() + _PATIENCE
            while not _is_locked(file.fileno()) and time.monotonic() < until:
                time.sleep(0.02)
        yield


def _is_locked(descriptor: int) -> bool:
    """Lock a file for this process if nobody else has; raises OSError where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(git: Git, folder: Path) -> None:
    with suppress(GitError):
        git("worktree", "remove", "--force", "--force", str(folder))
    shutil.rmtree(folder, ignore_errors=True)


def _common_folder(git: Git) -> Path:
    with suppress(GitError):
        return git.top / git("rev-parse", "--git-common-dir").rstrip("\n")
    return git.top


def _export(git: Git, commit: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="preflight-") as scratch:
        index = Path(scratch, "index")
        try:
            folder.mkdir(parents=True)
            git("read-tree", commit, index=index)
            git("checkout-index", "--all", "--quiet", f"--prefix={folder}{os.sep}", index=index)
        except OSError as problem:
            raise UserError(f"the checkout cannot be made: {problem.strerror}", where=str(folder)) from None
        except GitError as problem:
            shutil.rmtree(folder, ignore_errors=True)
            raise refusal(problem, f"{commit[:12]} cannot be exported", folder) from None
