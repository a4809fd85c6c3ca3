"""`preflight launch`: commit, lock, check, start, record."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from preflight.cli import options


def parser() -> argparse.ArgumentParser:
    """Return what the command takes in front of `--`."""
    parser = options.command_parser("launch", "Tie a run to a commit, check, start it, and keep a record of it.")
    parser.usage = "preflight launch [--config FILE] [--name NAME] [--on WAY] [...] -- COMMAND [ARGUMENT ...]"
    parser.epilog = "exit codes: the command's own where it runs in the foreground, 125 where it is not started"
    options.add_config(parser)
    parser.add_argument("--name", metavar="NAME", default="", help="what the run is called; default: config and time")
    parser.add_argument(
        "--on", metavar="WAY", default="local", help="local (the default), tmux, ssh:HOST or slurm: how it is started"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "-m", "--commit", metavar="MESSAGE", dest="message", default="", help="commit what differs, for good"
    )
    how.add_argument("--clean", action="store_true", help="refuse where anything is not committed")
    parser.add_argument("--strict", action="store_true", help="let warnings count")
    return parser


def main(argv: Sequence[str]) -> int:
    """Launch the command, and return what it exits with where it runs in the foreground."""
    arguments, command = options.split_command(parser(), argv)
    from preflight.launch.launch import Order, launch

    config = options.settings_of(arguments)
    order = Order(
        config=config,
        command=tuple(command),
        name=arguments.name or name_of(config.source),
        way=arguments.on,
        message=arguments.message,
        clean=arguments.clean,
        strict=arguments.strict,
    )
    return launch(order, options.note)


def name_of(source: str) -> str:
    """Return a name for a run that was given none: that of its config, and the time."""
    import os
    from datetime import datetime
    from pathlib import Path

    stem = Path(source).stem.lstrip(".-") or "run"
    return f"{stem}-{datetime.now().astimezone():%Y%m%d-%H%M%S}-{os.getpid() % 1000:03}"
