"""`preflight facts`: write what is known of this machine's GPUs into a file that checks can be run against."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from preflight.cli import options
from preflight.errors import UserError
from preflight.phrases import counted
from preflight.reports.text import visible


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser(
        "facts", "Write what is known of this machine's GPUs into a file, for bug reports and `run --facts FILE`."
    )
    actions = parser.add_subparsers(dest="action", metavar="capture", required=True)
    capture = actions.add_parser("capture", help="ask the driver, the kernel and torch, and write their answers")
    capture.add_argument("output", metavar="FILE", type=Path, help="where to write them, as JSON")
    capture.add_argument("--with-ids", action="store_true", help="keep UUIDs of devices and names of users")
    capture.add_argument("--without-torch", action="store_true", help="do not import torch to hear its own view")
    return parser


def main(argv: Sequence[str]) -> int:
    """Gather the facts and write them."""
    arguments = parser().parse_args(argv)
    from preflight.system.gpu.gather import gather
    from preflight.system.gpu.view import ask_torch

    gpus = gather(Path.cwd())
    if gpus.build and not arguments.without_torch:
        gpus = replace(gpus, torch=ask_torch())
    if not arguments.with_ids:
        gpus = gpus.redacted()
    options.write(str(arguments.output), json.dumps(gpus.to_json(), indent=2, ensure_ascii=False) + "\n")
    of_driver = f"driver {gpus.version}" if gpus.version else f"the driver: {gpus.driver}"
    options.say(f"{visible(str(arguments.output))}: {counted(len(gpus.devices), 'GPU')}, {of_driver}\n")
    return 0


def load(path: Path) -> Mapping[str, Any]:
    """Return what a file of facts holds; raises UserError where it holds none."""
    from preflight.system.gpu.facts import Gpus

    try:
        data: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        Gpus.from_json(data)
    except OSError as problem:
        raise UserError(f"--facts {path}: {problem.strerror}", fix="preflight facts capture FILE writes one.") from None
    except ValueError as problem:
        said = f"--facts {path} holds no facts of GPUs: {problem}"
        raise UserError(said, fix="`preflight facts capture FILE` writes them.") from None
    return data
