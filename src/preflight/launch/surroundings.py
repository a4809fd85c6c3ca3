"""The environment of a launch: whether it is still what its lock says, and what is done where it is not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from preflight.config import Config, Launch
from preflight.envlock import fingerprint
from preflight.envlock.environment import Environment, find
from preflight.envlock.fingerprint import Fingerprint
from preflight.errors import UserError
from preflight.phrases import in_a_row, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The folder of the environment, and the digest of its lock, empty where it has none."""

    prefix: str
    lock: str = ""


def agree(config: Config) -> Surroundings:
    """Return the environment, once it is what its lock says.

    Where it is not, `launch.environment` decides: `refuse` raises UserError with the differences, `commit` locks and
    commits what is installed, `ignore` looks no further. An environment without a lock is asked nothing.
    """
    environment = _environment(config)
    locks = _locks(config, environment)
    prefix = str(environment.prefix)
    mode = (config.launch or Launch()).environment
    if not locks or mode == "ignore":
        return Surroundings(prefix=prefix, lock=digest(locks))
    seen = fingerprint.fingerprint(environment.prefix)
    changed = (
        [] if all(fingerprint.unchanged(seen, lock) for lock in locks) else _changes(config, environment, locks, seen)
    )
    if changed and mode == "commit":
        _commit(config, environment)
        locks = _locks(config, environment)
    elif changed:
        raise UserError(
            f"the environment is not what {in_a_row([shown(lock) for lock in locks])} says: {in_a_row(changed)}",
            where=f"{config.launch.at}.environment" if config.launch else "",
            fix="See all of it, then lock what is installed or go back to what was:\n    preflight env diff\n"
            "    preflight env commit\n    preflight env restore",
        )
    return Surroundings(prefix=prefix, lock=digest(locks))


def digest(locks: list[Path]) -> str:
    """Return the SHA-256 of lock files, empty where there is none."""
    whole = hashlib.sha256()
    for lock in locks:
        whole.update(lock.read_bytes())
    return whole.hexdigest() if locks else ""


def locks_digest(config: Config) -> str:
    """Return the digest of the locks that the environment has now."""
    return digest(_locks(config, _environment(config)))


def prefix_of(config: Config) -> str:
    """Return the folder of the environment that the job has now."""
    return str(_environment(config).prefix)


def _environment(config: Config) -> Environment:
    return find(config.root, python=config.python)


def _locks(config: Config, environment: Environment) -> list[Path]:
    from preflight.envlock.project import lock_of

    if config.packages and config.packages.lock:
        return [config.root / name for name in config.packages.lock if (config.root / name).is_file()]
    try:
        return [lock_of(environment, config.root)]
    except UserError:
        return []


def _changes(config: Config, environment: Environment, locks: list[Path], seen: Fingerprint) -> list[str]:
    from preflight.envlock import wording
    from preflight.envlock.drift import drift
    from preflight.envlock.inventory import Inventory

    inventory = Inventory.of(environment)
    changes = []
    for lock in locks:
        found = drift(lock, inventory, config.root)
        told = found.changes if found.is_whole else found.wrong
        changes += [wording.short(change) for change in told]
        if not found.changes:
            fingerprint.remember(seen, lock)
    return changes


def _commit(config: Config, environment: Environment) -> None:
    from preflight.envlock import commit
    from preflight.envlock.inventory import Inventory
    from preflight.envlock.plan import changes_since_commit, plan

    found = plan(Inventory.of(environment), config.root)
    files = {path: found.files.get(path) or path.read_bytes() for path in found.every}
    commit.commit(config.root, files, changes_since_commit(found, config.root))
