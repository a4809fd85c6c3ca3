"""The files of a project that say what its environment is: which of them counts, and whether they mean this one."""

from __future__ import annotations

from pathlib import Path

from preflight.envlock.document import Document
from preflight.envlock.environment import Environment
from preflight.errors import UserError

CONDA_LOCK = "conda-lock.yml"
PIXI_LOCK = "pixi.lock"
PYLOCK = "pylock.toml"
SPECIFICATION = "environment.yml"
_OF_CONDA = (CONDA_LOCK, PIXI_LOCK, SPECIFICATION)
_OF_PIXI = (PIXI_LOCK, CONDA_LOCK, SPECIFICATION)
_OF_OTHERS = (PYLOCK, "uv.lock", "requirements.txt")


def lock_of(environment: Environment, root: Path) -> Path:
    """Return the file in `root` that an environment is compared with; raises UserError where there is none."""
    names = {"conda": _OF_CONDA, "pixi": _OF_PIXI}.get(environment.kind, _OF_OTHERS)
    for name in names:
        if (root / name).is_file():
            return root / name
    message = f"there is no lock in {root} for {environment.told}"
    raise UserError(message, fix="Write one:\n    preflight env lock")


def refuse_other_name(environment: Environment, root: Path) -> None:
    """Raise UserError where environment.yml is for an environment of another name than the one that was found."""
    file = root / SPECIFICATION
    if environment.kind != "conda" or not file.is_file():
        return
    wanted = str(Document(file).value.get("name") or "")
    if wanted and wanted != environment.name:
        message = f"the file is for the environment {wanted}, and {environment.prefix} is found: {environment.why}"
        fix = f"Activate {wanted}, or say that this one is meant:\n    --prefix {environment.prefix}"
        raise UserError(message, where=str(file), fix=fix)
