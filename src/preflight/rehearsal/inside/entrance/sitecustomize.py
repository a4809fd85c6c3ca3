"""Imported by each Python of a rehearsed program before anything of its own: installs what the orders name."""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_PACKAGES = ("preflight", "preflight.rehearsal")


def _enter() -> None:
    """Install the features; the program finds no module of preflight's in `sys.modules` afterwards."""
    from types import ModuleType

    folder = os.path.dirname(os.path.dirname(os.path.dirname(_HERE)))
    for name in _PACKAGES:
        package = ModuleType(name)
        package.__path__ = [folder]
        sys.modules[name] = package
        folder = os.path.join(folder, "rehearsal")
    try:
        from preflight.rehearsal.inside import start

        start.start(os.environ["PREFLIGHT_REHEARSAL"])
    finally:
        for name in [each for each in sys.modules if each == "preflight" or each.startswith("preflight.")]:
            del sys.modules[name]


def _leave() -> None:
    """Give way to the `sitecustomize` that the program would have had."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    sys.path[:] = [path for path in sys.path if path != _HERE]
    spec = PathFinder.find_spec("sitecustomize")
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if "PREFLIGHT_REHEARSAL" in os.environ:
    _enter()
_leave()
