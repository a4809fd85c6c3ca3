"""The `preflight:` section that a project's own config and code suggest, as text to append to the config."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from preflight.config.document import Node, parse, plain
from preflight.config.references import References
from preflight.draft.paths import Entry, Setting, Suggested, read_settings, suggest_paths
from preflight.errors import UserError
from preflight.system.code import Program, find_scripts, is_installed, is_loaded_with_parent, read_program
from preflight.system.uses import Behaviour, read_behaviour

# Beside the files, a program holds its libraries, its output and the connections of its workers open.
OTHER_FILES = 64
WIDEST = 100

_LOCKS = ("pylock.toml", "uv.lock", "requirements.txt")
_TORCH_CACHE = "${oc.env:TORCH_HOME,${oc.env:XDG_CACHE_HOME,~/.cache}/torch}"
_PORT = re.compile(r"(master|main_process|dist|ddp|rdzv|rendezvous|nccl|torch)_port")
_GPU_COUNT = re.compile(r"(n|num)?_?gpus?(_count)?|(num_)?devices|nproc_per_node")
_LAUNCHER = re.compile(r"(LOCAL_|GROUP_)?(RANK|WORLD_SIZE)|MASTER_(ADDR|PORT)|HOME|USER|PATH|PWD|(SLURM|OMPI|CUDA)_\w*")


def draft(text: str, source: Path | None, scripts: Sequence[Path], root: Path) -> dict[str, Any]:
    """Return the section for a config of that text, `source` its file; without scripts they are looked for in `root`.

    Raises UserError where the config or a script cannot be read.
    """
    document = parse(text, str(source or ""))
    settings = read_settings(document, References(document, str(source or ""), os.environ))
    program = _read(scripts or find_scripts(root), root)
    behaviour = read_behaviour(program.sources)
    suggested = suggest_paths(settings, behaviour, root, source)
    if any(call.startswith("torch.hub.") for call in behaviour.calls):
        suggested.paths += _torch_cache(root)
    sections = {
        "imports": list(_imports(program, root)),
        "packages": _packages(root),
        "data": suggested.data,
        "paths": suggested.paths,
        "system": _system(settings, behaviour, program, suggested),
        "gpu": _gpu(settings, behaviour),
    }
    return {key: value for key, value in sections.items() if value}


def write(section: dict[str, Any]) -> str:
    """Return the section as YAML, one line for each entry."""
    if not section:
        return "preflight: {}\n"
    lines = ["preflight:"]
    for key, value in section.items():
        short = f"  {key}: {_flow(value)}"
        is_short = isinstance(value, dict) or not any(isinstance(entry, dict) for entry in value)
        if is_short and len(short) <= WIDEST:
            lines.append(short)
        elif isinstance(value, dict):
            lines += [f"  {key}:", *(f"    {name}: {_flow(part)}" for name, part in value.items())]
        else:
            lines += [f"  {key}:", *(f"    - {_flow(entry)}" for entry in value)]
    return "\n".join(lines) + "\n"


def append(text: str, section: str, source: str) -> str:
    """Return what must follow `text` for the section to be a part of it, everything else unchanged.

    Raises UserError where the file has a section already, or ends so that nothing can follow.
    """
    before = parse(text, source)
    if "preflight" in before.value:
        where = f"{source}:{before.value['preflight'].line}"
        fix = "Remove it first, or see what would be written:\n    preflight init --print"
        raise UserError("there is a `preflight:` section already", where=where, fix=fix)
    gap = "\n" if text.endswith("\n") or not text else "\n\n"
    line_end = "\r\n" if "\r\n" in text else "\n"
    # A blank line would lengthen a block scalar that keeps its line ends.
    for between in (gap if text else "", gap[1:]):
        addition = (between + section).replace("\n", line_end)
        if _is_kept(before, text + addition):
            return addition
    fix = "Print the section and put it in by hand:\n    preflight init --print"
    raise UserError("nothing can be appended to this file", where=source, fix=fix)


def _is_kept(before: Node, text: str) -> bool:
    try:
        after = parse(text, "").value
    except UserError:
        return False
    rest = {key: node for key, node in after.items() if key != "preflight"}
    # Compared as text, since .nan is not equal to itself.
    return "preflight" in after and repr(plain(Node(rest, 1))) == repr(plain(before))


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")


def _read(scripts: Sequence[Path], root: Path) -> Program:
    try:
        return read_program(scripts, root)
    except OSError as error:
        raise UserError(f"the script cannot be read: {error.strerror}", where=str(error.filename)) from None
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"{error.filename}:{line}" if isinstance(error, SyntaxError) and line else ", ".join(map(str, scripts))
        raise UserError(f"this is no Python: {getattr(error, 'msg', error)}", where=where) from None


def _imports(program: Program, root: Path) -> Iterator[str | Entry]:
    """Yield each top-level module once, and a module below it where it is not loaded with it anyway."""
    wanted: dict[str, bool] = {}
    for each in program.imports:
        top = each.name.partition(".")[0]
        there = is_installed(top, root)
        is_optional = each.optional or (each.deferred and not there)
        names = [top] if each.name == top or not there or is_loaded_with_parent(each.name, root) else [top, each.name]
        for name in names:
            wanted[name] = wanted.get(name, True) and is_optional
    for name, is_optional in wanted.items():
        yield {"name": name, "optional": True} if is_optional else name


def _packages(root: Path) -> Entry:
    lock = next((name for name in _LOCKS if (root / name).is_file()), "")
    return {"lock": lock} if lock else {}


def _torch_cache(root: Path) -> list[Entry]:
    setting = Node({"path": Node(_TORCH_CACHE, 1)}, 1)
    path = References(setting, "", os.environ).resolve(setting.value["path"], "path").value
    folder = (root / os.path.expanduser(path)).absolute()
    nearest = next(each for each in [folder, *folder.parents] if each.exists())
    return [{"path": _TORCH_CACHE, "access": "write"}] if os.access(nearest, os.W_OK) else []


def _system(settings: Sequence[Setting], behaviour: Behaviour, program: Program, suggested: Suggested) -> Entry:
    ports = [
        setting.reference
        for setting in settings
        if _PORT.fullmatch(setting.name) and setting.reference and str(setting.value).isdecimal()
    ]
    held = -(-(suggested.held + OTHER_FILES) // 100) * 100 if suggested.held else 0
    env = [name for name in behaviour.variables if os.environ.get(name) and not _LAUNCHER.fullmatch(name)]
    needs = {"nofile": held, "ports": ports, "env": env, "credentials": _credentials(settings, behaviour, program)}
    return {key: value for key, value in needs.items() if value}


def _credentials(settings: Sequence[Setting], behaviour: Behaviour, program: Program) -> list[str]:
    """Return `wandb` where the program surely talks to it, and the config does not keep it from doing so."""
    is_sure = any(each.name == "wandb" and not each.optional and not each.deferred for each in program.imports)
    is_off = any(
        any("wandb" in step.lower() for step in setting.steps)
        and (setting.value is False or setting.value in ("offline", "disabled"))
        for setting in settings
    )
    return ["wandb"] if is_sure and not is_off and "wandb.init" in behaviour.calls else []


def _gpu(settings: Sequence[Setting], behaviour: Behaviour) -> Entry:
    devices = [
        str(setting.value).lower()
        for setting in settings
        if setting.name in ("device", "accelerator") and setting.value
    ]
    if not any(re.match(r"cuda|gpu", device) for device in devices) and (devices or not behaviour.cuda):
        return {}
    counts = [setting for setting in settings if _GPU_COUNT.fullmatch(setting.name)]
    for setting in counts:
        if type(setting.value) is int and setting.value > 0 and not setting.steps[-1].isdecimal():
            return {"count": setting.reference or setting.value}
    listed = sum(1 for setting in counts if setting.steps[-1].isdecimal())
    index = max((int(device[5:]) for device in devices if re.fullmatch(r"cuda:\d{1,3}", device)), default=0)
    return {"count": max(listed, index + 1)}
