"""`preflight seeds`: tell whether a step or a whole program repeats itself under its seed, and what it depends on."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from preflight.cli import options
from preflight.errors import UserError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.config import Config
    from preflight.model import Report

_STEP = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser(
        "seeds", "Run a step or a program in unlike worlds under one seed, and tell what it depends on."
    )
    options.add_config(parser)
    parser.add_argument("--seed", metavar="NUMBER", type=int, help="the seed; default: that of the config, else 0")
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs=argparse.REMAINDER,
        help="module:function, which gets the seed, or a command; {seed} stands for the seed in it; "
        "default: what the config has under `seeds:`",
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the checks of seeds alone, and print what was run before the findings."""
    arguments = parser().parse_args(argv)
    from preflight.reports.progress import Progress
    from preflight.run import run
    from preflight.verdict import decide
    from preflight.worker.request import Selection

    settings = _settings(options.settings_of(arguments), arguments)
    report = run(settings, selection=Selection(only=("seeds",)), watcher=Progress())
    options.say(_story(report))
    report = report.with_results([replace(result, output="") for result in report.results])
    verdict = decide(report)
    options.show(report, verdict, [options.View("terminal")])
    return verdict.exit_code


def _settings(config: Config, arguments: argparse.Namespace) -> Config:
    """Return the config with the target under `seeds:`; its file is not changed."""
    if not arguments.target and arguments.seed is None:
        if not (config.seeds and (config.seeds.step or config.seeds.command)):
            raise UserError(
                "there is no step and no command to run",
                fix="Name one: preflight seeds module:function, or preflight seeds python train.py --seed {seed}",
            )
        return config
    import yaml

    from preflight.config import load

    text = " ".join(arguments.target) if len(arguments.target) == 1 else shlex.join(arguments.target)
    text = text.replace("'{seed}'", "{seed}")
    plain = yaml.safe_load(config.text) or {}
    section = plain.setdefault("preflight", None) or {}
    seeds = dict(section.get("seeds") or {})
    if text:
        seeds = {name: value for name, value in seeds.items() if name in ("value", "deadline")}
        seeds["step" if _STEP.fullmatch(text) else "command"] = text
    if arguments.seed is not None:
        seeds["value"] = arguments.seed
    plain["preflight"] = {**section, "seeds": seeds}
    source = Path(config.source) if config.source else None
    changed = load(source, text=yaml.safe_dump(plain, sort_keys=False))
    return replace(changed, root=config.root, drafted=True)


def _story(report: Report) -> str:
    from preflight.reports.text import visible

    lines = []
    for result in report.results:
        told = [f"  {visible(line)}" for line in result.output.splitlines() if line.strip()]
        lines += [result.title, *told, ""] if told else []
    return "\n".join([*lines, ""]) if lines else ""
