"""Run by its path with `module:function` and a seed: calls that function as a program of its own would."""

import importlib
import os
import sys


def call(step: str, seed: int) -> object:
    """Return what the step returns for the seed; the modules are found from the working directory."""
    sys.path[0] = os.getcwd()
    module, _, attribute = step.partition(":")
    function: object = importlib.import_module(module)
    for part in attribute.split("."):
        function = getattr(function, part)
    return function(seed)  # type: ignore[operator]


if __name__ == "__main__":
    value = call(sys.argv[1], int(sys.argv[2]))
