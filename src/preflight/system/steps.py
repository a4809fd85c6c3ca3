"""One call of a training step with a seed: a fingerprint of what it returned, or how it failed."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from preflight.system.values import fingerprint


def call_step(step: str, seed: int, before: Callable[[], object] = lambda: None) -> dict[str, Any]:
    """Call `module:function` with a seed, in this process, and return plain facts.

    These are `leaves` (the fingerprint), or `failed` (`import`, `find`, `call` or `raise`) with `text`, `file`, `line`.
    `before` is called when all is imported and only the step itself is left to do.
    """
    name, _, attribute = step.partition(":")
    try:
        function: Any = importlib.import_module(name)
    except Exception as problem:  # noqa: BLE001 - whatever the module raises is the answer
        return _failed("import", problem)
    for part in attribute.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        return {"failed": "find", "text": f"{name} has no function {attribute}"}
    try:
        inspect.signature(function).bind(seed)
    except TypeError as problem:
        code = getattr(inspect.unwrap(function), "__code__", None)
        place = {"file": code.co_filename, "line": code.co_firstlineno} if code else {}
        return {"failed": "call", "text": str(problem), **place}
    except ValueError:
        pass  # compiled functions may have no signature; the call will tell
    before()
    try:
        value = function(seed)
    except Exception as problem:  # noqa: BLE001 - whatever the step raises is the answer
        return _failed("raise", problem)
    return {"leaves": {path: asdict(leaf) for path, leaf in fingerprint(value).items()}}


def _failed(how: str, problem: Exception) -> dict[str, Any]:
    import traceback

    frames = [each for each in traceback.extract_tb(problem.__traceback__) if not each.filename.startswith("<")]
    own = [each for each in frames if each.filename not in (__file__, importlib.__file__)]
    place = {"file": own[-1].filename, "line": own[-1].lineno} if own else {}
    return {"failed": how, "text": f"{type(problem).__name__}: {problem}".partition("\n")[0], **place}
