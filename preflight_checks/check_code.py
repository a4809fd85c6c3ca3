"""The experiment's code: that it is Python, and the commit that it is at.

See it by hand:

    git status --short
    git log -1
    python -m compileall -q .

Mend it:

    Commit, stash or undo what git tells of, and correct the line that does not compile.
"""

import os
import platform
import shlex
from collections.abc import Iterator
from pathlib import Path

from preflight import Finding, check, error, info, warning
from preflight.config import Config, Location
from preflight.phrases import counted, in_a_row
from preflight.system.git import GitError, Repository, repository, top_of
from preflight.system.programs import not_compiling, scripts_of


def check_compiles(config: Config, root: Path) -> Iterator[Finding]:
    """The program, and all of the project that it imports at its top, is Python that this interpreter can read.

    Nothing of it is run. What stands below an `if` or in a function may be imported or not, and is left out.

        code.does-not-compile    a file of the program has a syntax error, or is written for a newer Python
    """
    scripts = scripts_of(config.commands, (entry.name for entry in config.imports), root)
    for problem in not_compiling(scripts, root):
        yield error(
            f"{os.path.relpath(problem.file, root)}:{problem.line} is no Python: {problem.message}",
            id="code.does-not-compile",
            found=f"Python {platform.python_version()}",
            cause="a half-finished edit, a merge that was not resolved, or syntax of a newer Python",
            fix="Correct that line, or run with the Python that the code is written for",
            file=str(problem.file),
            line=problem.line,
        )


@check(at="launch")
def check_is_known(config: Config, root: Path) -> Iterator[Finding]:
    """The commit is told where there is one; nothing is demanded.

    code.state    the commit, the branch, and how many files differ from it
    """
    top = top_of(root)
    if top is None or config.code is not None:
        return
    try:
        state = repository(top)
    except GitError:
        return
    if state.commit:
        yield info(f"the code is at {_described(state)}", id="code.state", evidence=_evidence(state))


@check(when="code.commit", at="launch")
def check_has_a_commit(config: Config, root: Path) -> Iterator[Finding]:
    """The code lies in a git repository that has a commit, so that the run can be tied to it.

    code.no-repository    the project lies in no git repository
    code.no-commit        the repository has no commit yet
    code.no-answer        git is missing, or refuses to answer
    code.foreign-owner    git refuses since the repository belongs to another user
    code.unfinished       git is in the middle of a merge, a rebase or the like
    code.unpushed         commits are only here, and not where the branch is pushed to
    code.state            the commit, the branch, and how many files differ from it
    """
    at = _place(config)
    state = _state(root, at)
    if isinstance(state, Finding):
        yield state
        return
    if not state.commit:
        yield error(
            f"the repository {state.top} has no commit yet",
            id="code.no-commit",
            fix=f"Commit the code:\n    git -C {_quoted(state.top)} add --all\n    git -C {_quoted(state.top)} commit",
            **at,
        )
        return
    if state.operation:
        yield error(
            f"git is in the middle of a {state.operation} in {state.top}",
            id="code.unfinished",
            cause="the files are a mixture that no commit holds",
            fix=f"Finish it, or give it up:\n    git -C {_quoted(state.top)} {_way_out(state.operation)}",
            **at,
        )
    if state.unpushed:
        yield warning(
            f"{counted(state.unpushed, 'commit')} of {state.branch} {'is' if state.unpushed == 1 else 'are'} "
            f"not in {state.upstream}",
            id="code.unpushed",
            cause="the commit of this run is nowhere but here",
            fix=f"Push it:\n    git -C {_quoted(state.top)} push",
            **at,
        )
    yield info(f"the code is at {_described(state)}", id="code.state", evidence=_evidence(state))


@check(when="code.clean", at="launch")
def check_is_clean(config: Config, root: Path) -> Iterator[Finding]:
    """No file differs from the commit, and none is unknown to git.

    code.uncommitted      files were changed since the commit, or were never added
    code.no-repository    the project lies in no git repository
    code.no-answer        git is missing, or refuses to answer
    code.foreign-owner    git refuses since the repository belongs to another user
    """
    at = _place(config)
    state = _state(root, at)
    if isinstance(state, Finding):
        yield state
    elif state.changed or state.untracked:
        top = _quoted(state.top)
        yield error(
            f"{_differences(state)} in {state.top}: {in_a_row([*state.changed, *state.untracked])}",
            id="code.uncommitted",
            found=_differences(state),
            wanted="none",
            cause="the run could not be repeated from its commit",
            fix=f"Commit them, or have .gitignore name them:\n    git -C {top} add --all\n    git -C {top} commit",
            evidence={"changed": state.changed[:50], "untracked": state.untracked[:50]},
            **at,
        )


def _state(root: Path, at: dict[str, object]) -> Repository | Finding:
    top = top_of(root)
    if top is None:
        return error(
            f"{root} lies in no git repository",
            id="code.no-repository",
            fix=f"Make it one:\n    git -C {_quoted(root)} init",
            **at,
        )
    try:
        return repository(top)
    except GitError as problem:
        if problem.foreign:
            return error(
                f"git refuses to read {problem.foreign}, which belongs to another user",
                id="code.foreign-owner",
                cause=str(problem),
                fix=f"Trust it:\n    git config --global --add safe.directory {_quoted(problem.foreign)}",
                **at,
            )
        return error(f"git does not answer: {problem}", id="code.no-answer", fix="Make git work in that folder", **at)


def _place(config: Config) -> dict[str, object]:
    at = config.code.at if config.code else Location()
    return {"file": at.file, "line": at.line}


def _described(state: Repository) -> str:
    branch = f" of {state.branch}" if state.branch else ", on no branch"
    return f"commit {state.commit[:10]}{branch}, with {_differences(state)}"


def _differences(state: Repository) -> str:
    parts = [(len(state.changed), "changed file"), (len(state.untracked), "untracked file")]
    return " and ".join(counted(number, noun) for number, noun in parts if number) or "nothing uncommitted"


def _evidence(state: Repository) -> dict[str, object]:
    return {
        "commit": state.commit,
        "branch": state.branch,
        "changed": len(state.changed),
        "untracked": len(state.untracked),
    }


def _way_out(operation: str) -> str:
    return "bisect reset" if operation == "bisect" else f"{operation} --abort"


def _quoted(path: object) -> str:
    return shlex.quote(str(path))
