"""`preflight node`: check the node that this runs on, in a bounded time and nearly silently, for Slurm's own hooks."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from preflight.cli import options
from preflight.errors import UserError
from preflight.nodesets import fold
from preflight.phrases import counted
from preflight.quantities import format_duration, parse_duration
from preflight.reports.text import clipped

GO, NO_GO, NO_VERDICT = "GO", "NO-GO", "NO VERDICT"
EXIT_CODES = {GO: 0, NO_GO: 1, NO_VERDICT: 3}
# Seconds. A run that is asked to end tells what it knows within two; what the kernel holds is left behind after one.
_TELLING = 3.0
_DYING = 1.0
_SHORTEST = _TELLING + _DYING + 1.0
# slurmd kills a HealthCheckProgram after 60 s: slurm.conf(5).
_LONGEST = {"healthcheck": 55.0}
_PATIENCE = 10.0
# The root is where the config lies, not slurmd's folder of logs. A `cwd` that hangs would hang us.
_IN_FOLDER = 'cd "$1" && shift && exec "$@"'
# slurmd starts a HealthCheckProgram without a PATH.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Answer(NamedTuple):
    """What is known of the node: the word of the verdict, and why in one line."""

    word: str
    reason: str = ""


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("node", "Check this node within a deadline, and say a line only of what is wrong.")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=Path("/etc/preflight.yaml"), help="default: /etc/preflight.yaml"
    )
    options.add_selection(parser)
    parser.add_argument(
        "--as",
        dest="hook",
        choices=("prolog", "healthcheck"),
        help="which hook of slurmd runs it; then an exit code other than 0 refuses the node",
    )
    parser.add_argument("--deadline", metavar="TIME", default="30s", help="for all of it; default: 30s")
    parser.add_argument(
        "--without-verdict",
        choices=("pass", "refuse"),
        default="pass",
        help="with --as: what a node is that could not be judged; default: pass",
    )
    parser.add_argument(
        "--drain", action="store_true", help="drain a node that is NO-GO, with the reason; as root or operator of Slurm"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Check the node, tell what is wrong, and return the exit code that the hook wants."""
    arguments = parser().parse_args(argv)
    deadline = _deadline(arguments.deadline, arguments.hook)
    if arguments.drain and arguments.hook == "prolog":
        fix = "Leave --drain out: slurmd drains the node itself where its Prolog fails."
        raise UserError("a Prolog must not call Slurm's commands, as --drain does", fix=fix)
    name = os.environ.get("SLURMD_NODENAME") or platform.node()
    selection = [*_option("--only", arguments.only), *_option("--tag", arguments.tag), *_option("-k", [arguments.k])]
    answer = _ask(arguments.config.absolute(), selection, deadline)
    if answer.word != GO:
        drained = _drain(name, answer.reason) if arguments.drain and answer.word == NO_GO else ""
        options.say(clipped(f"preflight: {answer.word} at {name}: {answer.reason}") + f"{drained}\n")
    if arguments.hook and answer.word == NO_VERDICT:
        return int(arguments.without_verdict == "refuse")
    return EXIT_CODES[answer.word]


def _option(name: str, values: Sequence[str]) -> list[str]:
    return [name, *values] if any(values) else []


def _deadline(text: str, hook: str | None) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as problem:
        raise UserError(f"--deadline {text}: {problem}") from None
    longest = _LONGEST.get(hook or "", float("inf"))
    if not _SHORTEST <= seconds <= longest:
        wanted = (
            f"at least {format_duration(_SHORTEST)}" if seconds < longest else f"at most {format_duration(longest)}"
        )
        raise UserError(f"--deadline {text}: it takes {wanted}")
    return seconds


def _ask(config: Path, selection: Sequence[str], deadline: float) -> Answer:
    """Run the checks in a process of its own, which no dead file system can make us wait for beyond the deadline."""
    run = [sys.executable, "-P", "-m", "preflight", "run", "--config", str(config), *selection, "--format", "json"]
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _IN_FOLDER, "sh", str(config.parent), *run],
            env={"PATH": _PATH, **os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as problem:
        return Answer(NO_VERDICT, f"{sys.executable} cannot be started: {problem.strerror}")
    late = f"not all checks had ended within {format_duration(deadline)}"
    for number, seconds in ((signal.SIGTERM, deadline - _TELLING - _DYING), (signal.SIGKILL, _TELLING)):
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        else:
            return _read(out, err, process.returncode, late)
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_DYING)
    return Answer(NO_VERDICT, late)


def _read(out: str, err: str, code: int, late: str) -> Answer:
    """Return what a run says in its JSON, or on its standard error where it could not begin."""
    try:
        report = json.loads(out)
        word = str(report["verdict"]["word"])
        findings = [_told(each, finding) for each in report["results"] for finding in each.get("findings", ())]
    except (ValueError, KeyError, TypeError):
        if code == -signal.SIGTERM:
            return Answer(NO_VERDICT, late)
        lines = [line.removeprefix("preflight: ") for line in err.splitlines() if line.strip()]
        return Answer(NO_VERDICT, lines[0] if lines else f"the run left with exit code {code}")
    if word not in EXIT_CODES:
        return Answer(NO_VERDICT, f"the run says {word}")
    if report["interrupted"] and word == NO_VERDICT:
        return Answer(word, late)
    errors = [each for each in findings if each]
    if word == NO_GO and errors:
        more = f", and {counted(len(errors) - 1, 'error')} more" if errors[1:] else ""
        return Answer(word, f"{errors[0]}{more}")
    return Answer(word, str(report["verdict"]["reason"]))


def _told(result: Mapping[str, Any], finding: Mapping[str, Any]) -> str:
    """Return an error that counts, with the check that found it, in a line; empty for any other finding."""
    is_error = finding["severity"] == "error" and not finding.get("ignored")
    return f"{result['check']}: {finding['message']}" if is_error else ""


def _drain(name: str, reason: str) -> str:
    """Drain the node unless it is drained already, whose reason stays; return what is to be added to the line."""
    path = os.environ.get("PATH") or _PATH
    scontrol = shutil.which("scontrol", path=f"{path}:{_PATH}") or "scontrol"
    try:
        state = _slurm(scontrol, "show", "node", name, "--oneliner")
        if "DRAIN" in state.partition("State=")[2].partition(" ")[0]:
            return ""
        _slurm(scontrol, "update", f"nodename={name}", "state=drain", f"reason={clipped(f'preflight: {reason}')}")
    except (OSError, subprocess.SubprocessError) as problem:
        said = str(getattr(problem, "stderr", "") or getattr(problem, "strerror", "") or "scontrol does not answer")
        return f"; it cannot be drained: {clipped(said.strip().splitlines()[-1])}"
    return f"; {fold([name])} is drained"


def _slurm(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout
