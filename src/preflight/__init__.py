"""Checks before a launch: imports, data, paths, GPUs, seeds."""

# `typing` is not imported: a file of that name in the user's folder must not reach us before `__main__` has put
# `sys.path` right.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from preflight.model import Finding, Severity
    from preflight.words import ChildFailed, check, error, info, warning

__all__ = ["ChildFailed", "Finding", "Severity", "check", "error", "info", "warning"]
__version__ = "0.1.0"

_HOMES = {"Finding": "preflight.model", "Severity": "preflight.model"}


def __getattr__(name: str) -> "Any":
    # Nothing is imported until it is asked for, so that `preflight --help` does not pay for it.
    if name not in __all__:
        raise AttributeError(f"module 'preflight' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "preflight.words")), name)
