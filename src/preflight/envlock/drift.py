"""How an environment differs from a file that says what should be in it, whatever kind of file that is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from preflight.config.document import read_text
from preflight.envlock import machine
from preflight.envlock.distributions import package_of
from preflight.envlock.document import Document
from preflight.envlock.inventory import Inventory
from preflight.envlock.lock import read_lock as read_conda_lock
from preflight.envlock.model import Change, Package
from preflight.envlock.pixi import read_pixi_lock
from preflight.envlock.pylock import CREATED_BY, read_pylock
from preflight.envlock.specification import Spec, is_met, read_specification
from preflight.errors import UserError
from preflight.system import git
from preflight.system.locks import LockError, Pin, is_resolved, named_in, read_lock
from preflight.system.packages import Installed, satisfies

_YAML = (".yml", ".yaml")
# What a new virtual environment begins with, and no lock of uv's names.
_SEEDS = {"pip", "setuptools", "wheel"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What differs between a file and an environment.

    `is_record` tells a file that records what was installed from one that says what somebody wants; `is_whole` one that
    names all that was, `is_ours` one that preflight has written. `places` has file and line of what is wanted, by name;
    `edited` the files of packages that were edited.
    """

    file: Path
    inventory: Inventory
    changes: tuple[Change, ...]
    is_record: bool = True
    is_whole: bool = False
    is_ours: bool = False
    places: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    edited: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def wrong(self) -> tuple[Change, ...]:
        """The changes without what is merely there as well."""
        return tuple(change for change in self.changes if change.kind != "extra")

    @property
    def extra(self) -> tuple[Change, ...]:
        """What is installed and not named."""
        return tuple(change for change in self.changes if change.kind == "extra")


class OtherKind(UserError):
    """The file is for another kind of environment: what is installed cannot be compared with it."""


def drift(
    file: Path, inventory: Inventory, root: Path, installed: Installed | None = None, *, deep: bool = False
) -> Drift:
    """Compare an environment with a lock, or with a file that says what is wanted.

    `installed` is what its interpreter can import, where that is more than the environment. `deep` reads every module
    as well. Raises UserError where the file cannot be read or understood, and OtherKind where it is not for such an
    environment.
    """
    found = _reader(file)(file, inventory, root, installed or inventory.installed)
    if not deep:
        return found
    from preflight.envlock.edited import edited_files

    edited = edited_files(inventory)
    by_name = {(each.manager, each.name): each for each in inventory.packages}
    changes = [
        Change(name=name, manager=manager, before=by_name[manager, name], after=by_name[manager, name], kind="edited")
        for manager, name in sorted(edited)
    ]
    files = {name: tuple(files) for (_, name), files in edited.items()}
    return replace(found, changes=(*found.changes, *changes), edited=files)


def changes_between(locked: Iterable[Package], installed: Iterable[Package]) -> list[Change]:
    """Return what differs between two sets of packages, conda's first, by name."""
    before = {(each.manager, each.name): each for each in locked}
    after = {(each.manager, each.name): each for each in installed}
    found = []
    for manager, name in sorted(before.keys() | after.keys()):
        old, new = before.get((manager, name)), after.get((manager, name))
        if kind := _difference(old, new):
            found.append(Change(name=name, manager=manager, before=old, after=new, kind=kind))
    return found


def _difference(old: Package | None, new: Package | None) -> str:
    if old is None or new is None:
        return "extra" if old is None else "missing"
    if old.version != new.version:
        return "version"
    digests = [(one, other) for one, other in ((old.sha256, new.sha256), (old.md5, new.md5)) if one and other]
    if digests and digests[0][0] == digests[0][1]:
        return ""
    if old.build and new.build and old.build != new.build:
        return "build"
    return "source" if digests or _source(old) != _source(new) else ""


def _source(package: Package) -> str:
    """Return the repository and commit, or the folder, that a package is from; conda-lock has it as the URL only."""
    return package.source or (package.url if "+" in package.url.partition("://")[0] else "")


def _reader(file: Path) -> Callable[[Path, Inventory, Path, Installed], Drift]:
    if file.name == "pixi.lock":
        return _from_pixi
    if file.suffix not in _YAML:
        return _from_pins
    is_lock = re.search(r"^package:", read_text(file), re.MULTILINE) is not None
    return _from_conda_lock if is_lock else _from_specification


def _from_conda_lock(file: Path, inventory: Inventory, root: Path, _installed: Installed) -> Drift:
    lock = read_conda_lock(file)
    platform = inventory.platform
    if platform not in lock.platforms:
        there = ", ".join(lock.platforms) or "no platform"
        message = f"the lock holds packages for {there}, and this environment is {platform}"
        raise UserError(message, where=str(file), fix="Add this platform:\n    preflight env lock")
    _refuse_other_kind(file, inventory)
    told = {each.name: reason for each in inventory.pip if (reason := machine.told(each, root))}
    changes = _of_unlocked(lock.unlocked, told, inventory)
    locked = lock.packages(platform)
    changes += changes_between(locked, [*inventory.conda, *_lockable(inventory, locked, lock.unlocked, root)])
    is_ours = str(lock.custom.get("generator", "")).startswith("preflight")
    return Drift(file=file, inventory=inventory, changes=_sorted(changes), is_whole=True, is_ours=is_ours)


def _lockable(inventory: Inventory, locked: Iterable[Package], unlocked: Collection[str], root: Path) -> list[Package]:
    """Return what pip installed without what no lock can hold: of that the lock itself tells, or it is the project."""
    named = {each.name for each in locked if each.manager == "pip"}
    project = os.path.join(os.path.realpath(git.top_of(root) or root), "")
    own = {each.name for each in inventory.pip if each.editable and _is_below(each.source, project)}
    return [each for each in inventory.pip if each.name not in unlocked and each.name not in own - named]


def _is_below(folder: str, project: str) -> bool:
    return os.path.join(os.path.realpath(folder), "").startswith(project)


def _sorted(changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda change: (change.manager, change.name)))


def _of_unlocked(unlocked: Mapping[str, str], told: Mapping[str, str], inventory: Inventory) -> list[Change]:
    """Compare what could not be locked by what is said of it: version, folder, commit, whether it is changed."""
    there = {each.name: each for each in inventory.pip}
    found = []
    for name, before in unlocked.items():
        version, _, source = before.partition(" ")
        old = Package(name=name, version=version, manager="pip", source=source.strip("()"))
        new = there.get(name)
        kind = "missing" if new is None else "version" if new.version != version else ""
        if new and not kind and name in told and told[name] != before:
            new = replace(new, source=told[name].partition(" ")[2].strip("()"))
            kind = "source"
        if kind:
            found.append(Change(name=name, manager="pip", before=old, after=new, kind=kind))
    return found


def _from_pixi(file: Path, inventory: Inventory, root: Path, _installed: Installed) -> Drift:
    _refuse_other_kind(file, inventory)
    environment = inventory.environment
    name = environment.prefix.name if environment.kind == "pixi" else "default"
    locked = read_pixi_lock(file, name, inventory.platform)
    changes = changes_between(locked, [*inventory.conda, *_lockable(inventory, locked, (), root)])
    return Drift(file=file, inventory=inventory, changes=tuple(changes), is_whole=True)


def _from_specification(file: Path, inventory: Inventory, _root: Path, installed: Installed) -> Drift:
    wanted = read_specification(file, inventory.platform)
    _refuse_other_kind(file, inventory)
    there = {each.name: each for each in inventory.conda}
    changes = list(_unmet(wanted.conda, there))
    pins = [_pip_pin(line, file, inventory.environment.markers) for line in wanted.pip]
    changes += _of_pins([pin for pin in pins if pin], inventory, installed)
    document = Document(file)
    lines = {spec.name: document.place(("dependencies", number)).line for number, spec in enumerate(wanted.conda)}
    places = {change.name: (str(file), lines.get(change.name, 0)) for change in changes}
    return Drift(file=file, inventory=inventory, changes=tuple(changes), is_record=False, places=places)


def _unmet(specs: Iterable[Spec], there: Mapping[str, Package]) -> Iterator[Change]:
    for spec in specs:
        package = there.get(spec.name)
        if spec.name.startswith("__"):  # what stands for the machine itself
            continue
        if package is None or not is_met(spec, package):
            wanted = Package(name=spec.name, version=spec.version, manager="conda", build=spec.build)
            kind = "missing" if package is None else "version" if spec.version else "build"
            yield Change(name=spec.name, manager="conda", before=wanted, after=package, kind=kind)


def _pip_pin(line: str, file: Path, markers: Mapping[str, str]) -> Pin | None:
    try:
        requirement = Requirement(line.partition(" --")[0])
    except InvalidRequirement:
        return None
    holds = requirement.marker is None or requirement.marker.evaluate({**markers, "extra": ""})
    return Pin(requirement=requirement, file=file) if holds else None


def _from_pins(file: Path, inventory: Inventory, root: Path, installed: Installed) -> Drift:
    try:
        pins = read_lock(file, inventory.environment.markers)
        is_record = is_resolved(file)
        is_whole = file.suffix in (".toml", ".lock")
        named = named_in(file) if is_whole else set()
        unlocked, is_ours = _unlocked_in(file)
    except OSError as problem:
        raise UserError(f"the file cannot be read: {problem.strerror}", where=str(file)) from None
    except LockError as problem:
        where = f"{problem.file}:{problem.line}" if problem.line else str(problem.file)
        raise UserError(str(problem), where=where) from None
    changes = _of_pins(pins, inventory, installed)
    if is_whole:
        told = {each.name: reason for each in inventory.pip if (reason := machine.told(each, root))}
        changes += _of_unlocked(unlocked, told, inventory)
        known = named | (set() if is_ours else _SEEDS)
        changes += changes_between(
            [], [each for each in _lockable(inventory, (), unlocked, root) if each.name not in known]
        )
    places: dict[str, tuple[str, int]] = {
        canonicalize_name(pin.requirement.name): (str(pin.file), pin.line) for pin in reversed(pins)
    }
    return Drift(
        file=file,
        inventory=inventory,
        changes=tuple(changes),
        is_record=is_record,
        is_whole=is_whole,
        is_ours=is_ours,
        places=places,
    )


def _unlocked_in(file: Path) -> tuple[dict[str, str], bool]:
    """Return what a pylock.toml says that it could not hold, and whether preflight has written it."""
    if file.suffix != ".toml":
        return {}, False
    _, unlocked, writer = read_pylock(file)
    return unlocked, writer == CREATED_BY


def _of_pins(pins: Iterable[Pin], inventory: Inventory, installed: Installed) -> list[Change]:
    found: dict[str, Change] = {}
    known = {each.info: package for each, package in zip(inventory.distributions, inventory.pip, strict=True)}
    for pin in pins:
        name = canonicalize_name(pin.requirement.name)
        there = installed.get(name)
        package = known.get(there.info) if there else None
        if there and there.version and package is None:
            package = package_of(there, inventory.environment)
        kind = "missing" if there is None and pin.needed else ""
        if package and not satisfies(package.version, pin.requirement):
            kind = "version"
        elif package and _is_from_elsewhere(pin, package):
            kind = "source"
        if kind:
            version = str(pin.requirement.specifier).removeprefix("==")
            wanted = Package(name=name, version=version, manager="pip", source=pin.commit or pin.requirement.url or "")
            found.setdefault(name, Change(name=name, manager="pip", before=wanted, after=package, kind=kind))
    return list(found.values())


def _is_from_elsewhere(pin: Pin, package: Package) -> bool:
    """Say whether a package surely is not from where the lock has it; an index leaves no trace that could tell."""
    commit = package.source.partition("#")[0].rpartition("@")[2] if "+" in package.source else ""
    if pin.commit:
        return not package.editable and commit != pin.commit
    if pin.hashes:
        return bool(package.sha256 and package.sha256 not in pin.hashes)
    return False


def _refuse_other_kind(file: Path, inventory: Inventory) -> None:
    environment = inventory.environment
    if not environment.is_conda:
        message = f"{file.name} is for an environment of conda's, and {environment.told} is none"
        raise OtherKind(message, fix="Activate it, or name its interpreter in the config:\n    preflight: {python: …}")
