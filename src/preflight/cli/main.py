"""The command line: which command, and nothing loaded for the others."""

from __future__ import annotations

from collections.abc import Sequence

import preflight
from preflight.errors import UserError

COMMANDS = {
    "run": "check what the experiment needs, and say GO or NO-GO",
    "gate": "check, then start a command in its own place, or refuse to",
    "node": "check this node for a Prolog or HealthCheckProgram of Slurm, within a deadline",
    "launch": "commit, lock, check, start and record a run",
    "attach": "show a run in its own terminal",
    "stop": "ask a run to end",
    "rerun": "launch a run again as it was",
    "init": "write the preflight: section of a config from the project",
    "list": "list the checks that a run would run",
    "explain": "print the page of a check or of a finding",
    "seeds": "tell whether a step or a program repeats itself under its seed",
    "show": "show a stored report again, or a run",
    "merge": "make one report of those of a job's nodes or ranks",
    "runs": "list the runs that were launched",
    "logs": "print what a run has printed",
    "report": "show the history of runs in a browser",
    "diff": "tell what has changed since it last worked",
    "schema": "print the JSON Schema of a config or of a report",
    "completion": "print the script that completes commands in bash, zsh or fish",
    "bundle": "pack what a bug report needs, without secrets",
    "facts": "write what is known of the GPUs, for bug reports and --facts",
    "data": "write the checksums of a folder, and verify them",
    "env": "lock what is installed, and tell whether it still is that",
}

# What other commands start.
UNTYPED = ("job",)

USAGE = """\
usage: preflight COMMAND [...]

Checks imports, data, paths, GPUs and seeds before an experiment is launched.

commands:
{commands}

`preflight COMMAND --help` tells what a command takes; `preflight --version` which preflight this is.

exit codes: 0 go, 1 no-go, 2 the command line or the config is wrong, 3 no verdict, 130 interrupted;
`gate` and `launch` have those of their command, and 125 where they do not start it
"""


def main(argv: Sequence[str]) -> int:
    """Run the command that `argv` names and return its exit code."""
    if "check" not in getattr(preflight, "__all__", ()):
        raise _overwritten()
    command, *rest = argv or ["--help"]
    if command in ("-h", "--help", "help"):
        print(
            USAGE.format(commands="\n".join(f"  {name:<11}{what}" for name, what in COMMANDS.items())),
            end="",
            flush=True,
        )
        return 0 if argv else 2
    if command in ("-V", "--version"):
        from preflight.cli.version import main as version

        return version(rest)
    if command not in (*COMMANDS, *UNTYPED):
        raise UserError(f"{command} is no command", fix=_nearest(command))
    from importlib import import_module

    code: int = import_module(f"preflight.cli.{command}").main(rest)
    return code


def _overwritten() -> UserError:
    from preflight.cli.version import rivals

    return UserError("\n  ".join(["another distribution has overwritten this package", *rivals()]))


def _nearest(command: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(command, COMMANDS, n=1)
    return f"Do you mean `preflight {near[0]}`?" if near else f"The commands are {', '.join(COMMANDS)}."
