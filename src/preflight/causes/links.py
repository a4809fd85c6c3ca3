"""What is said of a compiled module that the dynamic loader refuses."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable

from preflight.model import Finding
from preflight.system import libraries
from preflight.system.failures import Failed
from preflight.system.libraries import Lack, LinkFailure
from preflight.system.packages import Distribution, install_command, unmet_requirements

Say = Callable[..., Finding]

# The first name of a C++ symbol tells whose it is.
_NAMESPACES = {"c10": "torch", "at": "torch", "torch": "torch", "caffe2": "torch", "arrow": "pyarrow"}
_DRIVER = ("libcuda.so", "libnvidia-ml.so")
_SYSTEM_PACKAGES = {
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
    "libsndfile.so.1": "libsndfile1",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libportaudio.so.2": "libportaudio2",
}


def explain_link(failed: Failed, link: LinkFailure, say: Say) -> Finding:
    """Return what there is to say of `link`, made by `say` (`error` or `warning`)."""
    explain = {Lack.SYMBOL: _symbol, Lack.LIBRARY: _library, Lack.LIBRARY_VERSION: _old_library}[link.lack]
    return explain(failed, link, say)


def _symbol(failed: Failed, link: LinkFailure, say: Say) -> Finding:
    symbol = libraries.readable_symbol(link.name)
    owner = failed.installed.owner(link.binary)
    name = owner.name if owner else failed.facts.name
    partner = failed.installed.get(_NAMESPACES.get(next(iter(libraries.symbol_names(link.name)), ""), ""))
    unmet = [each for each in unmet_requirements(failed.installed) if each.by == owner]
    if unmet:
        wants = "; ".join(f"{each.requirement.name}{each.requirement.specifier}" for each in unmet)
        has = "; ".join(f"{each.requirement.name} {each.version}" if each.version else "nothing" for each in unmet)
        cause = f"{name} was built for {wants}, and {has} is installed: their ABIs differ"
    elif partner:
        cause = f"{name} was built for another {partner.name} than the {partner.version} here: their ABIs differ"
    else:
        cause = f"{name} was built for another version of the library that had this symbol"
    return say(
        f"{failed.facts.name} cannot be loaded: undefined symbol {symbol}",
        id="imports.undefined-symbol",
        found="; ".join(f"{each.name} {each.version}" for each in (owner, partner) if each),
        cause=cause,
        fix=_rebuild(owner, partner, failed),
        evidence={"binary": link.binary, "symbol": link.name, "requires": [str(each.requirement) for each in unmet]},
        file=link.binary,
    )


def _rebuild(owner: Distribution | None, partner: Distribution | None, failed: Failed) -> str:
    if owner is None:
        return f"Build {failed.facts.name} again in this environment"
    against = f" for {partner.name} {partner.version}" if partner else ""
    options = ["--force-reinstall", "--no-deps", "--no-cache-dir", *(["--no-build-isolation"] if partner else [])]
    return f"Install {owner.name} anew, built{against}:\n    {install_command([*options, owner.name], 'pip')}"


def _library(failed: Failed, link: LinkFailure, say: Say) -> Finding:
    copies = libraries.copies_of(link.name, failed.path.installations)
    exact = [file for file in copies if os.path.basename(file) == link.name]
    if link.name.startswith(_DRIVER):
        cause = "it comes with the NVIDIA driver, which is not installed here or not mounted into this container"
        fix = "Run on a machine with the driver, or start the container with its GPUs"
    elif exact and (brings := failed.installed.owner(exact[0])) and brings.key == "torch":
        cause = f"{exact[0]} belongs to torch, which is imported later or not at all"
        fix = f"Import torch before {failed.facts.name}, in the program and in `imports:`"
    elif exact:
        cause = f"the loader does not search {os.path.dirname(exact[0])}"
        fix = f"Name the folder to the loader:\n    export LD_LIBRARY_PATH={shlex.quote(os.path.dirname(exact[0]))}"
        fix += "${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    elif copies:
        cause = f"{failed.facts.name} was built for {link.name}, and {os.path.basename(copies[0])} is installed"
        fix = f"Install a build of {failed.facts.name} for {os.path.basename(copies[0])}"
    else:
        cause = "no folder that the loader searches holds it, and no installed package brings it"
        fix = _system_package(link.name)
    return say(
        f"{failed.facts.name} needs the library {link.name}, which is not found",
        id="imports.missing-library",
        found=", ".join(copies[:3]),
        wanted=link.name,
        cause=cause,
        fix=fix,
        evidence={"error": failed.facts.error},
        file=failed.facts.file,
        line=failed.facts.line,
    )


def _system_package(library: str) -> str:
    if package := _SYSTEM_PACKAGES.get(library):
        return f"Install it, on Debian and Ubuntu by\n    apt-get install -y {package}"
    return f"Install the system package that has {library}"


def _old_library(failed: Failed, link: LinkFailure, say: Say) -> Finding:
    owner = failed.installed.owner(link.binary)
    name = f"{owner.name} {owner.version}" if owner else os.path.basename(link.binary)
    newest = libraries.newest_version(link.library, link.name)
    better = libraries.copy_with(link.name, link.library)
    fix = f"Install a build of {owner.name if owner else failed.facts.name} that was made for an older system"
    if os.path.dirname(link.library) in libraries.named_folders():
        fix = "Take the folder of the old one out of LD_LIBRARY_PATH:\n    " + _without_folder(link.library)
    elif better:
        folder = shlex.quote(os.path.dirname(better))
        fix = "Have the newer one loaded first:\n    "
        fix += f"export LD_LIBRARY_PATH={folder}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
    return say(
        f"{failed.facts.name} needs {link.name}, which {link.library} does not have"
        + (f": its newest is {newest}" if newest else ""),
        id="imports.old-library",
        found=" with ".join(filter(None, [link.library, newest])),
        wanted=link.name,
        cause=f"{name} was built with a newer {os.path.basename(link.library)} than the one that is loaded"
        + (f"; {better} has it" if better else ""),
        fix=fix,
        evidence={"binary": link.binary, "error": failed.facts.error},
    )


def _without_folder(library: str) -> str:
    rest = [each for each in libraries.named_folders() if each != os.path.dirname(library)]
    return f"export LD_LIBRARY_PATH={shlex.quote(os.pathsep.join(rest))}" if rest else "unset LD_LIBRARY_PATH"
