"""What is said of how a rehearsed program ended, in each of the ways in which one can."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preflight.causes.rehearsals import why
from preflight.config import Config, Rehearsal
from preflight.model import Finding
from preflight.phrases import counted, in_a_row, shown, signal_name
from preflight.quantities import format_size
from preflight.rehearsal.program import Rehearsed, Way
from preflight.words import error, info, warning

# A program that was idle for so many seconds, and for half of its time, waits for what does not come.
_IDLE = 3.0
# Ranks that wait in a collective, and nobody works: no start is as quiet for so many seconds.
_LONG = 10.0
_COLLECTIVES = "torch/distributed/distributed_c10d.py"
# So many bytes a second fill a disk in a night.
_FLOOD = 5_000_000
_FRAME = re.compile(r'File "([^"]+)", line (\d+) in (\S+)')


def ending_of(config: Config, done: Rehearsed, command: str) -> Iterator[Finding]:
    """Yield what there is to say of the end of one run of `command`."""
    at = {"file": (config.rehearsal or Rehearsal()).at.file, "line": (config.rehearsal or Rehearsal()).at.line}
    name = f"`{command if len(command) < 80 else command[:77] + '…'}`"
    match done.stopped:
        case "missing":
            yield _missing(done.output, name, at)
        case "processes":
            yield _too_many(done, name, at)
        case "time":
            yield _unended(config, done, name, at)
        case _ if done.code:
            yield _failed(config, done, name, at)
    if done.seconds and done.printed / done.seconds > _FLOOD and done.printed > 20 * _FLOOD:
        yield _floods(done, name, at)
    if done.left:
        yield _leaves(done, name, at)


def came_through(done: Rehearsed, command: str, resume: str) -> Finding:
    """Return what is told of a run that came to its end, and of the command that goes on from it."""
    batches = done.of("batch")
    seen = f" over {counted(len(batches), 'batch', 'batches')} of {counted(len(done.of('pass')), 'pass', 'passes')}"
    where = {
        Way.VIEW: "a view of the real folders, which is gone",
        Way.PATHS: "scratch in place of the config's output paths",
        Way.IN_PLACE: "the real folders",
    }[done.way]
    resumed = f"; `{resume}` goes on from them" if done.resumed and done.resumed.code == 0 else ""
    ended = f"`{command}` comes to its end in {done.seconds:.1f} s{seen if batches else ''}"
    return info(
        f"{ended}; its writes went to {where}{resumed}",
        id="rehearsal.ran",
        evidence={"no view": done.refused} if done.refused else {},
    )


def _missing(output: str, name: str, at: dict[str, Any]) -> Finding:
    program, _, problem = output.partition(": ")
    fix = "Correct `command`, or install what it names"
    if "Permission" in problem and Path(program).is_file():
        fix = f"Make it executable:\n    chmod +x {program}"
    return error(
        f"{name} cannot be started: {program}: {problem[:1].lower()}{problem[1:]}",
        id="rehearsal.no-command",
        cause=f"there is no program {program} that this user can run",
        fix=fix,
        **at,
    )


def _too_many(done: Rehearsed, name: str, at: dict[str, Any]) -> Finding:
    begun = len(done.of("process"))
    return error(
        f"{name} starts more and more processes, and was stopped",
        id="rehearsal.too-many-processes",
        found=f"{counted(begun, 'process', 'processes')} of Python among them" if begun else "",
        cause="each process that it starts starts further ones",
        fix='Start processes below `if __name__ == "__main__":` only, and from one place',
        evidence={"output": done.output[-2000:]},
        **at,
    )


def _unended(config: Config, done: Rehearsed, name: str, at: dict[str, Any]) -> Finding:
    if done.idle >= _LONG and (ranks := _ranks(done.stacks, config.root)):
        return _wait_for_each_other(done, name, ranks)
    waits, place = _place_of(done.stacks, config.root)
    where = {"file": place[0], "line": place[1]} if place else at
    if done.idle >= _IDLE and done.idle > 0.5 * done.seconds:
        return error(
            f"{name} hangs: it does nothing in the last {done.idle:.0f} s of {done.seconds:.0f} s",
            id="rehearsal.hangs",
            cause=f"it waits in {waits}" if waits else "it waits for what does not come",
            fix="Correct what it waits for there, or give it a timeout that raises",
            evidence={"stack": done.stacks[-6000:], "output": done.output[-2000:]},
            **where,
        )
    if not done.of("loader"):
        said = "no DataLoader is seen in it, so that it could not be shortened"
        return info(
            f"{name} lives for the {done.seconds:.0f} s that it had: {said}", id="rehearsal.not-shortened", **at
        )
    return info(
        f"{name} is still at work after {done.seconds:.0f} s, so that its end is not seen",
        id="rehearsal.unended",
        fix="Give `rehearsal.time` more seconds",
        evidence={"batches": len(done.of("batch")), "at work in": waits},
        **at,
    )


def _wait_for_each_other(done: Rehearsed, name: str, ranks: list[tuple[str, str, int]]) -> Finding:
    places = list(dict.fromkeys(f"{function} ({shown(file)}:{line})" for function, file, line in ranks))
    _, file, line = ranks[0]
    return error(
        f"{name} hangs: its ranks wait for each other, and nothing was done in the last {done.idle:.0f} s",
        id="rehearsal.hangs",
        cause=f"they wait in {in_a_row(places)}: a collective ends once every rank has come to it",
        fix="Have all ranks come to the same collectives in one order, none of them under a condition that holds on "
        "some ranks alone",
        evidence={"stack": done.stacks[-6000:], "output": done.output[-2000:]},
        file=file,
        line=line,
    )


def _failed(config: Config, done: Rehearsed, name: str, at: dict[str, Any]) -> Finding:
    assert done.code is not None
    raised = next((each for each in reversed(done.of("raised")) if each["type"] == "EOFError"), None)
    evidence = {"output": done.output[-4000:]}
    if raised and raised["text"] == "EOF when reading a line":
        return error(
            f"{name} asks for input, and a job has nobody who answers",
            id="rehearsal.asks",
            cause="it reads from its standard input, which is empty in a job",
            fix="Take the answer from an argument or from the config",
            evidence=evidence,
            **_own(raised["place"], at),
        )
    if found := why(done):
        return found
    if done.code < 0:
        return _died(config, done, name, at)
    return _exited(done, name, at, evidence)


def _died(config: Config, done: Rehearsed, name: str, at: dict[str, Any]) -> Finding:
    assert done.code is not None
    evidence = {"output": done.output[-4000:]}
    if -done.code == signal.SIGKILL and done.starved:
        return error(
            f"{name} is killed for want of memory",
            id="rehearsal.out-of-memory",
            cause="the kernel ends the largest process when memory is used up",
            fix="Use smaller batches or fewer workers, or ask for more memory",
            evidence=evidence,
            **at,
        )
    waits, place = _place_of(done.output, config.root)
    return error(
        f"{name} is ended by {signal_name(-done.code)}",
        id="rehearsal.dies",
        cause=f"it happens in {waits}" if waits else "",
        evidence=evidence,
        **({"file": place[0], "line": place[1]} if place else at),
    )


def _exited(done: Rehearsed, name: str, at: dict[str, Any], evidence: dict[str, Any]) -> Finding:
    last = next((line.strip() for line in reversed(done.output.splitlines()) if line.strip()), "it prints nothing")
    if "can't open file" in last and done.code == 2:
        return error(
            f"{name} cannot be started: {last.partition(': ')[2]}",
            id="rehearsal.no-command",
            cause="the script that it names is not there",
            fix="Correct the path of the script, which starts from `root`",
            **at,
        )
    cut = next((each for each in reversed(done.of("end")) if each.get("how") == "_exit" and each.get("code")), None)
    return error(
        f"{name} ends with exit code {done.code}: {last}",
        id="rehearsal.exits",
        cause=f"it leaves through os._exit({done.code}), which says nothing of the reason" if cut else "",
        evidence=evidence,
        **(_own(cut.get("place", {}), at) if cut else at),
    )


def _floods(done: Rehearsed, name: str, at: dict[str, Any]) -> Finding:
    return warning(
        f"{name} prints {format_size(done.printed)} in {done.seconds:.0f} s",
        id="rehearsal.floods",
        cause="what a job prints is kept in a file, and fills the disk at that rate",
        fix="Print once in a while, or with a level that is off by default",
        evidence={"output": done.output[-500:]},
        **at,
    )


def _leaves(done: Rehearsed, name: str, at: dict[str, Any]) -> Finding:
    commands = [" ".join(each.argv)[:80] for each in done.left]
    pids = {each.pid for each in done.left}
    works = any(event["pid"] in pids for event in done.of("loader"))
    say = error if works or not done.of("loader") else warning
    return say(
        f"{name} ends and leaves {counted(len(commands), 'process', 'processes')} running: {in_a_row(commands)}",
        id="rehearsal.leaves-processes",
        cause="a scheduler takes the end of the command for the end of the job, and kills what is left of it",
        fix="Keep the program in the foreground: wait for what it starts, without `&`, nohup or a daemon",
        **at,
    )


def _own(place: dict[str, Any], at: dict[str, Any]) -> dict[str, Any]:
    return {"file": place["file"], "line": place["line"]} if place else at


def _ranks(stacks: str, root: Path) -> list[tuple[str, str, int]]:
    """Return where ranks wait, as (function of torch, file and line of the user's own), those in a collective first.

    Empty where none is in a collective.
    """
    found: list[tuple[bool, tuple[str, str, int]]] = []
    for block in stacks.split("Current thread")[1:]:
        frames = _frames(block)
        own = next((each for each in frames if _is_own(each[0], root)), None)
        if own and "/torch/" in frames[0][0]:
            inside = frames[: frames.index(own)]
            collective = next((each for each in inside if each[0].endswith(_COLLECTIVES)), None)
            found.append((collective is None, ((collective or inside[-1])[2], *own[:2])))
    found.sort(key=lambda each: each[0])
    return [each for _, each in found] if found and not found[0][0] else []


def _frames(block: str) -> list[tuple[str, int, str]]:
    """Return file, line and function of each frame of the first thread in a text of faulthandler's."""
    thread = block.partition("\n\n")[0].partition("\nThread 0x")[0]
    return [(file, int(line), function) for file, line, function in _FRAME.findall(thread)]


def _is_own(file: str, root: Path) -> bool:
    return Path(file).is_relative_to(root) and "site-packages" not in file


def _place_of(stack: str, root: Path) -> tuple[str, tuple[str, int] | None]:
    """Return in words what the main thread was in, and the innermost frame of the user's own; see faulthandler."""
    current = stack.partition("Current thread")[2] or stack.partition("Thread 0x")[2]
    frames = _frames(current)
    if not frames:
        return "", None
    own = [each for each in frames if _is_own(each[0], root)]
    file, line, function = (own or frames)[0]
    inner = f"{frames[0][2]}, called in " if frames[0] != (file, line, function) else ""
    return f"{inner}{function} ({shown(file)}:{line})", (file, line) if own else None
