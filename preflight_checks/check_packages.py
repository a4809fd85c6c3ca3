"""The installed packages: whether they agree with each other and with the lock files.

See it by hand:

    python -m pip check
    python -m pip list
    preflight env diff

Mend it:

    Install what the lock says, or lock what is installed:
        preflight env restore
        preflight env lock
"""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from preflight import Finding, check, error, info, warning
from preflight.config import Config
from preflight.envlock import environment, wording
from preflight.envlock.drift import Drift, OtherKind, drift
from preflight.envlock.inventory import Inventory
from preflight.envlock.model import Change
from preflight.errors import UserError
from preflight.phrases import counted, in_a_row
from preflight.system.environments import other_environment
from preflight.system.integrity import Altered, altered_files, is_hollow
from preflight.system.origins import SearchPath, Source
from preflight.system.packages import (
    Distribution,
    Installed,
    Unmet,
    active_requirements,
    closure,
    install_command,
    leftovers,
    satisfies,
    unmet_requirements,
)
from preflight.system.readers import Readers

# Built for one release of torch each.
COMPANIONS = ("torchvision", "torchaudio")


@check(when="packages.consistent")
def check_consistent(config: Config, root: Path) -> Iterator[Finding]:
    """What the installed packages require is installed, in a version that they accept.

    Read from the metadata of all that is installed, with the markers and extras that hold here; nothing is imported.
    A conflict that no module of `imports:` depends on is a warning.

        packages.missing      a package requires another one that is not installed
        packages.conflict     a package requires another version of a package than the installed one
    """
    path = SearchPath.of(root)
    installed = Installed.in_folders(path.installations)
    needed = _needed(config, path, installed)
    for unmet in unmet_requirements(installed):
        if unmet not in _pairs(installed, needed):
            yield _unmet(unmet, installed, needed)


def check_are_whole(config: Config, root: Path) -> Iterator[Finding]:
    """What is installed was installed whole, and nothing of an earlier installation is in its way.

    A program that asks for the version of a package gets that of the first record found. Of what `imports:` names, the
    modules at the top of each package are compared with the record of the installation as well.

        packages.broken       the metadata of a package is lost, so that programs which ask for its version fail
        packages.duplicate    a package is recorded twice in one folder: a remainder of an earlier installation
        packages.altered      files of a package are not those that were installed
        packages.leftover     folders that pip began to remove are still there
    """
    path = SearchPath.of(root)
    installed = Installed.in_folders(path.installations)
    owners = _owners(config, path, installed)
    needed = closure(installed, [owner.key for owner in owners])
    for distribution in installed.all:
        if not (distribution.name and distribution.version):
            yield _broken(distribution, needed)
    for rivals in installed.rivals(path):
        if all(each.version for each in rivals):
            yield _duplicate(rivals, installed, needed, root)
    for owner in owners:
        altered = [each for each in altered_files(owner) if not _is_shared(each.file, owner, installed)]
        if altered and [each.key for each in installed.all].count(owner.key) == 1:
            yield _altered(owner, altered)
    if names := leftovers(path.installations):
        yield info(
            f"{counted(len(names), 'folder')} of a broken-off installation are left: {in_a_row(names)}",
            id="packages.leftover",
            cause="pip was interrupted while it replaced packages",
            fix="Remove what is left:\n    " + shlex.join(["rm", "-r", *map(str, names)]),
        )


@check(when="imports")
def check_builds_match(config: Config, root: Path) -> Iterator[Finding]:
    """torchvision, torchaudio and what else is built for one torch are installed beside that torch.

    packages.torch-pair    a package was built for another torch than the one that is installed
    """
    path = SearchPath.of(root)
    installed = Installed.in_folders(path.installations)
    needed = closure(installed, [owner.key for owner in _owners(config, path, installed)])
    for unmet in _pairs(installed, needed):
        yield error(
            f"{unmet.by.name} {unmet.by.version} goes with {unmet.requirement}, torch {unmet.version} is installed",
            id="packages.torch-pair",
            found=f"torch {unmet.version}",
            wanted=str(unmet.requirement),
            cause=f"the compiled code of {unmet.by.name} fits one release of torch only",
            fix=f"Install the {unmet.by.name} that goes with it:\n    "
            + install_command([f"torch=={unmet.version}", unmet.by.name], installed.installer()),
        )
    torch = installed.get("torch")
    for name in COMPANIONS if torch and "torch" in needed else ():
        other = installed.get(name)
        builds = {_build(torch), _build(other)} if torch and other and other.key in needed else set()
        if torch and other and len(builds - {""}) > 1:
            yield warning(
                f"{other.name} {other.version} is another build than torch {torch.version}",
                id="packages.torch-pair",
                found=f"{other.name} {other.version}",
                wanted=f"{other.name} for {_build(torch)}",
                cause="they come from two package indexes",
                fix="Install both from the same index, as PyTorch's own instructions have it",
            )


@check(when="imports")
def check_are_of_the_active_environment(config: Config) -> Iterator[Finding]:
    """The environment that is active is the one that is checked, so that `python` means the same to the job.

    packages.other-environment    another environment is active, and `python` is that one's
    """
    active = other_environment()
    if active and not config.python:
        yield warning(
            f"{active.prefix} is the active environment ({active.variable}), and {sys.prefix} is checked",
            id="packages.other-environment",
            found=sys.executable,
            wanted=active.python,
            cause="preflight is installed in another environment than the one that the job would use",
            fix=f"Name the job's interpreter in the config:\n    preflight: {{python: {active.python}}}",
        )


@check(per="packages.lock")
def check_matches_lock(entry: str, config: Config, root: Path) -> Iterator[Finding]:
    """The installed packages are those that the lock file names.

    Reads conda-lock.yml, pixi.lock and environment.yml, requirements.txt (with what it includes, constraints, markers
    and hashes), pylock.toml and uv.lock. environment.yml, and a requirements.txt that no resolver wrote (without
    `--hash`), say what somebody wants: drift from them is a warning. What they do not name may be there.
    An editable project of another repository is compared by its commit and whether something is changed since.

        packages.drift          packages are installed in other versions than the lock wants, or not at all
        packages.other-build    a package is there in its version, in another build or from elsewhere than was locked
        packages.not-locked     packages are installed that the lock, which names all, does not name
        packages.not-conda      the lock is one of conda's, and the job's interpreter is in no environment of conda's
        packages.no-lock        the lock file is not there or cannot be understood
    """
    path = SearchPath.of(root)
    installed = Installed.in_folders(path.installations)
    try:
        found = drift(root / entry, Inventory.of(environment.here()), root, installed)
    except OtherKind as problem:
        yield _not_conda(entry, problem)
        return
    except UserError as problem:
        yield _no_lock(entry, problem, config, root)
        return
    yield from _drift(entry, found, installed)


def _drift(name: str, found: Drift, installed: Installed) -> Iterator[Finding]:
    say = error if found.is_record else warning
    versions = [change for change in found.wrong if change.kind in ("version", "missing")]
    others = [change for change in found.wrong if change.kind in ("build", "source")]
    fix = _ways(found, installed)
    if versions:
        yield say(
            _folded(name, versions, "differ from"),
            id="packages.drift",
            found=in_a_row([f"{each.name} {each.after.version}" for each in versions if each.after], 10)
            or "not installed",
            wanted=in_a_row([wording.requirement(each.before) for each in versions if each.before], 10),
            cause=f"the environment was not installed from {name}, or has changed since",
            **_told(found, versions, fix),
        )
    if others:
        yield say(
            _folded(name, others, "are not those of"),
            id="packages.other-build",
            cause="it was built or installed from elsewhere, so that the same version is other code",
            **_told(found, others, fix),
        )
    ours = closure(installed, ["pytest-preflight"])
    extra = [change for change in found.extra if change.name not in ours]
    if extra and found.is_whole:
        is_exact = found.is_ours or found.file.name.endswith((".yml", ".yaml"))
        yield (warning if is_exact else info)(
            f"{name} does not name {counted(len(extra), 'installed package')}: "
            + in_a_row([wording.short(each) for each in extra]),
            id="packages.not-locked",
            cause=f"they were installed after {name} was written",
            **_told(found, extra, fix),
        )


def _folded(name: str, changes: list[Change], verb: str) -> str:
    """Return one line for what differs: a single package in full, of many the first ones."""
    if len(changes) == 1:
        said, _, wanted = wording.short(changes[0]).partition(" (wanted ")
        return f"{said}, {name} wants {wanted.removesuffix(')')}"
    told = in_a_row([wording.short(each) for each in changes])
    return f"{counted(len(changes), 'package')} {verb} {name}: {told}"


def _told(found: Drift, changes: list[Change], fix: str) -> dict[str, Any]:
    file, line = next((found.places[each.name] for each in changes if each.name in found.places), (str(found.file), 0))
    told = [wording.short(each).replace(" (wanted ", ", wanted ").removesuffix(")") for each in changes]
    return {"fix": fix, "evidence": {"differing": told}, "file": file, "line": line}


def _ways(found: Drift, installed: Installed) -> str:
    fix = f"Install what {found.file.name} wants:\n    {wording.go_back(found, installed.installer())}"
    return fix + "".join(f"\nor record what is installed:\n    {command}" for command in wording.record(found))


def _not_conda(name: str, problem: OtherKind) -> Finding:
    say = warning if name.endswith(("environment.yml", "environment.yaml")) else error
    fix = problem.fix.removesuffix("…}") + "FOLDER/bin/python}"
    return say(problem.message, id="packages.not-conda", found=sys.prefix, wanted="an environment of conda's", fix=fix)


def _no_lock(name: str, problem: UserError, config: Config, root: Path) -> Finding:
    file, _, line = problem.where.partition(": ")[0].rpartition(":")
    at = config.packages.at if config.packages else None
    if not os.path.exists(root / name):
        return error(
            f"{name} cannot be read: No such file or directory",
            id="packages.no-lock",
            fix=f"Correct the path, which starts from {root}",
            file=at.file if at else "",
            line=at.line if at else 0,
        )
    return error(
        f"{name} is no lock that can be read: {problem.message}",
        id="packages.no-lock",
        fix=problem.fix or "Correct the file",
        file=file if line.isdecimal() else problem.where.partition(": ")[0],
        line=int(line) if line.isdecimal() else 0,
    )


def _needed(config: Config, path: SearchPath, installed: Installed) -> set[str]:
    """Return the keys of all that the imports depend on; of all that is installed where that cannot be told."""
    owners = [owner.key for owner in _owners(config, path, installed)]
    return closure(installed, owners) if owners else {each.key for each in installed}


def _owners(config: Config, path: SearchPath, installed: Installed) -> list[Distribution]:
    """Return the distributions that give what `imports:` names."""
    specs = [path.find(entry.name.partition(".")[0], *Source) for entry in config.imports]
    owners = [installed.owner(spec.origin) for spec in specs if spec and spec.origin]
    return list({owner.key: owner for owner in owners if owner}.values())


def _pairs(installed: Installed, needed: set[str]) -> list[Unmet]:
    """Return what the companions of torch, as far as they are needed, require of it and do not have."""
    found = [unmet for unmet in unmet_requirements(installed) if unmet.by.key in needed.intersection(COMPANIONS)]
    return [unmet for unmet in found if canonicalize_name(unmet.requirement.name) == "torch" and unmet.version]


def _build(distribution: Distribution) -> str:
    """Return `cu121` of 2.4.0+cu121."""
    return distribution.version.partition("+")[2]


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


def _duplicate(rivals: list[Distribution], installed: Installed, needed: set[str], root: Path) -> Finding:
    key, folders = rivals[0].key, {each.folder for each in rivals}
    stale = [each for each in rivals if altered_files(each) or is_hollow(each) or each.lacks_modules_of(rivals[-1])]
    is_known = 0 < len(stale) < len(rivals)
    versions = [f"{each.version} (stale)" if is_known and each in stale else each.version for each in rivals]
    fix = f"Install it anew:\n    {_again(rivals[0])}"
    if is_known:
        fix = "Remove what is stale:\n    " + shlex.join(["rm", "-r", *(str(each.info) for each in stale)])
    matters = key in needed and (_is_judged(rivals, installed) or Readers.in_folder(root).asks_version(key))
    return (error if matters else warning)(
        f"{key} has {len(rivals)} dist-info folders: {', '.join(versions)}",
        id="packages.duplicate",
        found=", ".join(str(each.info) for each in rivals),
        wanted="one",
        cause="an earlier installation was not removed whole, and its metadata is a duplicate: "
        + (
            "which version programs are told is a matter of chance"
            if len(folders) == 1
            else "programs are told its version"
        ),
        fix=fix,
        evidence={"folders": [str(each.info) for each in rivals]},
    )


def _is_judged(rivals: list[Distribution], installed: Installed) -> bool:
    """Say whether some package accepts one of the versions and not another."""
    requirements = [each for distribution in installed for each in active_requirements(distribution)]
    of_these = [each for each in requirements if canonicalize_name(each.name) == rivals[0].key]
    return any(len({satisfies(each.version, requirement) for each in rivals}) > 1 for requirement in of_these)


def _altered(owner: Distribution, altered: list[Altered]) -> Finding:
    return warning(
        f"{counted(len(altered), 'file')} of {owner.name} {owner.version} differ from its RECORD: "
        + in_a_row([f"{os.path.relpath(each.file, owner.folder)} ({each.how})" for each in altered]),
        id="packages.altered",
        cause="files of another version were put over it, or somebody edited them",
        fix=f"Install it anew:\n    {_again(owner)}",
        evidence={"files": [each.file for each in altered[:50]]},
        file=altered[0].file,
    )


def _is_shared(file: str, owner: Distribution, installed: Installed) -> bool:
    """Say whether another distribution has the file too, as opencv's do."""
    return any(each.owns(file) for each in installed.all if each.key != owner.key and each.record)


def _again(distribution: Distribution) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", "--force-reinstall", "--no-deps", distribution.key])
