"""What is said of the operation at which two runs of a program part: why it does, and what to do."""

from __future__ import annotations

import re
from typing import NamedTuple

from preflight.phrases import shown
from preflight.rehearsal.divergence import Divergence, How

_RANDOM = re.compile(
    r"(rand|randn|randint|randperm|normal|uniform|bernoulli|multinomial|poisson|exponential|geometric|cauchy|"
    r"log_normal|random|native_dropout|rrelu_with_noise)(_like)?_?"
)
# Sums on a GPU whose order is not fixed, which torch.use_deterministic_algorithms replaces or refuses
# (docs.pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html).
_ATOMIC = re.compile(
    r"(?i)index_add|scatter|index_put|put|bincount|cumsum|kthvalue|median|histc|grid_sampler|upsample|embedding|ctc_loss|"
    r"adaptive_(avg|max)_pool|avg_pool3d|max_pool3d|max_unpool|fractional_max_pool|nll_loss2d|reflection_pad|"
    r"replication_pad|index_select|repeat_interleave|resize|scaled_dot_product|attention"
)
_PRODUCT = re.compile(r"(mm|bmm|addmm|baddbmm|addbmm|mv|addmv|dot|matmul|linear|_scaled_mm)_?")
_CONVOLUTION = re.compile(r"convolution|cudnn|miopen")


class Why(NamedTuple):
    """What is said of a divergence: one clause that names it, the cause and the remedy, both may be empty."""

    what: str
    cause: str
    fix: str


def explain_divergence(found: Divergence) -> Why:
    """Return what there is to say of the operation at which two runs part."""
    name = _name(found.operation)
    where = f" ({_where(found)})" if _where(found) else ""
    if found.how is How.PATH:
        instead = _name(found.instead)
        what = f"the runs part at operation {found.number:,}{where}: one computes {name}, the other {instead}"
        return Why(what, "what the program does next depends on something that is not the seed", "")
    if found.how is How.UNSET:
        what = f"the runs part at {name}{where}, which reads memory that nothing was written to"
        return Why(what, "torch.empty hands out whatever the memory holds", "Fill it first, or use torch.zeros")
    if found.how is How.INPUT:
        what = f"the runs part at {name}{where}, the first to get other values"
        return Why(what, "these come from outside of torch: a file, an array, a number, or another process", "")
    what = f"the runs part at {name}{where}: its inputs agree and its output differs"
    return Why(what, *_of_output(name, found))


def _of_output(name: str, found: Divergence) -> tuple[str, str]:
    one, other = found.numerics
    if _RANDOM.fullmatch(name):
        return (
            "it draws from a generator of torch that is not in the same state",
            "Seed it:\n    torch.manual_seed(seed)",
        )
    if changed := [key for key in one if key in ("tf32", "threads", "cudnn_benchmark") and one[key] != other.get(key)]:
        return _of_settings(changed[0], one[changed[0]], other.get(changed[0]))
    if not one.get("cuda"):
        return "", ""
    return _on_device(name, found)


def _of_settings(name: str, one: object, other: object) -> tuple[str, str]:
    if name == "tf32":
        fix = "Set it, rather than leave it to chance:\n    torch.backends.cuda.matmul.allow_tf32 = False"
        return f"TF32 is on in one run and off in the other ({one} and {other})", fix
    if name == "threads":
        fix = "Set the number of threads:\n    torch.set_num_threads(1)"
        return f"it sums in another order: torch has {one} threads in one run and {other} in the other", fix
    return "torch.backends.cudnn.benchmark is on in one run only", "Set torch.backends.cudnn.benchmark = False"


def _on_device(name: str, found: Divergence) -> tuple[str, str]:
    settings = found.numerics[0]
    if _CONVOLUTION.search(name) and settings.get("cudnn_benchmark"):
        cause = "torch.backends.cudnn.benchmark picks the algorithm by a race, which ends another way each time"
        return cause, "Turn it off:\n    torch.backends.cudnn.benchmark = False"
    if _CONVOLUTION.search(name) and not (settings.get("cudnn_deterministic") or settings.get("deterministic")):
        cause = "cuDNN may use algorithms for it whose sums have no fixed order"
        return cause, "Allow those with a fixed order only:\n    torch.backends.cudnn.deterministic = True"
    if _PRODUCT.fullmatch(name) and not settings.get("cublas_workspace"):
        cause = (
            "cuBLAS picks its workspace as it likes, and with it the order of sums: CUBLAS_WORKSPACE_CONFIG is not set"
        )
        return cause, "Set it before the program starts:\n    export CUBLAS_WORKSPACE_CONFIG=:4096:8"
    if _ATOMIC.search(f"{name} {found.node}") and not settings.get("deterministic"):
        cause = "on a GPU it sums in whatever order its threads arrive"
        return cause, "Use its deterministic version:\n    torch.use_deterministic_algorithms(True)"
    return "", ""


def _name(operation: str) -> str:
    """Return `index_add` for `aten.index_add.default`."""
    parts = operation.split(".")
    return parts[1] if len(parts) > 1 else operation


def _where(found: Divergence) -> str:
    told = [f"{shown(found.file)}:{found.line}"] if found.file else []
    if found.module:
        told.append(f"in {found.module}")
    if found.node:
        told.append(f"in the backward pass, {found.node}")
    return ", ".join(told)
