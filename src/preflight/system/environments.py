"""The environment that the shell has activated, where it is not the one of this interpreter."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """An activated environment: the variable that names it, its folder, and the `python` that the shell finds."""

    variable: str
    prefix: str
    python: str


def other_environment() -> Active | None:
    """Return the active environment, None where it is this interpreter's or where `python` is not from it."""
    active = {name: folder for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if (folder := os.environ.get(name))}
    python = shutil.which("python") or ""
    if any(_same(folder, sys.prefix) for folder in active.values()):
        return None
    for name, folder in active.items():
        if python and _same(os.path.dirname(os.path.dirname(python)), folder):
            return Active(variable=name, prefix=folder, python=python)
    return None


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
