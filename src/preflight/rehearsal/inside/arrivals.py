"""Calls a function once a module has been imported, whenever the program does that."""

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from preflight.rehearsal.inside import guard

Welcome = Callable[[ModuleType], object]


class _Finder:
    """Finds the awaited modules as the finders after it do, and has them welcomed once their code has run."""

    def __init__(self) -> None:
        self.awaited: dict[str, list[Welcome]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for an awaited name alone (importlib.abc.MetaPathFinder)."""
        if name not in self.awaited:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                self._wrap(name, spec)
                return spec
        return None

    def _wrap(self, name: str, spec: ModuleSpec) -> None:
        # On the loader object itself, which is this module's own, so that `module.__loader__` stays what it was.
        loader = spec.loader
        execute = getattr(loader, "exec_module", None)
        if loader is None or execute is None or isinstance(loader, type):
            return

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for welcome in self.awaited.pop(name, []):
                guard.attempt(welcome, module)

        loader.exec_module = exec_module  # type: ignore[method-assign]


_finder = _Finder()


def when_imported(name: str, welcome: Welcome) -> None:
    """Call `welcome(module)` once `name` is imported, at once where it is; what it raises is told, not passed on."""
    if name in sys.modules:
        guard.attempt(welcome, sys.modules[name])
        return
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _finder.awaited.setdefault(name, []).append(welcome)
