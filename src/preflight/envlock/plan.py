"""What `env lock` writes: the files of an environment that do not tell the truth any more, and what changed in it."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preflight.config.document import read_text
from preflight.envlock import lock, provenance, pylock
from preflight.envlock.drift import changes_between
from preflight.envlock.intended import asked_of_conda, first_specification, pip_wanted
from preflight.envlock.intent import Present, edit
from preflight.envlock.inventory import Inventory
from preflight.envlock.model import Change, Package
from preflight.envlock.project import CONDA_LOCK, PYLOCK, SPECIFICATION
from preflight.envlock.specification import read_specification
from preflight.errors import UserError
from preflight.phrases import counted, in_a_row
from preflight.system import git

# What another tool writes, and how.
_FOREIGN = {"uv.lock": "uv lock", "pixi.lock": "pixi lock"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be written: `files` that differ from what is there; `changes` since the lock that is there.

    `every` are the files, those that are right already too; `platform` is conda's name of it; `unlocked` are packages
    that no lock can hold, with the reason; `notes` what else somebody should know.
    """

    lock: Path
    every: Sequence[Path]
    platform: str
    files: Mapping[Path, bytes]
    changes: Sequence[Change]
    packages: Sequence[Package]
    unlocked: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def plan(inventory: Inventory, root: Path, *, offline: bool = False) -> Plan:
    """Return what has to be written so that the files in `root` tell what is installed; nothing is written.

    Raises UserError where it cannot be locked, or where another tool's lock is the one that counts.
    """
    if inventory.environment.is_conda:
        return _of_conda(inventory, root, offline=offline)
    return _of_venv(inventory, root, offline=offline)


def changes_since_commit(found: Plan, root: Path) -> list[Change]:
    """Return what differs between the lock that git has last and what is installed; everything where it has none."""
    try:
        text = git.ask(root, "show", f"HEAD:./{os.path.relpath(found.lock, root)}")
    except git.GitError:
        return changes_between([], found.packages)
    if found.lock.suffix == ".toml":
        return changes_between(pylock.read_pylock(found.lock, text)[0], found.packages)
    return changes_between(lock.read_lock(found.lock, text).packages(found.platform), found.packages)


def _of_conda(inventory: Inventory, root: Path, *, offline: bool) -> Plan:
    _refuse_foreign(root, "pixi.lock", inventory)
    _refuse_without_pip(inventory)
    target, wanted = root / CONDA_LOCK, root / SPECIFICATION
    old = lock.read_lock(target) if target.is_file() else None
    platform = inventory.platform
    known = old.packages(platform) if old else []
    found = provenance.find(inventory, known, root, hopeless=old.unlocked if old else None, offline=offline)
    _refuse_without_md5(inventory)
    text = _wanted(wanted, inventory, root) if wanted.is_file() else first_specification(inventory, root)
    specification = read_specification(wanted, platform, text)
    packages = (*inventory.conda, *found.packages)
    custom = {
        "generator": "preflight",
        "python": inventory.environment.python_version,
        "unlocked": "; ".join(f"{name} {reason}" for name, reason in found.unlocked.items()),
    }
    written = lock.written(packages, platform, specification, file=target, old=old, custom=custom)
    return Plan(
        lock=target,
        every=(wanted, target),
        platform=platform,
        files=_differing({wanted: specification.text, target: written}),
        changes=changes_between(known, packages),
        packages=packages,
        unlocked=found.unlocked,
        notes=_notes(inventory),
    )


def _wanted(file: Path, inventory: Inventory, root: Path) -> str:
    """Return what environment.yml says, where it is wrong put right, with what somebody has asked for since."""
    present = Present(
        packages=inventory.packages,
        platform=inventory.platform,
        conda=asked_of_conda(inventory),
        pip=[line for line in pip_wanted(inventory, root) if not line.startswith(("-e ", "."))],
        markers=inventory.environment.markers,
    )
    text = read_text(file)
    mark = "\ufeff" if file.read_bytes().startswith(BOM_UTF8) else ""
    return mark + edit(text, present, file)


def _of_venv(inventory: Inventory, root: Path, *, offline: bool) -> Plan:
    _refuse_foreign(root, "uv.lock", inventory)
    target = root / PYLOCK
    known, unlocked, writer = pylock.read_pylock(target) if target.is_file() else ([], {}, pylock.CREATED_BY)
    if writer != pylock.CREATED_BY:
        message = f"{writer or 'another tool'} has written the file, and preflight writes over its own only"
        raise UserError(message, where=str(target), fix=f"Move it away, or let {writer or 'that tool'} write it anew")
    found = provenance.find(inventory, known, root, hopeless=unlocked, offline=offline)
    written = pylock.written(found.packages, found.unlocked, inventory.environment.python_version)
    return Plan(
        lock=target,
        every=(target,),
        platform=inventory.platform,
        files=_differing({target: written}),
        changes=changes_between(known, found.packages),
        packages=found.packages,
        unlocked=found.unlocked,
    )


def _differing(texts: Mapping[Path, str]) -> dict[Path, bytes]:
    found = {path: text.encode() for path, text in texts.items()}
    return {path: data for path, data in found.items() if not path.is_file() or path.read_bytes() != data}


def _notes(inventory: Inventory) -> list[str]:
    return [
        f"{record.package.name} was installed by conda ({record.package.version}) "
        f"and replaced by pip ({distribution.version})"
        for record, distribution in inventory.replaced
    ]


def _refuse_foreign(root: Path, name: str, inventory: Inventory) -> None:
    if (root / name).is_file() and (name != "pixi.lock" or inventory.environment.kind == "pixi"):
        tool = name.partition(".")[0]
        fix = f"Let {tool} write it:\n    {_FOREIGN[name]}"
        raise UserError(f"{name} is the lock of this project, and {tool} keeps it", where=str(root / name), fix=fix)


def _refuse_without_pip(inventory: Inventory) -> None:
    """Refuse what conda-lock would install into another environment: it runs whatever pip is on PATH then."""
    if inventory.pip and "pip" not in {package.name for package in inventory.conda}:
        names = in_a_row([package.name for package in inventory.pip])
        message = f"pip installed {counted(len(inventory.pip), 'package')} ({names}), and conda has no pip here: "
        message += "whoever installs such a lock would change another environment"
        fix = f"Install it:\n    conda install --prefix {inventory.environment.prefix} pip"
        raise UserError(message, fix=fix)


def _refuse_without_md5(inventory: Inventory) -> None:
    bare = [package.name for package in inventory.conda if not (package.md5 and package.url)]
    if bare:
        message = f"the record of {in_a_row(bare)} has no url or no md5, which a lock must have"
        raise UserError(message, where=str(inventory.environment.prefix / "conda-meta"), fix="Install it anew")
