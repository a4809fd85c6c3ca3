"""The hooks that features have on torch's modules and optimizers, taken away before the program compiles a model.

A compiler would compile them too. What is called here never raises into the program.
"""

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from preflight.rehearsal.inside import guard, wire

_hooks: list[Any] = []


def before_forward(torch: ModuleType, function: Callable[[Any], object]) -> None:
    """Call `function(module)` before each call of a module."""
    is_compiling = getattr(getattr(torch, "compiler", None), "is_compiling", lambda: False)
    quiet = guard.quietly(function)

    def before(module: Any, _: Any) -> None:
        if not is_compiling():
            quiet(module)

    _keep(torch, torch.nn.modules.module.register_module_forward_pre_hook(before))


def around_step(torch: ModuleType, when: str, function: Callable[[Any], object]) -> None:
    """Call `function(optimizer)` at each step of an optimizer, `when` is `pre` or `post`; torch 2.0 cannot."""
    # torch.optim hides the module of that name.
    if register := getattr(sys.modules["torch.optim.optimizer"], f"register_optimizer_step_{when}_hook", None):
        quiet = guard.quietly(function)
        _keep(torch, register(lambda optimizer, *_: quiet(optimizer)))


def _keep(torch: ModuleType, hook: Any) -> None:
    if not _hooks and hasattr(torch, "compile") and not hasattr(torch.compile, "__wrapped__"):
        setattr(torch, "compile", _without_hooks(torch.compile))  # noqa: B010 - the type of a module has no such name
    _hooks.append(hook)


def _without_hooks(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def compile_without(*arguments: Any, **named: Any) -> Any:
        if _hooks:
            wire.tell("unable", feature="hooks", why="the program compiles its model")
        while _hooks:
            _hooks.pop().remove()
        return function(*arguments, **named)

    return compile_without
