"""Checks before a launch: imports, data, paths, GPUs, seeds."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preflight.words import check, error, info, warning
    from preflight.model import Finding, Severity

__all__ = ["Finding", "Severity", "check", "error", "info", "warning"]
__version__ = "0.1.0"

_HOMES = {"Finding": "preflight.model", "Severity": "preflight.model"}


def __getattr__(name: str) -> Any:
    # Nothing is imported until it is asked for: `preflight --help` must not pay for it, and a file of the user's
    # folder that hides a module of the standard library must not reach us before `sys.path` is put right.
    if name not in __all__:
        raise AttributeError(f"module 'preflight' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "preflight.words")), name)
