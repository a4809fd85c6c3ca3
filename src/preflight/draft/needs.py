"""What a program needs of its machine besides files, from config and code: sections `system:`, `gpu:` and `code:`."""

from __future__ import annotations

import ast
import os
import re
import shutil
from collections.abc import Sequence

from preflight.draft.paths import Entry, Suggested
from preflight.draft.project import Project
from preflight.draft.settings import Setting, named
from preflight.quantities import format_size
from preflight.system import credentials, git
from preflight.system.demands import Demands

# Beside the files, a program holds its libraries, its output and the connections of its workers open.
OTHER_FILES = 64
# Beside its arrays, a program holds Python and its libraries in memory.
OTHER_MEMORY = 300_000_000
LARGE_MEMORY = 256_000_000
# Each worker of a loader has threads of its own; libraries and the main process have some more.
TASKS_OF_WORKER, OTHER_TASKS = 4, 32
# What batches of unknown size need at least, and even a container with the usual 64 MB has.
SHARED_MEMORY = 32_000_000

_PORT = re.compile(r"(master|main_process|dist|ddp|rdzv|rendezvous|nccl|torch)_port")
_GPU_COUNT = re.compile(r"(n|num)?_?gpus?(_(count|per_node))?|(num_)?devices(_per_node)?|nproc_per_node")
_LAUNCHER = re.compile(r"(LOCAL_|GROUP_)?(RANK|WORLD_SIZE)|MASTER_(ADDR|PORT)|HOME|USER|PATH|PWD|(SLURM|OMPI|CUDA)_\w*")
_CLIENTS = {"aws": ("boto3.", "s3fs."), "huggingface": ("huggingface_hub.login", "huggingface_hub.HfApi")}
# Beside these, a world size counts the processes of all machines.
_NODES = ("num_nodes", "nnodes", "n_nodes", "nodes")
_PRECISION = ("precision", "dtype", "torch_dtype", "amp_dtype", "mixed_precision")
_DTYPES = {"bf16": "bfloat16", "bfloat16": "bfloat16", "fp16": "float16", "float16": "float16", "half": "float16"}
_DTYPES |= {"16": "float16", "fp8": "float8", "float8": "float8", "tf32": "tf32", "64": "float64", "float64": "float64"}
# Switches with the dtype that they bring: as Hugging Face's trainer has them, and as scripts call them.
_SWITCHES = {"bf16": "bfloat16", "fp16": "float16", "tf32": "tf32", "allow_tf32": "tf32", "amp": "float16"}


def of_system(project: Project, suggested: Suggested) -> Entry:
    """Return `system:`."""
    demands = project.demands
    held = -(-(suggested.held + OTHER_FILES) // 100) * 100 if suggested.held > OTHER_FILES else 0
    memory = max(demands.array, suggested.loaded)
    tasks = demands.workers * TASKS_OF_WORKER + demands.threads
    needs = {
        "ram": _size(memory + OTHER_MEMORY) if memory >= LARGE_MEMORY else "",
        "shm": _size(demands.batches or SHARED_MEMORY) if demands.workers else "",
        "nofile": held,
        "processes": tasks + OTHER_TASKS if tasks else 0,
        "ports": _ports(project.settings, demands),
        "commands": [name for name in demands.commands if shutil.which(name)],
        "env": [name for name in demands.variables if os.environ.get(name) and not _LAUNCHER.fullmatch(name)],
        "credentials": _credentials(project),
    }
    return {key: value for key, value in needs.items() if value}


def of_gpu(project: Project) -> Entry:
    """Return `gpu:`; where the config names the device, the section goes by what it names at the time."""
    settings = project.settings
    named_devices = [each for each in settings if each.name in ("device", "accelerator") and each.value]
    devices = [str(each.value).lower() for each in named_devices]
    references = [each.reference for each in named_devices if each.reference and isinstance(each.value, str)]
    wants_gpu = any(re.match(r"cuda|gpu", device) for device in devices)
    wants_gpu |= not devices and (project.demands.cuda or _asks_driver(project.demands))
    if not wants_gpu and not (references and devices[0] == "cpu"):
        return {}
    found: Entry = {"device": references[0]} if references else {}
    if count := _gpu_count(settings, devices, is_named=bool(references)):
        found["count"] = count
    precisions = [str(each.value).lower() for each in settings if each.name in _PRECISION]
    dtypes = {_DTYPES.get(each.removesuffix("-mixed").removesuffix("-true"), "") for each in precisions}
    dtypes |= {_SWITCHES.get(each.name, "") for each in settings if each.value is True}
    dtypes -= {""}
    return found | ({"dtypes": sorted(dtypes)} if dtypes else {})


def of_code(project: Project) -> Entry:
    """Return `code:` where the program asks git for the commit, and git has one now."""
    demands = project.demands
    asks = "git" in demands.commands or any(name.startswith("git.Repo") for name in demands.calls)
    top = git.top_of(project.root) if asks else None
    try:
        return {"commit": True} if top and git.repository(top).commit else {}
    except (OSError, git.GitError):
        return {}


def _size(size: int) -> str:
    return format_size(size).replace(" ", "")


def _ports(settings: Sequence[Setting], demands: Demands) -> list[str | int]:
    found: list[str | int] = [
        setting.reference
        for setting in settings
        if _PORT.fullmatch(setting.name) and setting.reference and _is_port(setting.value)
    ]
    for origin in demands.ports:
        (part,) = origin.parts
        if isinstance(part, tuple):
            found += [each.reference for each in named(part, settings) if each.reference and _is_port(each.value)]
        elif isinstance(part, str) and _is_port(part):
            found.append(int(part))
    return list(dict.fromkeys(found))


def _is_port(value: object) -> bool:
    return str(value).isdecimal() and 0 < int(str(value)) < 65_536


def _credentials(project: Project) -> list[str]:
    """Return whose credentials the program needs: those that are there now, and wandb's where it surely logs in."""
    calls = project.demands.calls
    needed = ["wandb"] if _logs_in_to_wandb(project) else []
    for name, starts in _CLIENTS.items():
        if any(call.startswith(starts) for call in calls) and credentials.FINDERS[name](project.root):
            needed.append(name)
    return needed


def _logs_in_to_wandb(project: Project) -> bool:
    """Tell whether the program surely talks to it, and the config does not keep it from doing so."""
    imports = [each for each in project.program.imports if each.name == "wandb" and not each.optional]
    is_sure = any(not each.deferred or _comes_to("wandb.init", project) for each in imports)
    is_off = any(
        any("wandb" in step.lower() for step in setting.steps)
        and (setting.value is False or setting.value in ("offline", "disabled"))
        for setting in project.settings
    )
    return is_sure and not is_off and "wandb.init" in project.demands.calls


def _comes_to(call: str, project: Project) -> bool:
    """Tell whether the program surely calls it, where each condition is a key of the config that is true."""
    flow = project.flow
    ways = [
        flow.conditions(each) for each in flow.events if isinstance(each.node, ast.Call) and flow.called(each) == call
    ]
    return any(all(test is not None and _is_true(test, project) for test in way) for way in ways)


def _is_true(test: ast.expr, project: Project) -> bool:
    origins = {
        origin for event in project.flow.events if event.node is test for origin in project.flow.origins(test, event)
    }
    found = [each for origin in origins for each in named(origin.key, project.settings)]
    return bool(found) and all(each.value is True for each in found)


def _asks_driver(demands: Demands) -> bool:
    """Tell whether the program itself talks to the GPU driver, which shows it devices now."""
    if "pynvml.nvmlInit" not in demands.calls:
        return False
    from preflight.system.gpu.nvml import ask_all

    return bool(ask_all()[1])


def _gpu_count(settings: Sequence[Setting], devices: Sequence[str], *, is_named: bool) -> str | int:
    counts = [setting for setting in settings if _GPU_COUNT.fullmatch(setting.name)]
    several = any(setting.name in _NODES and setting.value not in (None, 1) for setting in settings)
    counts = counts or [setting for setting in settings if setting.name == "world_size" and not several]
    for setting in counts:
        if type(setting.value) is int and setting.value > 0 and not setting.steps[-1].isdecimal():
            return setting.reference or setting.value
    listed = sum(1 for setting in counts if setting.steps[-1].isdecimal())
    index = max((int(device[5:]) for device in devices if re.fullmatch(r"cuda:\d{1,3}", device)), default=0)
    least = max(listed, index + 1)
    return least if least > 1 or not is_named else 0
