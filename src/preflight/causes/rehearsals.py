"""Why a rehearsed program failed: the one finding that names the true cause and the place in the user's own code."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from preflight.causes.batches import explain_batch
from preflight.causes.failure import Failure, Said, culprit
from preflight.causes.known import KNOWN
from preflight.model import Finding, Severity
from preflight.phrases import in_a_row, shown
from preflight.rehearsal.program import Rehearsed
from preflight.words import error

_PICKLE = re.compile(
    r"(?:can't|cannot) pickle (?P<object>[^\n]+?)(?: from|: |$)|"
    r"Can't (?:pickle|get) (?:local object )?(?P<other>[^\n:]+)"
)
_FRAME = re.compile(r'^ *File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)
_USAGE = re.compile(r"^(?:\S+: )?error: (?P<text>.+)$|^Error: (?P<other>.+)$", re.MULTILINE)


def why(done: Rehearsed) -> Finding | None:
    """Return the finding that says why a run failed; None where it did not, or where nothing tells.

    `file` and `line` are the user's own place; they are empty where there is none. A run that was stopped from outside
    has failed where one of its processes raised something before that.
    """
    if done.code == 0:
        return None
    failure = culprit(done)
    if failure is None:
        return _without_exception(done)
    if failure.raised["type"] == "SystemExit" and (usage := _usage(done)):
        return _finding(usage, failure.place, {"output": done.output[-2000:]})
    said = next(_explanations(failure), None)
    chain = [f"{each['type']}: {each['text']}"[:500] for each in failure.raised["chain"]]
    evidence = {"error": failure.headline, "chain": chain, "batch": dict(failure.batch)}
    told = {key: each for key, each in evidence.items() if each}
    return _finding(said or _as_it_is(failure), failure.place, told)


def _explanations(failure: Failure) -> Iterator[Said]:
    """Yield what explains a failure, its own text before those of what it came from."""
    # What the system refuses by itself says why; `mkdir(parents=True)` raises it while it handles a missing parent.
    is_refused = failure.text.startswith("[Errno ")
    links = [failure.raised, *(() if is_refused else failure.raised["chain"])]
    for link in links:
        one = failure if link is failure.raised else Failure(raised={**failure.raised, **link}, done=failure.done)
        for explain in (_unpicklable, explain_batch, _missing, _by_zero, _cut_off):
            if said := explain(one):
                yield said
        text = f"{one.raised['type']}: {one.text}"
        for known in KNOWN:
            if said := known.said_of(text):
                yield said


def _finding(said: Said, place: Any, evidence: dict[str, Any]) -> Finding:
    found = error(
        said["message"],
        id=f"rehearsal.{said['name']}",
        cause=said["cause"],
        fix=said["fix"],
        evidence=evidence,
        file=place.get("file", ""),
        line=place.get("line", 0),
    )
    return replace(found, severity=Severity(said.get("weight", "error")))


def _as_it_is(failure: Failure) -> Said:
    """Say what was raised where nothing more is known of it."""
    place = failure.place
    where = f"{shown(place['file'])}:{place['line']}" if place else ""
    came = [each for each in failure.raised["chain"] if each["type"] not in failure.headline]
    cause = (
        f"{where} raises it" + (f" in {place['function']}" if place["function"] != "<module>" else "") if place else ""
    )
    if place and failure.files:
        cause += f", where {in_a_row([f'{name} is {shown(path)}' for name, path in failure.files.items()])}"
    if came:
        cause += f", after {came[-1]['type']}: {came[-1]['text'].partition(chr(10))[0]}"
    name = "exits" if failure.raised["type"] == "SystemExit" else "raises"
    text = failure.text.partition("\n")[0] if name == "exits" else failure.headline
    return {
        "name": name,
        "message": f"the program fails{_when(failure)}: {text}",
        "cause": cause.replace(" raises it", " calls for it") if name == "exits" else cause,
        "fix": "Correct that line, or what it is given" if place else "",
    }


def _when(failure: Failure) -> str:
    """Return at which batch a failure comes, as far as that narrows it down."""
    batch = failure.batch
    if not batch:
        return ""
    if batch.get("last"):
        return f" on the last batch of a pass ({batch['size']} samples)"
    return " on its first batch" if batch["pass"] == 1 and batch["index"] == 0 else ""


def _unpicklable(failure: Failure) -> Said | None:
    if "pickle" not in f"{failure.raised['type']}: {failure.text}".lower() and "Can't get local" not in failure.text:
        return None
    if not (found := _PICKLE.search(failure.text)):
        return None
    what = re.sub(r" at 0x[0-9a-f]+|'", "", found["object"] or found["other"] or "").strip()
    common = {"name": "unpicklable"}
    if failure.is_in("multiprocessing/popen_spawn", "multiprocessing/popen_forkserver", "multiprocessing/queues"):
        return common | {
            "message": f"{what} cannot be pickled for a worker process",
            "cause": "workers that are spawned get the dataset, its transforms and collate_fn as a pickle, and it "
            "cannot hold a lambda, local function, lock, open file or connection",
            "fix": "Define it at the top level of a module, or open it inside of the worker, at the first use",
        }
    is_save = failure.is_in("torch/serialization", "/pickle.py", "joblib", "cloudpickle")
    return common | {
        "message": f"{what} cannot be pickled, and so the checkpoint is not saved"
        if is_save
        else f"{what} cannot be pickled",
        "cause": "what is saved holds an object that pickle cannot name again: a lambda, a local function or class, a "
        "lock, an open file",
        "fix": "Save the state in place of the object:\n    torch.save(model.state_dict(), path)",
    }


def _missing(failure: Failure) -> Said | None:
    """Explain a module, a file or a right that is missing."""
    kind = failure.raised["type"]
    if kind == "ModuleNotFoundError" and (found := re.search(r"No module named '([\w.]+)'", failure.text)):
        from preflight.system.packages import distribution_name, install_command

        is_late = failure.place.get("function", "<module>") != "<module>"
        return {
            "name": "missing-module",
            "message": f"{found[1]} is not installed, and the program imports it"
            + (" while it runs" if is_late else ""),
            "cause": "the import stands inside of a function, so nothing asks for it before"
            if is_late
            else f"nothing in {sys.prefix} provides it",
            "fix": f"Install it:\n    {install_command([distribution_name(found[1])], 'pip')}",
        }
    if kind == "FileNotFoundError" and (found := re.search(r"No such file or directory: '(.+?)'", failure.text)):
        folder = os.path.dirname(found[1])
        if moved := failure.raised.get("moved"):
            return {
                "name": "moved",
                "message": f"{found[1]} is looked for in {moved}, and lies in the folder that the job starts in",
                "cause": f"the program has changed its current folder to {moved} (os.chdir), and the path is relative",
                "fix": "Make the path whole before the folder is changed:\n    path = os.path.abspath(path)",
            }
        return {
            "name": "missing-file",
            "message": f"{found[1]} is not there, and the program opens it",
            "cause": f"its folder {folder} is not there either, and nothing makes it"
            if os.path.isabs(folder) and not os.path.isdir(folder)
            else "nothing of that name lies there; a relative path starts from the folder that the job starts in",
            "fix": "Put it there, correct the path, or make its folder before it is written:\n"
            "    os.makedirs(os.path.dirname(path), exist_ok=True)",
        }
    refused = r"(Permission denied|Read-only file system): '(.+?)'"
    if kind in {"PermissionError", "OSError"} and (found := re.search(refused, failure.text)):
        return {
            "name": "no-permission",
            "message": f"{found[2]} cannot be written or read: {found[1].lower()}",
            "cause": "the job's user may not, or the file system is mounted read-only",
            "fix": f"Look at its owner and rights, or name another folder:\n    ls -ld {found[2]}",
        }
    return None


def _by_zero(failure: Failure) -> Said | None:
    """Explain a division by zero that may come from how short the passes of a rehearsal are."""
    loaders = failure.done.of("loader")
    is_short = any(each["shown"] is not None and each["shown"] < (each["length"] or sys.maxsize) for each in loaders)
    if failure.raised["type"] != "ZeroDivisionError" or not is_short:
        return None
    return {
        "name": "too-few",
        "weight": "warning",
        "message": "the program divides by zero, maybe since its passes are this short in a rehearsal",
        "cause": "a number of batches (`len(loader) // 10`) becomes 0 where a pass has few of them",
        "fix": "Guard it by `max(1, …)`, or let the rehearsal see more by a larger `batches` under `rehearsal:`",
    }


def _cut_off(failure: Failure) -> Said | None:
    """Explain a sample that breaks off on its way: torch has not yet seen that the worker which sends it is dead."""
    broken = {"ConnectionResetError", "ConnectionRefusedError", "EOFError", "FileNotFoundError"}
    if failure.raised["type"] not in broken or not failure.is_in("multiprocessing/resource_sharer"):
        return None
    return next(known for known in KNOWN if known.name == "worker-dies").said_of("killed by signal: Aborted")


def _without_exception(done: Rehearsed) -> Finding | None:
    """Return what the output tells of a process that died, or ended itself, without a Python exception."""
    evidence = {"output": done.output[-2000:]}
    if usage := _usage(done):
        return _finding(usage, {}, evidence)
    text = "killed by signal: Bus error" if done.code == -signal.SIGBUS else done.output[-4000:]
    said = next((said for known in KNOWN if (said := known.said_of(text))), None)
    return _finding(said, _place_in(done.output), evidence) if said else None


def _usage(done: Rehearsed) -> Said | None:
    """Explain a command line that the program does not accept, as argparse and click say so."""
    if done.code != 2 or not re.search(r"^usage: ", done.output, re.MULTILINE | re.IGNORECASE):
        return None
    text = next((each["text"] or each["other"] for each in _USAGE.finditer(done.output)), "its usage is printed")
    return {
        "name": "usage",
        "message": f"the command line is refused: {text}",
        "cause": "the program's options and the command under `rehearsal:` do not go together",
        "fix": "Correct `command` under `rehearsal:`",
    }


def _place_in(output: str) -> dict[str, Any]:
    """Return the innermost place in a stack that faulthandler printed which belongs to no library."""
    stack = output[output.rfind("(most recent call first)") :] if "(most recent call first)" in output else ""
    for found in _FRAME.finditer(stack):
        if "site-packages" not in found["file"] and "/lib/python3" not in found["file"] and found["file"][0] != "<":
            return {"file": found["file"], "line": int(found["line"])}
    return {}
