"""What was installed from this machine, and so can be had on no other: editable projects, folders, files."""

from __future__ import annotations

import os
from pathlib import Path

from preflight.envlock.addresses import file_name
from preflight.envlock.model import Package
from preflight.errors import UserError
from preflight.system import git


def told(package: Package, root: Path) -> str:
    """Return `0.2 (editable ../proj at COMMIT, changed)` for what was installed from here, nothing for all else."""
    if package.url.startswith("file:"):
        return f"{package.version} (installed from the local file {file_name(package.url)})"
    if package.url or not package.source:
        return ""
    kind = "editable" if package.editable else "installed from the folder"
    place = os.path.relpath(os.path.realpath(package.source), os.path.realpath(root))
    return f"{package.version} ({kind} {place}{_commit(Path(package.source), root)})"


def _commit(folder: Path, root: Path) -> str:
    """Return the commit of a folder in another repository than the project's, which tells its own."""
    top = git.top_of(folder)
    if top is None or top == git.top_of(root):
        return ""
    try:
        repository = git.repository(top)
    except git.GitError as problem:
        raise UserError(f"git gives no answer: {problem}", where=str(top)) from None
    changed = ", changed" if repository.changed else ""
    return f" at {repository.commit}{changed}" if repository.commit else ""
