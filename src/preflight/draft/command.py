"""How the program is started, where its code shows that: sections `rehearsal:` and `seeds:`."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator

from preflight.config import DEFAULT_SOURCE
from preflight.draft.paths import Entry
from preflight.draft.project import Project
from preflight.system.code import dotted
from preflight.system.events import Event
from preflight.system.flow import Flow

_LEARNS = frozenset({"DataLoader", "backward", "fit", "Trainer", "Seq2SeqTrainer", "SFTTrainer"})
_SEEDERS = re.compile(r"(\w+\.)*(manual_seed|set_seed|seed_everything|default_rng)|(random|numpy\.random)\.seed")
# Command lines that are not read here.
_OTHER_PARSERS = ("click.", "typer.", "fire.", "tyro.", "absl.", "jsonargparse.", "docopt.", "simple_parsing.")
_OTHER_CLASSES = frozenset({"HfArgumentParser", "LightningCLI", "FlagValues", "parse_known_args"})
_CONFIG = re.compile(r"-{0,2}(config|cfg|conf)([-_]?(file|path))?|-c")


# What a program learns with whose passes can be cut short, or that lives for a while at least.
_FRAMEWORKS = frozenset(
    {"flax", "jax", "keras", "lightning", "pytorch_lightning", "tensorflow", "torch", "transformers"}
)


def of_rehearsal(project: Project) -> Entry:
    """Return `rehearsal:`; empty where it is not sure how the program is started, or that it learns something."""
    command = _command(project)
    return {"command": command} if command else {}


def of_seeds(project: Project) -> Entry:
    """Return `seeds:`, where the config has the seed and the program sets it."""
    command = _command(project)
    seeds = [each for each in project.settings if each.name == "seed" and type(each.value) is int and each.reference]
    is_seeded = any(_SEEDERS.fullmatch(name) for name in project.demands.calls)
    return {"value": seeds[0].reference, "command": command} if command and is_seeded and len(seeds) == 1 else {}


def _command(project: Project) -> str:
    if len(project.scripts) != 1 or not _learns(project) or _is_launched_otherwise(project):
        return ""
    script = project.scripts[0]
    if script.suffix != ".py" or (script.absolute().parent / "__init__.py").exists() or _reads_argv(project):
        return ""
    words = _arguments(project)
    if words is None:
        return ""
    path = script.absolute()
    return shlex.join(
        ["python", str(path.relative_to(project.root) if path.is_relative_to(project.root) else path), *words]
    )


def _learns(project: Project) -> bool:
    tops = {each.name.partition(".")[0] for each in project.program.imports}
    return bool(tops & _FRAMEWORKS) and any(name.rpartition(".")[2] in _LEARNS for name in project.demands.calls)


def _is_launched_otherwise(project: Project) -> bool:
    """Tell whether a launcher starts its processes, or it reads its command line in a way that is not followed here."""
    calls, flow = project.demands.calls, project.flow
    groups = [each.node for each in flow.events if isinstance(each.node, ast.Call) and _makes_group(each, flow)]
    spawns = any(name.endswith(("multiprocessing.spawn", "mp.spawn")) for name in calls)
    return (not spawns and not all(_may_be_alone(each) for each in groups)) or any(
        name.startswith(_OTHER_PARSERS) or name.rpartition(".")[2] in _OTHER_CLASSES for name in calls
    )


def _makes_group(event: Event, flow: Flow) -> bool:
    return flow.called(event).endswith(".init_process_group")


def _may_be_alone(group: ast.Call) -> bool:
    """Tell whether a process that no launcher has started is the only one, as by `os.environ.get("WORLD_SIZE", 1)`."""
    sizes = [each.value for each in group.keywords if each.arg == "world_size"]
    for node in (node for size in sizes for node in ast.walk(size)):
        match node:
            case ast.Call(func=function, args=[ast.Constant(value="WORLD_SIZE"), ast.Constant(value=1 | "1")]):
                return dotted(function) in ("os.environ.get", "os.getenv", "environ.get", "getenv")
    return False


def _reads_argv(project: Project) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr == "argv" and project.flow.full_name(node, source) == "sys.argv"
        for source in project.program.sources
        for node in ast.walk(source.tree)
    )


def _arguments(project: Project) -> list[str] | None:
    """Return what must stand after the script: its config, where it takes one; None where that cannot be known."""
    words: list[str] = []
    for names, is_required in _options(project.flow):
        config = next((name for name in names if _CONFIG.fullmatch(name)), "")
        if config and project.source and project.source.name != DEFAULT_SOURCE.name:
            words += [config, str(project.source)] if config.startswith("-") else [str(project.source)]
        elif is_required:
            return None
    return words


def _options(flow: Flow) -> Iterator[tuple[list[str], bool]]:
    """Yield the names of each option or argument of the command line, long ones first, and whether it must be given."""
    for event in flow.events:
        match event.node:
            case ast.Call(func=ast.Attribute(attr="add_argument"), args=given, keywords=keywords):
                names = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
                said = {each.arg: each.value for each in keywords}
                required, count = said.get("required"), said.get("nargs")
                is_option = any(name.startswith("-") for name in names)
                may_lack = isinstance(count, ast.Constant) and count.value in ("?", "*")
                must = isinstance(required, ast.Constant) and bool(required.value)
                yield sorted(names, key=len, reverse=True), must if is_option else not may_lack
