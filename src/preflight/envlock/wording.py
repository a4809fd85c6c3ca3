"""How differences between a lock and an environment are said, and the commands that end them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from preflight.envlock.model import Change, Package
from preflight.phrases import counted, in_a_row
from preflight.system.packages import install_command

if TYPE_CHECKING:
    from preflight.envlock.drift import Drift


def lines(changes: Sequence[Change], most: int) -> list[str]:
    """Return one line for each change, the first `most` of them."""
    width = max((len(change.name) for change in changes), default=0)
    told = [f"  {change.manager:<5}  {change.name:<{width}}  {_told(change)}" for change in changes[:most]]
    return [*told, f"  and {len(changes) - most:,} more"] if len(changes) > most else told


def short(change: Change) -> str:
    """Return a change in a few words: `numpy 2.0.1 (wanted 1.26.4)`."""
    before, after = change.before, change.after
    if after is None:
        return f"{change.name} is not installed (wanted {_wanted(before)})"
    if before is None:
        return f"{change.name} {after.version}"
    if change.kind == "edited":
        return f"{change.name} {after.version} (edited in place)"
    if change.kind == "build":
        return f"{change.name} {after.version} {after.build} (wanted {before.build})"
    if change.kind == "source":
        return f"{change.name} {after.version} from {_source(after)} (wanted {_source(before)})"
    return f"{change.name} {after.version} (wanted {_wanted(before)})"


def ways(found: Drift) -> list[str]:
    """Return the lines with the command that goes back to the lock, and the one that records the present."""
    return [f"  back    {go_back(found)}", *(f"  record  {line}" for line in record(found))]


def go_back(found: Drift, installer: str = "pip") -> str:
    """Return the command that installs what the file says."""
    file, environment = found.file, found.inventory.environment
    prefix = ["--prefix", str(environment.prefix)]
    if file.name == "uv.lock":
        return shlex.join(["uv", "sync", "--frozen", "--inexact", "--project", str(file.parent)])
    if file.name == "pixi.lock":
        return shlex.join(["pixi", "install", "--frozen", "--manifest-path", str(file.parent)])
    if found.is_ours:
        return shlex.join(["preflight", "env", "restore", *prefix])
    if file.suffix in (".yml", ".yaml"):
        words = ["conda-lock", "install", *prefix] if found.is_record else ["conda", "env", "update", *prefix, "--file"]
        return shlex.join([*words, str(file)])
    wanted = ["-r", str(file)]
    if file.suffix == ".toml" or installer == "conda":
        before = [change.before for change in found.wrong if change.before]
        wanted = [requirement(package) for package in before]
    return install_command(wanted, installer, str(environment.prefix), environment.python)


def requirement(package: Package) -> str:
    """Return `numpy==1.26.4`, or `numpy>=1` where the file is not as exact."""
    version = package.version
    return package.name + (f"=={version}" if version and version[0].isalnum() else version)


def record(found: Drift) -> list[str]:
    """Return the command that writes what is installed into the lock, none where preflight does not write it."""
    if found.file.name == "conda-lock.yml" or found.is_ours:
        return [shlex.join(["preflight", "env", "commit", "--prefix", str(found.inventory.environment.prefix)])]
    return []


def told_unlocked(unlocked: Mapping[str, str]) -> list[str]:
    """Return the line that says which packages no lock can hold, and why."""
    if not unlocked:
        return []
    names = [f"{name} {reason}" for name, reason in unlocked.items()]
    return [f"env: cannot lock {counted(len(unlocked), 'package')}: {in_a_row(names, 5)}"]


def _told(change: Change) -> str:
    before, after = change.before, change.after
    if change.kind == "edited":
        return "edited in place"
    if before is None:
        return f"not in the lock, installed {_version(after)}"
    if after is None:
        return f"locked {_version(before)}, not installed"
    if change.kind == "source":
        return f"locked from {_source(before)}, installed from {_source(after)}"
    return f"locked {_version(before)}, installed {_version(after)}"


def _version(package: Package | None) -> str:
    if package is None:
        return ""
    version = package.version or "any version"
    return f"{version}-{package.build}" if package.build else version


def _wanted(package: Package | None) -> str:
    return (package and package.version) or "any version"


def _source(package: Package) -> str:
    return (
        package.source or package.url or (f"a file with the SHA-256 {package.sha256}" if package.sha256 else "an index")
    )
