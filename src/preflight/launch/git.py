"""Git commands of a launch, some of which write: each is told, none runs a hook that it was not asked to run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preflight.errors import UserError
from preflight.system.git import GitError, Repository, execute, foreign_in, repository, top_of

# Hashing and writing thousands of files on a slow file system takes minutes.
_LIMIT = 600.0
# What makes git look elsewhere than at the folder that it is told (`git rev-parse --local-env-vars`).
_ELSEWHERE = frozenset(
    f"GIT_{word}"
    for word in (
        *("DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES", "COMMON_DIR"),
        *("NAMESPACE", "PREFIX", "GRAFT_FILE", "SHALLOW_FILE", "REPLACE_REF_BASE", "NO_REPLACE_OBJECTS"),
        *("IMPLICIT_WORK_TREE", "INTERNAL_SUPER_PREFIX"),
    )
)
_QUIET = ("-c", "advice.addEmbeddedRepo=false")
_NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")

Tell = Callable[[Sequence[str], int, float], None]
"""Hears of a command when it has ended: its words, its exit code and its seconds."""


def silent(_words: Sequence[str], _code: int, _seconds: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Git:
    """Git in the working tree at `top`; `tell` hears of every command."""

    top: Path
    tell: Tell = silent

    @classmethod
    def around(cls, folder: Path, tell: Tell = silent) -> Git:
        """Return git in the working tree that `folder` lies in; raises UserError where there is none."""
        top = top_of(folder)
        if top is not None:
            return cls(top, tell)
        if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
            raise UserError(
                f"{folder} is a bare repository, which has no files to run",
                fix=f"Launch from a clone of it:\n    git clone {folder}",
            )
        raise UserError(
            f"{folder} lies in no git repository, so that a run could not be tied to a commit",
            fix="Make it one:\n    git init\n    git add --all\n    git commit --message=first",
        )

    def state(self) -> Repository:
        """Return the state of the working tree, each untracked file named; raises GitError as `__call__` does."""
        return repository(self.top, lambda _top, *words: self(*words, "--untracked-files=all"))

    def __call__(self, *words: str, index: Path | None = None, hooks: bool = False, given: str = "") -> str:
        """Return what a command prints; raises GitError where it fails.

        `index` is used in place of the repository's own; `hooks` lets the repository's hooks run, and whoever commits
        be who they are; `given` is the standard input.
        """
        began = time.monotonic()
        done = execute(
            self.top,
            words,
            _environment(index, named=hooks),
            limit=_LIMIT,
            settings=(*_QUIET, *(() if hooks else _NO_HOOKS)),
            given=given.encode("utf-8", "surrogateescape"),
        )
        self.tell(done.args, done.returncode, time.monotonic() - began)
        if done.returncode:
            text = done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace").strip()
            raise GitError(text or f"git {words[0]} failed without a word", foreign=foreign_in(text, self.top))
        return os.fsdecode(done.stdout)


def refusal(problem: GitError, what: str, top: Path) -> UserError:
    """Return what a user is to see where git does not do what a launch needs."""
    if problem.foreign:
        return UserError(
            f"git refuses to read {problem.foreign}, which belongs to another user",
            fix=f"Trust it, if you do:\n    git config --global --add safe.directory {problem.foreign}",
        )
    lines = [line.removeprefix("fatal: ").removeprefix("error: ") for line in str(problem).splitlines() if line.strip()]
    return UserError(f"{what}: {'; '.join(lines[:2])}", where=str(top))


def _environment(index: Path | None, *, named: bool) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    whose = {} if named else _NOBODY
    where = {"GIT_INDEX_FILE": str(index)} if index else {}
    return {**kept, **whose, **where, **_CALM}


# No question is asked, and no index rewritten on the way; `:/` means the top.
_CALM: Mapping[str, str] = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LITERAL_PATHSPECS": "0",
    "LC_ALL": "C.UTF-8",
}
# Snapshots are nobody's commits, and are made where git does not know who sits there.
_NOBODY: Mapping[str, str] = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "preflight"), ("EMAIL", "preflight@localhost"))
}
