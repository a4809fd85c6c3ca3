"""The random generators that a program holds: where they are found, and a digest of the state of each."""

import functools
import hashlib
import itertools
import os
import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from preflight.rehearsal.inside import places

_MOST_OBJECTS = 2_000
_MOST_PARTS = 50
_PLAIN = (str, bytes, bytearray, int, float, complex, bool, type(None), ModuleType, type, BuiltinFunctionType)


class Held(NamedTuple):
    """A generator: its `name` as the program would write it, in `module`; `file` is where its holder's code stands.

    What a function encloses has no such name: `collate's rng`.
    """

    name: str
    module: str
    kind: str
    file: str
    generator: Any


def held(roots: Mapping[str, Any]) -> list[Held]:
    """Return the global generators, those reachable from `roots`, and those of the user's own modules, each once."""
    found = [Held(name, "", name, "", generator) for name, generator in of_libraries()]
    kinds = _kinds()
    seen = {id(each.generator) for each in found}
    for name, root in roots.items():
        found += _reachable(Held(name, "", "", "", root), kinds, seen)
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if type(module) is ModuleType and isinstance(file, str) and places.is_own(file):
            called = "__main__" if module.__name__ == "__mp_main__" else module.__name__
            for name, value in list(vars(module).items()):
                if not name.startswith("__"):
                    found += _reachable(Held(name, called, "", os.path.abspath(file), value), kinds, seen)
    return found


def of_libraries() -> Iterator[tuple[str, Any]]:
    """Yield the global generators of random, numpy and torch, as far as these are imported."""
    yield "random", getattr(random, "_inst", None)
    if (numpy := sys.modules.get("numpy")) is not None and hasattr(numpy, "random"):
        yield "numpy.random", numpy.random.mtrand._rand  # noqa: SLF001
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "default_generator"):
        yield "torch", torch.default_generator


def digest(generator: Any) -> str:
    """Return a digest of a generator's state, the same in every process; empty where it cannot be told."""
    try:
        if isinstance(generator, random.Random):
            state: Any = generator.getstate()
        elif hasattr(generator, "bit_generator"):
            state = generator.bit_generator.state
        else:
            state = generator.get_state()
    except Exception:  # noqa: BLE001 - a generator that hides its state is passed over
        return ""
    total = hashlib.blake2b(digest_size=12)
    _add(state, total)
    return total.hexdigest()


def _add(state: Any, total: "hashlib.blake2b") -> None:
    if isinstance(state, Mapping):
        for name, part in state.items():
            total.update(str(name).encode())
            _add(part, total)
    elif isinstance(state, tuple):
        total.update(repr(state).encode() if len(state) > _MOST_PARTS else b"(")
        for part in state if len(state) <= _MOST_PARTS else ():
            _add(part, total)
    elif hasattr(state, "tolist"):
        total.update(repr(state.tolist()).encode())
    else:
        total.update(repr(state).encode())


def _kinds() -> tuple[type, ...]:
    kinds: list[type] = [random.Random]
    if (numpy := sys.modules.get("numpy")) is not None and hasattr(numpy, "random"):
        kinds += [numpy.random.Generator, numpy.random.RandomState]
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "Generator"):
        kinds.append(torch.Generator)
    return tuple(kinds)


def _kind_of(kind: type) -> str:
    top = kind.__module__.partition(".")[0]
    return f"{'numpy.random' if top == 'numpy' else top}.{kind.__name__}"


def _reachable(root: Held, kinds: tuple[type, ...], seen: set[int]) -> Iterator[Held]:
    """Yield what can be reached from `root` by attributes, items and closures; no code of the program's is run."""
    waiting = deque([(root.name, root.generator, root.file)])
    for _ in range(_MOST_OBJECTS):
        if not waiting:
            return
        path, value, where = waiting.popleft()
        # By `type`, since a lazy object may load something when it is asked for its class.
        kind = type(value)
        if issubclass(kind, _PLAIN) or id(value) in seen:
            continue
        seen.add(id(value))
        if issubclass(kind, kinds):
            if not issubclass(kind, random.SystemRandom):
                yield Held(path, root.module, _kind_of(kind), where, value)
            continue
        source = getattr(sys.modules.get(kind.__module__), "__file__", None)
        inner = os.path.abspath(source) if isinstance(source, str) and places.is_own(source) else where
        waiting.extend((path + step, part, inner) for step, part in _parts(value, kind))


def _parts(value: Any, kind: type) -> Iterator[tuple[str, Any]]:
    if issubclass(kind, dict):
        yield from ((f"[{key!r}]", part) for key, part in _first(dict.items(value)))
    elif issubclass(kind, list | tuple | set | frozenset | deque):
        yield from ((f"[{index}]", part) for index, part in enumerate(_first(value)))
    elif issubclass(kind, FunctionType):
        for free, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
            try:
                yield f"'s {free}", cell.cell_contents
            except ValueError:
                continue
        yield from (("", part) for part in value.__defaults__ or ())
    elif issubclass(kind, MethodType):
        yield "", value.__self__
    elif issubclass(kind, functools.partial):
        yield from (("", part) for part in (value.func, *value.args))
        yield from ((f"'s {name}", part) for name, part in value.keywords.items())
    elif kind.__name__ not in ("Tensor", "ndarray"):
        try:
            attributes = object.__getattribute__(value, "__dict__")
        except AttributeError:
            return
        yield from ((f".{name}", part) for name, part in _first(dict.items(attributes)))


def _first(parts: Any) -> Iterator[Any]:
    return itertools.islice(list(parts) if len(parts) <= _MOST_PARTS else parts, _MOST_PARTS)
