"""What tests share: a function called in a world that is really broken."""

import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

CALLED = """
import importlib, importlib.util, inspect, pickle, sys
module, file, function, arguments, keywords = pickle.loads(sys.stdin.buffer.read())
try:
    module = importlib.import_module(module)
except ImportError:
    spec = importlib.util.spec_from_file_location(module, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
answer = getattr(module, function)(*arguments, **keywords)
sys.stdout.buffer.write(pickle.dumps(list(answer) if inspect.isgenerator(answer) else answer))
"""


@pytest.fixture(scope="session")
def in_world() -> Callable[..., Any]:
    """Return `call(setup, function, ...)`: the function's value in a new process, after the shell text `setup`.

    The process has mounts of its own, which vanish with it. `setup` may put a command in front of the process:
    `set -- setpriv --bounding-set=-dac_override "$@"`.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a broken world needs Linux and root")

    def call(setup: str, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        task = (function.__module__, inspect.getfile(function), function.__qualname__, arguments, keywords)
        shell = ["unshare", "--mount", "bash", "-euc", f'{setup}\nexec "$@"', "bash"]
        process = subprocess.run(
            [*shell, sys.executable, "-c", CALLED], input=pickle.dumps(task), capture_output=True, timeout=60
        )
        assert process.returncode == 0, process.stderr.decode(errors="replace")
        return pickle.loads(process.stdout)

    return call
