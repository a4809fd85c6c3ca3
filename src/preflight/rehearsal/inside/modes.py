"""Whether the model is in training mode where the program learns, and out of it where it evaluates.

`mode` {loader, pass, training, grad, whole, active, model, place}: the first time in a pass that a dropout or batch
norm runs so: `training` is its own mode and `whole` that of the outermost module, whose class is `model` and which is
called at `place`; `grad` whether gradients are on; `active` the class of the module.
`trained` {loader, pass, whole}: the first optimizer step in a pass after a module ran in that mode.
"""

import sys
from types import FrameType, ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, hooks, loaders, places, wire

_seen: set[tuple[Any, ...]] = set()
# The last mode of the outermost module in each pass.
_last: dict[tuple[int, int], bool] = {}


def install(_: dict[str, Any]) -> None:
    """Watch the modules of torch whose modes make a difference."""
    arrivals.when_imported("torch", _watch)


def _watch(torch: ModuleType) -> None:
    layers = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.modules.dropout._DropoutNd)  # noqa: SLF001

    def before(module: Any) -> None:
        if isinstance(module, layers) and getattr(module, "p", True):
            _look(torch, module)

    hooks.before_forward(torch, before)
    hooks.around_step(torch, "post", _stepped)


def _look(torch: ModuleType, module: Any) -> None:
    if (batch := loaders.current()) is None:
        return
    key = (batch["loader"], batch["pass"], module.training, torch.is_grad_enabled(), type(module))
    if key in _seen and batch["index"] > 0:
        return
    model, place = _outermost(torch, sys._getframe(2))  # noqa: SLF001
    model = module if model is None else model
    _last[key[:2]] = model.training
    if (*key, model.training) in _seen:
        return
    _seen.update({key, (*key, model.training)})
    wire.tell(
        "mode",
        loader=key[0],
        **{"pass": key[1]},
        training=key[2],
        grad=key[3],
        whole=model.training,
        active=type(module).__name__,
        model=type(model).__name__,
        place=place,
    )


def _outermost(torch: ModuleType, frame: FrameType | None) -> tuple[Any, places.Place]:
    """Return the outermost module at work, and the user's place that called it."""
    model, caller = None, frame
    while frame is not None:
        if isinstance(each := frame.f_locals.get("self"), torch.nn.Module) and _is_call(torch, frame):
            model, caller = each, frame.f_back
        frame = frame.f_back
    return model, places.outward(caller)


def _is_call(torch: ModuleType, frame: FrameType) -> bool:
    """Tell whether a frame is the call of a module, and not another method of one, as Lightning's steps are."""
    return frame.f_code.co_name.endswith("_call_impl") and frame.f_code.co_filename == torch.nn.modules.module.__file__


def _stepped(_: Any) -> None:
    if (batch := loaders.current()) is None:
        return
    key = (batch["loader"], batch["pass"])
    whole = _last.get(key)
    if whole is not None and (*key, "trained", whole) not in _seen:
        _seen.add((*key, "trained", whole))
        wire.tell("trained", loader=key[0], **{"pass": key[1]}, whole=whole)
