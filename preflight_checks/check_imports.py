"""The modules that the experiment imports.

See it by hand:

    python -v -c 'import MODULE' 2>&1 | tail
    python -c 'import MODULE; print(MODULE.__file__)'
    python -m pip show -f DISTRIBUTION
    ldd FILE.so

Mend it:

    Install the build or version that goes with the rest, or remove what hides it; change one package at a time.
"""

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from preflight import Finding, check, error, info, warning
from preflight.causes.builds import explain_build
from preflight.causes.imports import explain, explain_leak
from preflight.config import Config, Import
from preflight.system.attributes import Gone, gone, is_unknown, taken_names
from preflight.system.caches import caches
from preflight.system.code import Program
from preflight.system.disk import Mount, mount_of
from preflight.system.failures import Failed, leak_of
from preflight.system.locks import LockError, Pin, is_conda_lock, read_lock
from preflight.system.modules import Imported, Outcome
from preflight.system.origins import SearchPath, Source, lacks, plain_folder, shadow
from preflight.system.packages import (
    Distribution,
    Installed,
    closure,
    distribution_name,
    install_command,
    is_project,
    owner_of,
    satisfies,
)
from preflight.system.programs import read_scripts, scripts_of
from preflight.system.readers import Readers
from preflight.system.trials import try_to_write

# Seconds after which an import is slow.
SLOW = 20


@check(per="imports")
def check_works(entry: Import, imported: Mapping[str, Imported], config: Config, root: Path) -> Iterator[Finding]:
    """The module can be imported, in the version asked for.

    All entries of `imports:` are imported in one process and in their order, as the program does it, from the folder
    that it starts in. A failure is told by its cause: what several entries fall over is said once, for the first.

        imports.loaded             the module came in: its version, its time
        imports.version            the installed version is not the one that the config asks for
        imports.missing            the module, or one that it imports, is not installed or not found
        imports.incomplete-python  a module of the standard library that this Python does not have
        imports.raises             code that runs during the import raises an exception
        imports.crashes            compiled code ends the process
        imports.exits              code that runs during the import ends the process
        imports.hangs              the import does not end
        imports.shadowed           a file of the project is found before the module of the same name that was meant
        imports.pythonpath-leak    PYTHONPATH gives a module that the environment has itself, in another version or for
                                   another Python
        imports.user-site-leak     the user's own site-packages give a module that the environment has itself
        imports.plain-folder       a folder without Python files is taken for the package that is not installed
        imports.undefined-symbol   a compiled module was built against another version of a library
        imports.missing-library    a compiled module needs a shared library that the loader does not find
        imports.old-library        a compiled module needs a newer version of a library than the loader finds
        imports.numpy-abi          compiled code is for another NumPy than the installed one
        imports.protobuf           generated code is for another protobuf than the installed one
        imports.no-threads         the limits do not allow the threads that an import starts
        imports.no-cache           a library needs a folder for its cache, and can write none
        imports.illegal-instruction    compiled code uses instructions that the processor lacks
        imports.slow               the import takes long, and waits for most of that time
        imports.optional           an optional module is absent
    """
    facts, path = imported.get(entry.name), SearchPath.of(root)
    if facts is None:
        pytest.skip("the process that imports the modules ended before its turn")
    failed = Failed(facts, path, root)
    if facts.outcome is Outcome.IMPORTED:
        yield from _came_in(entry, facts, path, config, root)
    elif entry.optional:
        yield _optional(failed)
    elif earlier := _same_failure(failed, config, imported):
        pytest.skip(f"it fails for the same reason as imports.works[{earlier}]")
    else:
        yield _placed(explain(failed, error), entry, config, root)


@check(needs="*")
def check_names_are_there(config: Config, root: Path) -> Iterator[Finding]:
    """The installed versions have the names that the program takes from them.

    Reads the program (the script of `rehearsal:` or `seeds:`, else train.py, main.py, run.py or what else runs) and
    asks the imported modules. Only what runs in any case counts: what stands in a `try`, under a condition or behind
    `hasattr` is the program's own business.

        imports.attribute-gone    the program uses a name that the installed version of a package does not have
    """
    program = _program(config, root)
    found = list(gone(taken_names(program)))
    if not found:
        return
    path = SearchPath.of(root)
    installed = Installed.in_folders(path.installations)
    tops = {named.name.partition(".")[0] for named in program.imports if not named.deferred}
    unknown = {spec.origin for top in tops if is_unknown(top) and (spec := path.find(top, *Source)) and spec.origin}
    owners = [owner.name for origin in unknown if (owner := installed.owner(origin))]
    # What is not imported here may add names to what it requires.
    changeable = closure(installed, owners)
    for each in found:
        owner = installed.owner(each.origin)
        if owner and owner.key in changeable:
            continue
        if leak := leak_of(each.origin, path):
            evidence = {"lacking": f"{each.module}.{each.name}", "used": f"{each.taken.file}:{each.taken.line}"}
            yield explain_leak(leak, error, evidence=evidence)
        else:
            yield _gone(each, owner, _pin(owner, config, root), installed, root)


@check(when="imports")
def check_caches_can_be_written(root: Path) -> Iterator[Finding]:
    """The folders into which libraries fetch what the program asks them for can be written.

    Looked at where the program calls `torch.hub`, `from_pretrained` or the like. A cache that holds something already
    may hold all that is needed; with HF_HUB_OFFLINE nothing is fetched.

        imports.no-cache    a library cannot write its cache
    """
    project = Readers.in_folder(root)
    for cache in caches():
        if cache.is_offline or not any(map(project.mentions, cache.calls)):
            continue
        existing = next(folder for folder in (cache.folder, *cache.folder.parents) if folder.exists())
        if refusal := try_to_write(existing, 1):
            yield (error if cache.is_empty else warning)(
                f"{cache.library} cannot write its cache {cache.folder}: {os.strerror(refusal.errno)}",
                id="imports.no-cache",
                found=f"{existing} refuses to {refusal.step}",
                wanted=f"{cache.variable} names a writable folder",
                cause="the home folder belongs to somebody else, is read-only or is not there",
                fix=f'Name another folder:\n    export {cache.variable}="$(mktemp -d)"',
            )


def _gone(each: Gone, owner: Distribution | None, pin: Pin | None, installed: Installed, root: Path) -> Finding:
    has = f"{owner.name} {owner.version}" if owner else f"Python {platform.python_version()}"
    place = f"{os.path.relpath(each.taken.file, root)}:{each.taken.line}"
    fix = f"Write {place} for {has}"
    if pin:
        wanted = str(pin.requirement).partition(";")[0]
        fix += f", or install the version that {pin.file.name} wants:\n    "
        fix += install_command([wanted], installed.installer())
    return error(
        f"{place} uses {each.module}.{each.name}, which {has} does not have"
        + (f"; {pin.file.name} wants {str(pin.requirement.specifier).removeprefix('==')}" if pin else ""),
        id="imports.attribute-gone",
        found=has,
        wanted=f"{pin.requirement} ({pin.file.name})" if pin else "",
        cause=each.reason or f"the program was written for another version of {owner.name if owner else 'Python'}",
        fix=fix,
        file=str(each.taken.file),
        line=each.taken.line,
    )


def _pin(owner: Distribution | None, config: Config, root: Path) -> Pin | None:
    """Return the pin of a lock that the installed version does not meet."""
    for name in config.packages.lock if owner and config.packages else ():
        try:
            pins = [] if is_conda_lock(name) else read_lock(root / name)
        except (OSError, LockError):
            continue
        for pin in pins:
            same = owner and canonicalize_name(pin.requirement.name) == owner.key
            if owner and same and not satisfies(owner.version, pin.requirement):
                return pin
    return None


def _came_in(entry: Import, facts: Imported, path: SearchPath, config: Config, root: Path) -> Iterator[Finding]:
    at = {"file": entry.at.file, "line": entry.at.line}
    name = entry.name.partition(".")[0]
    if not facts.origin and (folder := plain_folder(name, path)):
        yield error(
            f"{name} is not installed: the folder {folder}, which holds no Python file, is taken for it",
            id="imports.plain-folder",
            cause="any folder of that name counts as a namespace package where no other package has the name",
            fix=_install(f"{distribution_name(name)}{entry.version}", path),
            **at,
        )
        return
    owner = owner_of(facts.origin, path) if facts.origin else None
    version = owner.version if owner else facts.version
    if entry.version and not _fits(version, entry.version):
        yield (warning if entry.optional else error)(
            f"{name} {version} is imported, the config asks for {entry.version}",
            id="imports.version",
            found=version,
            wanted=entry.version,
            fix=_install(f"{owner.name if owner else distribution_name(name)}{entry.version}", path),
            **at,
        )
    leak = leak_of(facts.origin, path)
    if leak and leak.version != leak.hidden_version:
        yield explain_leak(leak, warning, **at)
    elif not leak:
        yield from _shadowing(facts, path, config, root)
    yield from _at_a_price(facts, owner, path, root)
    yield info(
        f"{' '.join(filter(None, [entry.name, version]))} is imported in {facts.seconds:.2f} s",
        id="imports.loaded",
        evidence={"version": version, "seconds": round(facts.seconds, 3), "origin": facts.origin},
    )


def _at_a_price(facts: Imported, owner: Distribution | None, path: SearchPath, root: Path) -> Iterator[Finding]:
    """Yield what the program will notice of an import that went well."""
    if "NumPy" in facts.output or "_ARRAY_API" in facts.output:
        say = error if owner and owner.key == "torch" else warning
        if found := explain_build(Failed(facts, path, root), say):
            yield found
    if facts.seconds > SLOW and facts.cpu_seconds < facts.seconds / 2:
        mount = mount_of(Path(facts.origin)) if facts.origin else Mount()
        waiting = facts.seconds - facts.cpu_seconds
        yield warning(
            f"{facts.name} takes {facts.seconds:.0f} s to import, and waits for {waiting:.0f} of them",
            id="imports.slow",
            found=f"{facts.origin} on {mount.type} ({mount.device})",
            cause="its many small files come from a slow or shared file system, or it waits for something else",
            fix="Put the environment on a local disk, or pack it into an image",
        )


def _shadowing(facts: Imported, path: SearchPath, config: Config, root: Path) -> Iterator[Finding]:
    found = shadow(facts.origin, path)
    hidden = owner_of(found.hidden, path) if found else None
    if found and hidden and not is_project(hidden, root):
        taken = {name for each in taken_names(_program(config, root), found.name) for name in each.names[:1]}
        lacking = sorted(name for name in taken if lacks(found, name, path))
        yield (error if lacking else warning)(
            f"{found.file} hides the installed {hidden.name} {hidden.version}"
            + (f", and lacks {', '.join(lacking)}, which the program uses" if lacking else ""),
            id="imports.shadowed",
            found=found.file,
            wanted=found.hidden,
            cause=f"{found.source} comes first on the module search path",
            fix=f"Rename it, or take {found.name} out of `imports:` if it is what is meant",
            file=found.file,
        )


def _placed(finding: Finding, entry: Import, config: Config, root: Path) -> Finding:
    """Return a finding that points into the project: at what it names there, else at the import, else at the entry."""
    if finding.file and Path(finding.file).is_relative_to(root):
        return finding
    named = {each.name: each for each in _program(config, root).imports}
    top = entry.name.partition(".")[0]
    if statement := named.get(entry.name) or next(
        (each for name, each in named.items() if name.split(".")[0] == top), None
    ):
        return replace(finding, file=str(statement.file), line=statement.line)
    return replace(finding, file=entry.at.file, line=entry.at.line)


def _program(config: Config, root: Path) -> Program:
    scripts = scripts_of(config.commands, (entry.name for entry in config.imports), root)
    return read_scripts(scripts, root)


def _optional(failed: Failed) -> Finding:
    facts = failed.facts
    top = facts.name.partition(".")[0]
    if facts.outcome is Outcome.MISSING and facts.missing in (facts.name, top):
        return info(f"{facts.name} is not installed, and is optional", id="imports.optional")
    # A program that can do without the module catches ImportError; anything else ends it all the same.
    if facts.outcome is Outcome.MISSING or facts.error.startswith("ImportError"):
        return explain(failed, info)
    return explain(failed, warning)


def _same_failure(failed: Failed, config: Config, imported: Mapping[str, Imported]) -> str:
    """Return the earlier entry that failed for the same reason, empty where there is none."""
    for entry in config.imports:
        if entry.name == failed.facts.name:
            break
        facts = imported.get(entry.name)
        if facts is None or facts.outcome is Outcome.IMPORTED or entry.optional:
            continue
        if failed.goes_through(entry.name) or Failed(facts, failed.path, failed.root).subject == failed.subject:
            return entry.name
    return ""


def _fits(version: str, wanted: str) -> bool:
    if not version:
        pytest.skip(f"it tells no version, so whether it is {wanted} cannot be said")
    try:
        return SpecifierSet(wanted).contains(Version(version), prereleases=True)
    except InvalidVersion:
        pytest.skip(f"its version {version!r} cannot be compared with {wanted}")


def _install(requirement: str, path: SearchPath) -> str:
    installed = Installed.in_folders(path.installations)
    return f"Install it:\n    {install_command([requirement], installed.installer())}"
