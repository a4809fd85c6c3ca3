"""What is said of an import that fails over another build, another version, or a folder that cannot be written."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from typing import Any

from preflight.causes.links import Say
from preflight.model import Finding
from preflight.system.failures import Failed
from preflight.system.integrity import altered_files
from preflight.system.origins import frames
from preflight.system.packages import Distribution, install_command, unmet_requirements

_NUMPY = re.compile(
    r"compiled using NumPy 1\.x|_ARRAY_API not found|numpy\.core\.multiarray failed to import|"
    r"numpy\.dtype size changed|compiled against (?:ABI|API) version"
)
_PROTOBUF = re.compile(r"Descriptors cannot be created directly|incompatible Protobuf Gencode/Runtime")
_THREADS = re.compile(r"pthread_create failed|Thread creation failed|can't start new thread")
_CACHES = (
    ("MPLCONFIGDIR", re.compile(r"Matplotlib requires access to a writable cache")),
    ("NUMBA_CACHE_DIR", re.compile(r"cannot cache function .*no locator available")),
)


def explain_build(failed: Failed, say: Say) -> Finding | None:
    """Return what there is to say where the error or the output shows one of these causes, else None."""
    facts = failed.facts
    told = f"{facts.error}\n{facts.output}"
    explanations: list[tuple[re.Pattern[str], Callable[[Failed, Say], Finding]]] = [
        (_NUMPY, _numpy),
        (_PROTOBUF, _protobuf),
        (_THREADS, _threads),
    ]
    for words, explain in explanations:
        if words.search(told):
            return explain(failed, say)
    variable = next((variable for variable, words in _CACHES if words.search(facts.error)), "")
    return _cache(failed, variable, say) if variable else None


def package_cause(failed: Failed) -> dict[str, Any]:
    """Return cause and fix of an exception that comes from the state of a package, nothing where none shows."""
    text = failed.facts.error
    for rivals in failed.installed.rivals(failed.path):
        if rivals[0].key in text.lower():
            folders = ", ".join(str(each.info) for each in rivals)
            return {
                "cause": f"{rivals[0].key} has {len(rivals)} dist-info folders, all but one stale: {folders}",
                "fix": "Remove the stale one, or install the package anew:\n    " + _again(rivals[-1]),
            }
    for unmet in unmet_requirements(failed.installed):
        requirement = str(unmet.requirement).partition(";")[0].strip()
        if unmet.requirement.name.lower() in text.lower() and unmet.by.key in _packages_on_the_way(failed):
            there = f"{unmet.requirement.name} {unmet.version} is installed" if unmet.version else "it is not installed"
            return {
                "cause": f"{unmet.by.name} {unmet.by.version} requires {requirement}, {there}",
                "fix": f"Install it:\n    {install_command([requirement], failed.installed.installer())}",
            }
    owner = failed.installed.owner(failed.facts.file)
    altered = altered_files(owner) if owner else []
    if owner and altered:
        return {
            "cause": f"files of {owner.name} are not those of its RECORD, such as {altered[0].file} ({altered[0].how})",
            "fix": f"Install it anew:\n    {_again(owner)}",
        }
    return {}


def _packages_on_the_way(failed: Failed) -> set[str]:
    files = [failed.facts.file, *dict.fromkeys(frames(failed.facts.traceback))]
    return {owner.key for file in files[-10:] if (owner := failed.installed.owner(file))}


def _again(distribution: Distribution) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", "--force-reinstall", "--no-deps", distribution.key])


def _numpy(failed: Failed, say: Say) -> Finding:
    numpy = failed.installed.get("numpy")
    version = numpy.version if numpy else "of unknown version"
    culprit = _culprit(failed)
    name = f"{culprit.name} {culprit.version}" if culprit else failed.facts.name
    is_newer = not version.startswith("1.")
    command = ["numpy<2"] if is_newer else ["--upgrade", culprit.key if culprit else "numpy"]
    return say(
        f"{name} was compiled for NumPy {1 if is_newer else 2}, NumPy {version} is installed: their ABIs differ",
        id="imports.numpy-abi",
        found=f"numpy {version}",
        wanted="numpy<2" if is_newer else "numpy>=2",
        cause=f"NumPy changed under the compiled code of {name}",
        fix=f"Install versions that go together:\n    {install_command(command, failed.installed.installer())}",
        evidence={"error": failed.facts.error, "output": failed.facts.output[-2000:]},
    )


def _culprit(failed: Failed) -> Distribution | None:
    """Return the distribution whose code was being loaded when NumPy was found to be another one."""
    files = [*frames(failed.facts.output), *frames(failed.facts.traceback)]
    owners = [owner for file in reversed(files) if (owner := failed.installed.owner(file)) and owner.key != "numpy"]
    return next(iter(owners), None)


def _protobuf(failed: Failed, say: Say) -> Finding:
    protobuf = failed.installed.get("protobuf")
    version = protobuf.version if protobuf else "of unknown version"
    generated = [file for file in frames(failed.facts.traceback) if file.endswith("_pb2.py")]
    is_older = re.search(r"gencode (?P<version>[\d.]+\d)", failed.facts.error)
    wanted = f"protobuf>={is_older['version']}" if is_older else "protobuf<3.21"
    return say(
        f"{failed.facts.name} has code generated for {wanted}, protobuf {version} is installed",
        id="imports.protobuf",
        found=f"protobuf {version}",
        wanted=wanted,
        cause=f"{generated[-1] if generated else 'its _pb2.py'} was made by another protoc than this protobuf reads",
        fix=f"Install the protobuf that it was made for:\n    "
        f"{install_command([wanted], failed.installed.installer())}",
        evidence={"error": failed.facts.error},
        file=generated[-1] if generated else "",
    )


def _threads(failed: Failed, say: Say) -> Finding:
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    return say(
        f"{failed.facts.name} cannot start its threads while it is imported",
        id="imports.no-threads",
        found="no limit"
        if limit == resource.RLIM_INFINITY
        else f"a limit of {limit} processes and threads (ulimit -u)",
        cause="the user or the container may not have more threads",
        fix="Let it start fewer, or raise the limit:\n    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1",
        evidence={"error": failed.facts.error, "output": failed.facts.output[-2000:]},
    )


def _cache(failed: Failed, variable: str, say: Say) -> Finding:
    return say(
        f"{failed.facts.name} needs a folder that it can write its cache into, and finds none",
        id="imports.no-cache",
        wanted=f"{variable} names a writable folder",
        cause="neither the home folder nor the folder of the package can be written",
        fix=f'Name one that can:\n    export {variable}="$(mktemp -d)"',
        evidence={"error": failed.facts.error},
        file=failed.facts.file,
        line=failed.facts.line,
    )
