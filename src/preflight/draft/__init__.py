"""The `preflight:` section that a project's own config and code suggest, as text to append to the config."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from preflight.config.document import Node
from preflight.config.references import References
from preflight.draft import command, needs
from preflight.draft.paths import Entry, suggest_paths
from preflight.draft.project import read_project
from preflight.draft.text import append, write
from preflight.envlock import environment
from preflight.errors import UserError
from preflight.system.code import Program, is_installed, is_loaded_with_parent
from preflight.system.demands import Demands
from preflight.system.watched import NoAnswer, watched

__all__ = ["append", "draft", "section_of", "write"]

DEADLINE = 60.0
_CONDA_LOCKS = ("conda-lock.yml", "pixi.lock")
_LOCKS = ("pylock.toml", "uv.lock", "requirements.txt")
_TEMPORARY = "${oc.env:TMPDIR,/tmp}"
# Where libraries keep what they fetch, by the calls that fetch it.
_CACHES = {
    ("torch.hub.",): "${oc.env:TORCH_HOME,${oc.env:XDG_CACHE_HOME,~/.cache}/torch}",
    ("transformers.", "datasets.load_dataset", "huggingface_hub."): (
        "${oc.env:HF_HOME,${oc.env:XDG_CACHE_HOME,~/.cache}/huggingface}"
    ),
}


def draft(text: str, source: Path | None, scripts: Sequence[Path], root: Path) -> dict[str, Any]:
    """Return the section for a config of that text, `source` its file; without scripts they are looked for in `root`.

    Raises UserError where the config or a script cannot be read, or a file system does not answer.
    """
    try:
        section: dict[str, Any] = watched(lambda: section_of(text, source, scripts, root), DEADLINE)
    except NoAnswer as silence:
        fix = "Mount it again, or start where it answers"
        raise UserError(f"{silence.path} does not answer within {silence.seconds:g} s", fix=fix) from None
    return section


def section_of(text: str, source: Path | None, scripts: Sequence[Path], root: Path) -> dict[str, Any]:
    """Return what `draft` returns, however long a file system takes to answer."""
    project = read_project(text, source, scripts, root)
    suggested = suggest_paths(project)
    sections = {
        "imports": list(_imports(project.program, root)),
        "packages": _packages(root),
        "data": suggested.data,
        "paths": [*suggested.paths, *_surroundings(project.demands, root)],
        "system": needs.of_system(project, suggested),
        "gpu": needs.of_gpu(project),
        "seeds": command.of_seeds(project),
        "rehearsal": command.of_rehearsal(project),
        "code": needs.of_code(project),
    }
    return {key: value for key, value in sections.items() if value}


def _surroundings(demands: Demands, root: Path) -> Iterator[Entry]:
    """Yield the folders outside of the project that libraries write to on the program's behalf."""
    if demands.builds and os.access(_resolved(_TEMPORARY), os.W_OK | os.X_OK):
        yield {"path": _TEMPORARY, "access": "write+execute"}
    for starts, written in _CACHES.items():
        folder = (root / os.path.expanduser(_resolved(written))).absolute()
        nearest = next(each for each in [folder, *folder.parents] if each.exists())
        if any(call.startswith(starts) for call in demands.calls) and os.access(nearest, os.W_OK):
            yield {"path": written, "access": "write"}


def _resolved(written: str) -> Path:
    setting = Node({"path": Node(written, 1)}, 1)
    return Path(References(setting, "", os.environ).resolve(setting.value["path"], "path").value)


def _imports(program: Program, root: Path) -> Iterator[str | Entry]:
    """Yield each top-level module once, and a module below it where it is not loaded with it anyway."""
    wanted: dict[str, bool] = {}
    for each in program.imports:
        top = each.name.partition(".")[0]
        there = is_installed(top, root)
        is_optional = each.optional or (each.deferred and not there)
        names = [top] if each.name == top or not there or is_loaded_with_parent(each.name, root) else [top, each.name]
        for name in names:
            wanted[name] = wanted.get(name, True) and is_optional
    for name, is_optional in wanted.items():
        yield {"name": name, "optional": True} if is_optional else name


def _packages(root: Path) -> Entry:
    names = (*_CONDA_LOCKS, *_LOCKS) if environment.here().is_conda else _LOCKS
    lock = next((name for name in names if (root / name).is_file()), "")
    return {"lock": lock} if lock else {}
