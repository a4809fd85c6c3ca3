"""The installed packages: whether they agree with each other and with the lock files."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from preflight import Finding, check, error, warning
from preflight.config import Config
from preflight.phrases import counted, in_a_row
from preflight.system.locks import LockError, Pin, is_conda_lock, read_lock
from preflight.system.origins import SearchPath, Source
from preflight.system.packages import (
    Distribution,
    Installed,
    Unmet,
    closure,
    install_command,
    satisfies,
    unmet_requirements,
)


@check(when="packages.consistent")
def check_consistent(config: Config, root: Path) -> Iterator[Finding]:
    """What the installed packages require is installed, in a version that they accept.

    Read from the metadata of all that is installed, with the markers and extras that hold here; nothing is imported.
    A conflict that no module of `imports:` depends on is a warning.

        packages.missing      a package requires another one that is not installed
        packages.conflict     a package requires another version of a package than the installed one
        packages.broken       the metadata of a package is lost, so that programs which ask for its version fail
        packages.duplicate    a package is recorded twice in one folder: a remainder of an earlier installation
    """
    path = SearchPath.of(root)
    installed = Installed.in_folders(path.installations)
    needed = _needed(config, path, installed)
    for unmet in unmet_requirements(installed):
        yield _unmet(unmet, installed, needed)
    for distribution in installed:
        if not (distribution.name and distribution.version):
            yield _broken(distribution, needed)
    for twins in installed.twins():
        yield _duplicate(twins)


@check(per="packages.lock")
def check_matches_lock(entry: str, config: Config, root: Path) -> Iterator[Finding]:
    """The installed packages are those that the lock file names.

    Reads requirements.txt (with what it includes, constraints and markers), pylock.toml and uv.lock. Packages that the
    lock does not name may be there.

        packages.drift      packages are installed in other versions than the lock wants, or not at all
        packages.no-lock    the lock file is not there or cannot be read
    """
    if is_conda_lock(entry):
        pytest.skip("conda locks are compared once env-lock is there")
    file = root / entry
    at = config.packages.at if config.packages else None
    try:
        pins = read_lock(file)
    except OSError as problem:
        yield error(
            f"{entry} cannot be read: {problem.strerror}",
            id="packages.no-lock",
            fix="Correct the path, which starts from " + str(root),
            file=at.file if at else "",
            line=at.line if at else 0,
        )
        return
    except LockError as problem:
        yield error(
            f"{entry} is no lock that can be read: {problem}",
            id="packages.no-lock",
            fix="Correct the file",
            file=str(problem.file),
            line=problem.line,
        )
        return
    installed = Installed.in_folders(SearchPath.of(root).installations)
    yield from _drift(entry, file, pins, installed)


def _drift(name: str, file: Path, pins: list[Pin], installed: Installed) -> Iterator[Finding]:
    other, missing = [], []
    for pin in pins:
        there = installed.get(pin.requirement.name)
        if there is None and pin.needed:
            missing.append(pin)
        elif there is not None and there.version and not satisfies(there.version, pin.requirement):
            other.append((there, pin))
    if not other and not missing:
        return
    said = [f"{there.name} {there.version}, the lock wants {_wanted(pin)}" for there, pin in other]
    said += [f"{pin.requirement.name} is not installed, the lock wants {_wanted(pin)}" for pin in missing]
    wrong = [*(pin for _, pin in other), *missing]
    yield error(
        f"{said[0]} ({name})"
        if len(said) == 1
        else f"{counted(len(said), 'package')} differ from {name}: "
        + in_a_row([text.replace(", the lock wants", "; locked") for text in said]),
        id="packages.drift",
        found=in_a_row([f"{there.name} {there.version}" for there, _ in other], 10) or "not installed",
        wanted=in_a_row([str(pin.requirement).partition(";")[0] for pin in wrong], 10),
        cause=f"the environment was not installed from {name}, or has changed since",
        fix="Install what the lock wants:\n    " + _install_locked(file, wrong, installed),
        evidence={"differing": said},
        file=str(wrong[0].file),
        line=wrong[0].line,
    )


def _wanted(pin: Pin) -> str:
    return str(pin.requirement.specifier).removeprefix("==") or "any version"


def _install_locked(file: Path, pins: list[Pin], installed: Installed) -> str:
    tool = installed.installer()
    if file.name == "uv.lock":
        return shlex.join(["uv", "sync", "--frozen", "--inexact", "--project", str(file.parent)])
    if file.suffix == ".toml" or tool == "conda":
        return install_command([str(pin.requirement).partition(";")[0] for pin in pins], tool)
    return install_command(["-r", str(file)], tool)


def _needed(config: Config, path: SearchPath, installed: Installed) -> set[str]:
    """Return the keys of all that the imports depend on; of all that is installed where that cannot be told."""
    owners = []
    for entry in config.imports:
        spec = path.find(entry.name.partition(".")[0], *Source)
        if spec and spec.origin and (owner := installed.owner(spec.origin)):
            owners.append(owner.name)
    return closure(installed, owners) if owners else {each.key for each in installed}


def _unmet(unmet: Unmet, installed: Installed, needed: set[str]) -> Finding:
    say = error if unmet.by.key in needed else warning
    requirement = str(unmet.requirement).partition(";")[0].strip()
    by = f"{unmet.by.name} {unmet.by.version}"
    there = f"{unmet.requirement.name} {unmet.version}" if unmet.version else "not installed"
    return say(
        f"{by} requires {requirement}, " + (f"{there} is installed" if unmet.version else "which is not installed"),
        id="packages.conflict" if unmet.version else "packages.missing",
        found=there,
        wanted=requirement,
        cause=f"the metadata of {unmet.by.name} says so: {unmet.by.info}",
        fix=f"Install what it requires:\n    {install_command([requirement], installed.installer())}",
    )


def _broken(distribution: Distribution, needed: set[str]) -> Finding:
    say = error if distribution.key in needed else warning
    return say(
        f"the metadata of {distribution.key} has no name or no version: {distribution.info}",
        id="packages.broken",
        cause="an installation was broken off, or files of it were deleted",
        fix="Remove the folder and install the package anew:\n"
        f"    rm -r {shlex.quote(str(distribution.info))}\n    {_again(distribution)}",
        file=str(distribution.info),
    )


def _duplicate(twins: list[Distribution]) -> Finding:
    versions = [f"{each.name or each.key} {each.version}".strip() for each in twins]
    return warning(
        f"{twins[0].key} is recorded {len(twins)} times in {twins[0].folder}: {', '.join(versions)}",
        id="packages.duplicate",
        cause="an earlier installation was not removed whole; which version programs are told is a matter of chance",
        fix=f"Install it anew:\n    {_again(twins[0])}",
        evidence={"folders": [str(each.info) for each in twins]},
    )


def _again(distribution: Distribution) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", "--force-reinstall", "--no-deps", distribution.key])
