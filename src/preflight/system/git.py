"""The repository that the code lies in, as the git program tells it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LIMIT = 30.0
# What git is in the middle of, by the file or folder that it keeps meanwhile.
_OPERATIONS = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """The state of a working tree.

    `commit` is empty before the first one, `branch` where HEAD is detached. `changed` are the tracked files that differ
    from the commit, `untracked` those that git neither knows nor ignores (a folder ends with a slash). `operation` is
    what git is in the middle of (`merge`, `rebase`, …); `unpushed` counts the commits that `upstream` lacks, None
    without an upstream.
    """

    top: Path
    commit: str = ""
    branch: str = ""
    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    operation: str = ""
    upstream: str = ""
    unpushed: int | None = None


class GitError(Exception):
    """Git gave no answer; `foreign` is the folder that it refuses since another user owns it."""

    def __init__(self, message: str, *, foreign: str = "") -> None:
        super().__init__(message)
        self.foreign = foreign


def top_of(folder: Path) -> Path | None:
    """Return the folder of the working tree that `folder` lies in, None where there is none; git is not asked."""
    whole = Path(os.path.realpath(folder))
    return next((each for each in (whole, *whole.parents) if (each / ".git").exists()), None)


def repository(top: Path, asked: Callable[..., str] | None = None) -> Repository:
    """Return the state of the working tree at `top`; `asked` is who asks git in place of `ask`.

    Raises GitError where git is missing, refuses, or takes longer than 30 seconds.
    """
    facts: dict[str, str] = {}
    changed, untracked = [], []
    fields = iter((asked or ask)(top, "status", "--porcelain=v2", "--branch", "-z").split("\0"))
    for field in fields:
        kind, _, rest = field.partition(" ")
        if kind == "#":
            name, _, facts[name] = rest.partition(" ")
        elif kind == "?":
            untracked.append(rest)
        elif kind in ("1", "2", "u"):
            # Words before the path: 7 of an ordinary change, 8 of a renamed one, 9 of an unmerged one.
            changed.append(rest.split(" ", {"1": 7, "2": 8, "u": 9}[kind])[-1])
        if kind == "2":
            next(fields)
    commit, branch, ahead = (facts.get(f"branch.{name}", "") for name in ("oid", "head", "ab"))
    return Repository(
        top=top,
        commit="" if commit == "(initial)" else commit,
        branch="" if branch == "(detached)" else branch,
        changed=tuple(changed),
        untracked=tuple(untracked),
        operation=operation(top),
        upstream=facts.get("branch.upstream", ""),
        unpushed=int(ahead.split()[0]) if ahead else None,
    )


def operation(top: Path) -> str:
    """Return what git is in the middle of in the working tree at `top`, empty where it is idle."""
    folder = _git_folder(top)
    return next((name for mark, name in _OPERATIONS.items() if (folder / mark).exists()), "")


def ask(folder: Path, *words: str, fine: Collection[int] = (0,)) -> str:
    """Return what a git command that writes nothing prints; raises GitError as `repository` does.

    `fine` are the exit statuses of an answer.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
    }
    environment = {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    done = execute(folder, words, environment, limit=_LIMIT)
    if done.returncode not in fine:
        text = done.stderr.decode(errors="replace").strip()
        raise GitError(_first_line(text), foreign=foreign_in(text, folder))
    return os.fsdecode(done.stdout)


def execute(  # noqa: PLR0913 - all but the first three by name
    folder: Path,
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    limit: float,
    settings: Sequence[str] = (),
    given: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    """Run a git command in `folder`, with `settings` in front of it and `given` as its standard input, and return it.

    Raises GitError where git is missing or takes longer than `limit` seconds.
    """
    program = shutil.which("git")
    if program is None:
        raise GitError("the command git is not there")
    # What the user's own git would run on the way (a pager, a file system monitor, a prompt) could hang or write.
    command = [program, "--no-pager", "-c", "core.fsmonitor=false", *settings, "-C", str(folder), *words]
    try:
        return subprocess.run(command, env=environment, input=given, capture_output=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        raise GitError(f"git {words[0]} has not answered after {limit:.0f} s") from None
    except OSError as error:
        raise GitError(f"{program} cannot be run: {error.strerror}") from error


def foreign_in(text: str, folder: Path) -> str:
    """Return the folder where git says that it refuses it since another user owns it, else nothing."""
    return str(folder) if "dubious ownership" in text else ""


def _first_line(text: str) -> str:
    lines = text.splitlines()
    return lines[0].removeprefix("fatal: ").removeprefix("error: ") if lines else "git failed without a word"


def _git_folder(top: Path) -> Path:
    """Return the folder of git's own files: in a worktree or a submodule `.git` is a file that names it."""
    pointer = top / ".git"
    if pointer.is_dir():
        return pointer
    return top / pointer.read_text(encoding="utf-8", errors="replace").partition("gitdir: ")[2].strip()
