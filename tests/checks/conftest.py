"""What the tests of the built-in checks share: a check file, loaded by its path as the engine does."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

CHECKS = Path(__file__).parents[2] / "preflight_checks"


@pytest.fixture(scope="session")
def load_check_file() -> Callable[[str], ModuleType]:
    """Return a function that loads `preflight_checks/check_FAMILY.py`."""

    def load(family: str) -> ModuleType:
        path = CHECKS / f"check_{family}.py"
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
