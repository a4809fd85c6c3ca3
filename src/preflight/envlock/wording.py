"""How differences between a lock and an environment are said, and the commands that end them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from preflight.envlock.environment import Environment
from preflight.envlock.model import Change, Package
from preflight.phrases import counted, in_a_row

if TYPE_CHECKING:
    from preflight.envlock.drift import Drift

__all__ = ["counted", "counted_changes", "lines", "short", "told_unlocked", "ways"]


def counted_changes(found: Drift) -> str:
    """Return `1 difference` or `4 differences`."""
    return counted(len(found.changes), "difference")


def lines(changes: Sequence[Change], most: int) -> list[str]:
    """Return one line for each change, the first `most` of them."""
    width = max((len(change.name) for change in changes), default=0)
    told = [f"  {change.manager:<5}  {change.name:<{width}}  {_told(change)}" for change in changes[:most]]
    return [*told, f"  and {len(changes) - most:,} more"] if len(changes) > most else told


def short(change: Change) -> str:
    """Return a change in a few words: `numpy 2.0.1 (wanted 1.26.4)`."""
    before, after = change.before, change.after
    if after is None:
        return f"{change.name} is not installed (wanted {_version(before)})"
    if before is None:
        return f"{change.name} {after.version}"
    if change.kind == "edited":
        return f"{change.name} {after.version} (edited in place)"
    if change.kind == "build":
        return f"{change.name} {after.version} {after.build} (wanted {before.build})"
    if change.kind == "source":
        return f"{change.name} {after.version} from {_source(after)} (wanted {_source(before)})"
    return f"{change.name} {after.version} (wanted {_version(before)})"


def ways(found: Drift, environment: Environment) -> list[str]:
    """Return the command that goes back to the lock, and the one that records the present."""
    return [f"  back    {go_back(found, environment)}", *(f"  record  {line}" for line in record(found))]


def go_back(found: Drift, environment: Environment) -> str:
    """Return the command that installs what the file says."""
    file, prefix = str(found.file), str(environment.prefix)
    by_name = {
        "uv.lock": ["uv", "sync", "--frozen", "--project", str(found.file.parent)],
        "pixi.lock": ["pixi", "install", "--frozen", "--manifest-path", str(found.file.parent)],
    }
    if found.file.name in by_name:
        return shlex.join(by_name[found.file.name])
    if found.file.suffix in (".yml", ".yaml") and not found.is_record:
        return shlex.join(["conda", "env", "update", "--prefix", prefix, "--file", file])
    if found.file.suffix == ".txt":
        return shlex.join([environment.python, "-m", "pip", "install", "-r", file])
    return shlex.join(["preflight", "env", "restore", "--prefix", prefix])


def record(found: Drift) -> list[str]:
    """Return the command that writes what is installed into the lock, none where preflight does not write it."""
    if found.file.name in ("conda-lock.yml", "pylock.toml"):
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


def _source(package: Package) -> str:
    return package.source or package.url or (f"a file with the SHA-256 {package.sha256}" if package.sha256 else "an index")
