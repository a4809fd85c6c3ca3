"""What is said of an import that failed: the one finding that names its true cause."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from preflight.causes.builds import explain_build, package_cause
from preflight.causes.links import Say, explain_link
from preflight.model import Finding
from preflight.system.failures import Failed, Leak, leak_of
from preflight.system.modules import Imported, Outcome
from preflight.system.origins import STRAY, Shadow, Source, own_module, plain_folder
from preflight.system.packages import Distribution, Installed, distribution_name, install_command, satisfies
from preflight.system.processor import missing_vectors

_REMOVED = {"distutils": "3.12", "imp": "3.12", "asynchat": "3.12", "asyncore": "3.12", "cgi": "3.13", "pipes": "3.13"}


def explain(failed: Failed, say: Say) -> Finding:
    """Return what there is to say of a failed import, made by `say` (`error` or `warning`)."""
    facts = failed.facts
    if facts.outcome is Outcome.DIED or facts.error.startswith("SystemExit"):
        return (explain_build(failed, say) if facts.output else None) or _died(facts, say)
    if facts.outcome is Outcome.HUNG:
        return _hung(facts, say)
    if failed.shadow:
        return _hidden(failed, failed.shadow, say)
    if found := explain_build(failed, say):
        return found
    if failed.link:
        return explain_link(failed, failed.link, say)
    return _missing(failed, say) if facts.outcome is Outcome.MISSING else _raised(failed, say)


def explain_leak(leak: Leak, say: Say, **more: Any) -> Finding:
    """Return what there is to say of a module from a stray folder."""
    cause = f"{leak.folder} comes before the environment on the module search path"
    if leak.binaries:
        cause += f", and its {leak.name} is built for {leak.binaries}, this is {sys.implementation.cache_tag}"
    from_variable = leak.source is Source.PYTHONPATH
    return say(
        f"{leak.name} comes from {leak.source} ({leak.folder}), not from the environment",
        id="imports.pythonpath-leak" if from_variable else "imports.user-site-leak",
        found=f"{leak.name} {leak.version or 'of unknown version'} in {leak.folder}",
        wanted=f"{leak.name} {leak.hidden_version}, as installed in {sys.prefix}",
        cause=cause,
        fix=_without(leak.folder) if from_variable else "Leave the user site out:\n    export PYTHONNOUSERSITE=1",
        **more,
    )


def _without(folder: str) -> str:
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    rest = [entry for entry in entries if entry and os.path.realpath(entry) != os.path.realpath(folder)]
    command = f"export PYTHONPATH={shlex.quote(os.pathsep.join(rest))}" if rest else "unset PYTHONPATH"
    return f"Take the folder out of PYTHONPATH:\n    {command}"


def _hidden(failed: Failed, shadow: Shadow, say: Say) -> Finding:
    facts = failed.facts
    evidence = {"import": facts.name, "error": failed.headline, "hides": shadow.hidden}
    if leak := leak_of(shadow.file, failed.path):
        return explain_leak(leak, say, evidence=evidence)
    kind = "standard library module" if shadow.hidden_source is Source.STANDARD_LIBRARY else "installed package"
    return say(
        f"{_short(shadow.file, failed.root)} hides the {kind} {shadow.name}, and so {facts.name} cannot be imported",
        id="imports.shadowed",
        found=shadow.file,
        wanted=shadow.hidden,
        cause=f"{shadow.source} comes first on the module search path, so `import {shadow.name}` finds that file",
        fix=f"Rename {shadow.file}, for instance to project_{os.path.basename(_root_of(shadow))}, "
        "and adapt the imports that mean it",
        evidence=evidence,
        file=shadow.file,
    )


def _root_of(shadow: Shadow) -> str:
    folder, name = os.path.split(shadow.file)
    return folder if name.startswith("__init__.") else name


def _missing(failed: Failed, say: Say) -> Finding:
    facts, name = failed.facts, failed.facts.missing
    top = name.partition(".")[0]
    own = facts.name == name or facts.name.startswith(name + ".")
    more = {"file": facts.file, "line": facts.line} if facts.file and not own else {}
    who = name if own else f"{name}, which {facts.name} imports,"
    evidence = {"error": failed.headline}
    if name in sys.stdlib_module_names or name in _REMOVED:
        return say(f"{who} is not part of this Python", id="imports.incomplete-python", **_no_stdlib(name), **more)
    if folder := plain_folder(top, failed.path):
        return say(
            f"{who} is not installed, and the folder {_short(folder, failed.root)} is taken for it",
            id="imports.missing",
            cause=f"a folder without Python files on the module search path counts as a package: {folder}",
            fix=_install([distribution_name(name)], failed.installed),
            evidence=evidence,
            **more,
        )
    if top != name and (owner := _owner_of(top, failed)):
        return say(
            f"{owner.name} {owner.version} has no module {name}" + ("" if own else f", which {facts.name} imports"),
            id="imports.missing",
            found=f"{owner.name} {owner.version}",
            cause="another version of it has that module, or the name is misspelled",
            fix=f"Install a version of {owner.name} that has it, or correct the import",
            evidence=evidence,
            **more,
        )
    if local := own_module(top, failed.root):
        return say(
            f"{who} is not on the module search path",
            id="imports.missing",
            found=f"{name} in {local.parent}",
            wanted=f"a folder among {', '.join(failed.path.folders_of(Source.PROJECT))}",
            cause=f"it is the project's own, and {local.parent} is not searched",
            fix=_make_importable(local, failed),
            evidence=evidence,
            **more,
        )
    return say(
        f"{who} is not installed", id="imports.missing", evidence=evidence, **_not_installed(name, failed), **more
    )


def _no_stdlib(name: str) -> dict[str, str]:
    version = ".".join(map(str, sys.version_info[:3]))
    if name in _REMOVED:
        fix = "Use a Python before that, or code that does without it"
        if name == "distutils":
            fix = "Install setuptools, which brings it:\n    " + shlex.join(
                [sys.executable, "-m", "pip", "install", "setuptools"]
            )
        return {"found": f"Python {version}", "cause": f"Python {_REMOVED[name]} removed it", "fix": fix}
    cause = f"{sys.base_prefix} was built without it"
    return {"found": f"Python {version}", "cause": cause, "fix": "Use a Python that was built with it"}


def _owner_of(top: str, failed: Failed) -> Distribution | None:
    spec = failed.path.find(top, Source.ENVIRONMENT, *STRAY)
    return failed.installed.owner(spec.origin) if spec and spec.origin else None


def _make_importable(module: Path, failed: Failed) -> str:
    if any((failed.root / name).is_file() for name in ("pyproject.toml", "setup.py")):
        command = install_command(["--editable", str(failed.root)], failed.installed.installer())
        return f"Install the project:\n    {command}"
    folder = shlex.quote(str(module.parent))
    return f"Put its folder on the module search path:\n    export PYTHONPATH={folder}${{PYTHONPATH:+:$PYTHONPATH}}"


def _not_installed(name: str, failed: Failed) -> dict[str, str]:
    wanted = distribution_name(name)
    fix = _install([wanted], failed.installed)
    try:
        requirement = Requirement(wanted)
    except InvalidRequirement:
        return {"fix": fix}
    there = failed.installed.get(requirement.name)
    if there is None:
        return {"cause": f"nothing in {sys.prefix} provides it", "fix": fix}
    found = f"{there.name} {there.version}"
    if satisfies(there.version, requirement):
        again = install_command(["--force-reinstall", wanted], "pip")
        cause = f"{found} is recorded as installed, but its files are not there"
        return {"found": found, "cause": cause, "fix": f"Install it anew:\n    {again}"}
    return {"found": found, "wanted": wanted, "cause": f"{found} does not have it", "fix": fix}


def _install(requirements: list[str], installed: Installed) -> str:
    return f"Install it:\n    {install_command(requirements, installed.installer())}"


def _raised(failed: Failed, say: Say) -> Finding:
    facts = failed.facts
    place = {
        "cause": f"{facts.file}:{facts.line} raises it" if facts.file else "",
        "fix": "Correct that line, or the version of the package that it belongs to" if facts.file else "",
    }
    return say(
        f"{facts.name} cannot be imported: {failed.headline}",
        id="imports.raises",
        **(package_cause(failed) or place),
        evidence={"error": facts.error, "traceback": facts.traceback},
        file=facts.file,
        line=facts.line,
    )


def _died(facts: Imported, say: Say) -> Finding:
    file, line = (facts.file, facts.line) if facts.file else _newest_frame(facts.traceback)
    more: dict[str, Any] = {"file": file, "line": line, "evidence": {"stack": facts.traceback, "output": facts.output}}
    if not facts.signal:
        code = facts.exit_code or facts.error.partition(": ")[2] or 0
        return say(
            f"{facts.name} ends the process with exit code {code} while it is imported",
            id="imports.exits",
            cause="code at its top level calls exit" + (f", in {file}:{line}" if file else ""),
            fix='Move what the program does below `if __name__ == "__main__":`',
            **more,
        )
    if facts.signal == signal.SIGILL:
        return _illegal(facts, say, more)
    known = {int(each): each.name for each in signal.Signals}
    name = known.get(facts.signal, f"signal {facts.signal}")
    return say(
        f"{facts.name} kills the process while it is imported: {name}",
        id="imports.crashes",
        cause=_DEATHS.get(facts.signal, f"its compiled code ended by {name}")
        + (f", under {file}:{line}" if file else ""),
        fix=f"Install another build of {distribution_name(facts.name)}, or leave it out",
        **more,
    )


def _illegal(facts: Imported, say: Say, more: dict[str, Any]) -> Finding:
    missing = ", ".join(missing_vectors())
    return say(
        f"{facts.name} uses instructions that this processor does not have: it dies by SIGILL while it is imported",
        id="imports.illegal-instruction",
        found=f"a processor without {missing}" if missing else "a processor with all usual vector instructions",
        cause="its compiled code was built for a newer processor, or the virtual machine hides what the processor has",
        fix=f"Run on another machine, show the virtual one the host's processor, or install a build of "
        f"{distribution_name(facts.name)} for this one",
        **more,
    )


_DEATHS = {
    int(signal.SIGKILL): "somebody outside killed it, most often the kernel for want of memory",
    int(signal.SIGSEGV): "its compiled code touched memory that is not its own",
    int(signal.SIGABRT): "its compiled code gave up by itself",
}


def _hung(facts: Imported, say: Say) -> Finding:
    file, line = _newest_frame(facts.traceback)
    return say(
        f"{facts.name} is still being imported after {facts.seconds:g} s",
        id="imports.hangs",
        cause=f"it waits or computes in {file}:{line}" if file else "",
        fix="Move what takes so long out of the import, or give the entry a longer `deadline`",
        evidence={"stack": facts.traceback, "output": facts.output},
        file=file,
        line=line,
    )


def _newest_frame(stack: str) -> tuple[str, int]:
    """Return the newest frame that is no part of Python's import system: faulthandler writes the newest first."""
    found = re.findall(r'^ *File "([^"<]+)", line (\d+)', stack, re.MULTILINE)
    return next(((file, int(line)) for file, line in found), ("", 0))


def _short(file: str, root: Path) -> str:
    return os.path.relpath(file, root) if file.startswith(str(root) + os.sep) else file
