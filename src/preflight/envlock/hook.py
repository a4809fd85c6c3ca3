"""A git hook that checks the environment before a commit or a push; it never writes and never commits."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from preflight import writing
from preflight.errors import UserError
from preflight.phrases import shown
from preflight.system import git
from preflight.system.git import GitError

KINDS = ("pre-commit", "pre-push")
FRAMEWORK = ".pre-commit-config.yaml"
_MARK = "# Written by `preflight env hook install`"
_CHAINED = "before-preflight"

_SCRIPT = """\
#!/bin/sh
{mark}: git stops where the environment is not the locked one.
# Remove this file to be rid of it; a hook that was here before is in {kind}.{chained}, and runs first.

before="$(dirname "$0")/{kind}.{chained}"
if [ -x "$before" ]; then
    "$before" "$@" || exit $?
fi

# In the middle of these the files are of other commits.
git_folder=$(git rev-parse --git-dir)
for mark in MERGE_HEAD CHERRY_PICK_HEAD REVERT_HEAD BISECT_LOG rebase-merge rebase-apply; do
    [ -e "$git_folder/$mark" ] && exit 0
done

cd {folder} 2>/dev/null || exit 0
found=
for file in conda-lock.yml pixi.lock environment.yml pylock.toml uv.lock requirements.txt preflight.yaml; do
    [ -e "$file" ] && found=yes
done
[ "$found" ] || exit 0

python={python}
if [ ! -x "$python" ]; then
    echo "preflight: $python is gone, so nobody checks the environment. Install the hook again from another one:" >&2
    echo "    preflight env hook install" >&2
    echo "or do without it: rm '$0'" >&2
    exit 1
fi
exec "$python" -P -c '
import sys
try:
    from preflight.__main__ import main
except ImportError:
    sys.exit(f"preflight: {{sys.prefix}} has no preflight any more, so nobody checks the environment.\\n"
             "Install it there, or install the hook again from elsewhere:\\n    preflight env hook install")
sys.exit(main(["env", "check", "--offline"]))
' </dev/null
"""
_ENTRY = """\
- repo: local
  hooks:
  - id: preflight-env
    name: the environment is the locked one
    entry: preflight env check --offline
    language: system
    pass_filenames: false
    always_run: true"""


def install(root: Path, kind: str = "pre-commit") -> str:
    """Install the hook and say what was done; a hook that is there stays, and runs first.

    Where the project uses the pre-commit framework, which has its own file of hooks, nothing is written: the answer is
    what to add there. Raises UserError where there is no repository, and where git takes its hooks from a folder that
    other repositories use as well.
    """
    try:
        top = Path(git.ask(root, "rev-parse", "--show-toplevel").removesuffix("\n"))
        if (top / FRAMEWORK).is_file():
            return _for_framework(top / FRAMEWORK)
        _refuse_shared(root, kind)
        folder = Path(os.path.abspath(root / git.ask(root, "rev-parse", "--git-path", "hooks").removesuffix("\n")))
    except GitError as problem:
        raise UserError(f"no hook can be installed: {problem}", where=str(root)) from None
    within = os.path.relpath(os.path.realpath(root), os.path.realpath(top))
    return _installed(folder, kind, _script(kind, within)) + _warned(top, folder)


def _script(kind: str, within: str) -> bytes:
    python = shlex.quote(os.path.abspath(sys.executable))
    text = _SCRIPT.format(mark=_MARK, kind=kind, chained=_CHAINED, folder=shlex.quote(f"./{within}"), python=python)
    return text.encode()


def _installed(folder: Path, kind: str, script: bytes) -> str:
    hook, before, moved = folder / kind, folder / f"{kind}.{_CHAINED}", folder / f"{kind}.legacy"
    there = _content(hook)
    if there == script and os.access(hook, os.X_OK):
        return f"{shown(hook)} is installed already"
    if _is_ours(_content(moved)):
        _save(moved, script)
        return f"{shown(moved)} is installed already, and {shown(hook)} runs it"
    chained = ""
    if os.path.lexists(hook) and not _is_ours(there):
        if os.path.lexists(before):
            fix = f"Make one of the two, and install again:\n    {shlex.join(['rm', str(before)])}"
            raise UserError(f"a hook is here, and another one in {before.name}", where=str(hook), fix=fix)
        _keep(hook, before)
        chained = f"; the hook that was there is {before.name} now, and runs first"
    _save(hook, script)
    return f"{shown(hook)} checks the environment{chained}"


def _for_framework(file: Path) -> str:
    text = file.read_text(encoding="utf-8", errors="replace")
    if "preflight-env" in text or "preflight env check" in text:
        return f"{shown(file)} checks the environment already"
    lines = "\n".join(f"    {line}" for line in _ENTRY.splitlines())
    return f"pre-commit runs the hooks of this project; add to `repos:` in {shown(file)}:\n{lines}"


def _refuse_shared(root: Path, kind: str) -> None:
    setting = git.ask(root, "config", "--show-scope", "--get", "core.hooksPath", fine=(0, 1)).strip()
    scope, _, folder = setting.partition("\t")
    if scope in ("global", "system"):
        message = f"git takes the hooks of every repository from {folder} (core.hooksPath is set for all)"
        file = os.path.join(folder, kind)
        fix = f"Add this line to {file}, or set core.hooksPath here:\n    preflight env check --offline"
        raise UserError(message, where=str(root), fix=fix)


def _warned(top: Path, folder: Path) -> str:
    if not folder.is_relative_to(top) or folder.is_relative_to(top / ".git"):
        return ""
    if git.ask(top, "check-ignore", "--", str(folder / KINDS[0]), fine=(0, 1, 128)):
        return ""
    return f"\n  {shown(folder)} belongs to the project, and the hook names the interpreter of this machine"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _is_ours(content: bytes) -> bool:
    return _MARK.encode() in content


def _save(hook: Path, script: bytes) -> None:
    """Put the script at its place; a link that is there is replaced, never what it leads to."""
    staged = hook.with_name(f"{hook.name}.new")
    try:
        hook.parent.mkdir(parents=True, exist_ok=True)
        writing.replace({staged: script}, mode=0o755)
        staged.replace(hook)
    except OSError as problem:
        raise UserError(f"the hook cannot be written: {problem.strerror}", where=str(hook)) from None


def _keep(hook: Path, before: Path) -> None:
    """Give the hook that is there a second name, so that at no moment there is none."""
    try:
        os.link(hook, before, follow_symlinks=False)
    except OSError as problem:
        raise UserError(f"the hook that is there cannot be kept: {problem.strerror}", where=str(hook)) from None
