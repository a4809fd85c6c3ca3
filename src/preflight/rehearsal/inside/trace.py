"""Writes down each operation of torch, with hashes of what goes in and of what comes out, so that two runs compare.

Tells `operations` {process, words, rows}. A row is [name, place, module, node, inputs, outputs, unset]: the first four
number `words`, the texts that all such events of a process have told so far; `place` is the user's line, `module` the
path of the innermost module, `node` the step of the backward pass or empty; `inputs` and `outputs` are lists of hashes,
0 where there is none; `unset` is 1 where an input was never written to. And `numerics`, the settings of torch that
decide on the bits, whenever they have changed.
"""

import atexit
import os
import sys
import time
import weakref
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, identity, places, wire
from preflight.rehearsal.inside.hashing import hash_of

_MOST = 200_000
_AT_ONCE = 400
_PATIENCE = 0.5
_DEEPEST = 60
_MOST_KNOWN = 20_000
_EMPTY = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted"})


class _Notes:
    """What has been seen and not yet told."""

    def __init__(self) -> None:
        self.count = 0
        self.begin()

    def begin(self) -> None:
        """Begin with nothing told, as in a process that was forked."""
        self.rows: list[list[Any]] = []
        self.words: dict[str, int] = {}
        self.names: dict[Any, int] = {}
        self.told = 0
        self.last = time.monotonic()
        self.numerics: dict[str, Any] = {}

    def word(self, text: str) -> int:
        """Return the number of a text."""
        return self.words.setdefault(text, len(self.words))

    def name(self, func: Any) -> int:
        """Return the number of the name of an operation."""
        if func not in self.names:
            self.names[func] = self.word(str(func))
        return self.names[func]

    def add(self, row: list[Any]) -> None:
        """Take one operation in, and tell what has gathered."""
        self.count += 1
        self.rows.append(row)
        if len(self.rows) >= _AT_ONCE or time.monotonic() - self.last > _PATIENCE:
            self.tell()

    def tell(self) -> None:
        """Tell what has gathered."""
        if not self.rows:
            return
        rows, self.rows, self.last = self.rows, [], time.monotonic()
        _read_devices(rows)
        if (numerics := _numerics()) != self.numerics:
            self.numerics = numerics
            wire.tell("numerics", process=identity.name(), **numerics)
        words = list(self.words)[self.told :]
        self.told += len(words)
        wire.tell("operations", process=identity.name(), words=words, rows=rows)


_notes = _Notes()
_modules: list[Any] = []
_paths: dict[int, str] = {}
# Storage that was handed out and never written to, by address.
_unset: set[int] = set()
# Where the operation stood whose backward step has this number.
_forward: dict[int, tuple[int, int]] = {}


def install(settings: dict[str, Any]) -> None:  # noqa: ARG001 - each feature is told its settings
    """Write down what torch does from the moment it is imported."""
    identity.name()
    arrivals.when_imported("torch", _begin)


def _begin(torch: Any) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Trace(TorchDispatchMode):  # type: ignore[misc, unused-ignore]
        """Sees each operation below autograd."""

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            # Where it is to skip this, torch imports its compiler, which takes seconds.
            return False

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if _notes.count >= _MOST:
                return func(*args, **kwargs)
            if func.is_view:
                return _known.seen_as(args[0], func(*args, **kwargs))
            row = [*_where(torch, func), _hashes((args, kwargs), _known.read), [], _is_unset(args)]
            result = func(*args, **kwargs)
            if func.overloadpacket.__name__ in _EMPTY:
                _unset.add(result.data_ptr())
            else:
                row[5] = _hashes(result, _known.made(args))
                _note_written(result)
            _notes.add(row)
            return result

    modules = torch.nn.modules.module
    modules.register_module_forward_pre_hook(_enter)
    modules.register_module_forward_hook(_leave, **_always(modules))
    os.register_at_fork(after_in_child=_notes.begin)
    atexit.register(_notes.tell)
    Trace().__enter__()


def _always(modules: ModuleType) -> dict[str, bool]:
    """Return what has a hook called where the module raises too, which torch 2.0 does not know."""
    return {"always_call": True} if "always_call" in modules.register_module_forward_hook.__code__.co_varnames else {}


def _enter(module: Any, _: Any) -> None:
    _modules.append(module)
    if len(_modules) == 1 and id(module) not in _paths:
        for name, part in module.named_modules():
            _paths[id(part)] = f"{type(part).__name__} {name}".rstrip()


def _leave(module: Any, *_: Any) -> None:
    while _modules and _modules.pop() is not module:
        pass


def _where(torch: Any, func: Any) -> list[int]:
    """Return the words for name, place, module and backward step of an operation."""
    name = _notes.name(func)
    node = torch._C._current_autograd_node()  # noqa: SLF001
    if node is not None:
        place, module = _forward.get(node._sequence_nr(), (0, 0))  # noqa: SLF001
        return [name, place or _notes.word(_line()), module or _notes.word(""), _notes.word(node.name())]
    module = _notes.word(_paths.get(id(_modules[-1]), type(_modules[-1]).__name__) if _modules else "")
    place = _notes.word(_line())
    # The step of the backward pass is made before the operation is, and has the number before the next.
    _forward[torch._C._autograd._get_sequence_nr() - 1] = (place, module)  # noqa: SLF001
    if len(_forward) > _MOST:
        _forward.clear()
    return [name, place, module, _notes.word("")]


def _line() -> str:
    """Return the user's innermost line as `line:file`, empty where there is none."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001
    for _ in range(_DEEPEST):
        if frame is None:
            break
        file = frame.f_code.co_filename
        if places.is_own(file):
            return f"{frame.f_lineno}:{os.path.abspath(file)}"
        frame = frame.f_back
    return ""


class _Known:
    """The hashes of tensors that operations have made, as long as nothing has changed them.

    What is changed in place has another `_version` afterwards, and so have all views of it.
    """

    def __init__(self) -> None:
        self.of: dict[int, tuple[Any, int, Any]] = {}

    def read(self, tensor: Any) -> Any:
        """Return the hash of what goes into an operation."""
        held = self.of.get(id(tensor))
        if held is None or held[0]() is not tensor or tensor.is_inference() or tensor._version != held[1]:  # noqa: SLF001
            return hash_of(tensor)
        if held[2] is None:
            self.keep(tensor, held[1], hash_of(tensor))
            return self.of[id(tensor)][2]
        return held[2]

    def keep(self, tensor: Any, version: int, made: Any) -> None:
        """Keep the hash of a tensor; None for one that has not been taken yet."""
        if len(self.of) > _MOST_KNOWN:
            self.of.clear()
        self.of[id(tensor)] = (weakref.ref(tensor), version, made)

    def seen_as(self, base: Any, views: Any) -> Any:
        """Return `views` of `base`, whose hashes are kept once they are taken if that one's is."""
        held = self.of.get(id(base))
        if held is not None and held[0]() is base and not base.is_inference() and base._version == held[1]:  # noqa: SLF001
            for view in views if isinstance(views, tuple | list) else (views,):
                self.keep(view, held[1], None)
        return views

    def made(self, inputs: Any) -> Callable[[Any], Any]:
        """Return what hashes the results of an operation on `inputs` and keeps the hashes."""
        changed = {id(each) for each in inputs}

        def made(tensor: Any) -> Any:
            found = hash_of(tensor)
            if not tensor.is_inference():
                # That an input was changed in place is counted only after this.
                self.keep(tensor, tensor._version + (id(tensor) in changed), found)  # noqa: SLF001
            return found

        return made


_known = _Known()


def _hashes(value: Any, hashed: Callable[[Any], Any]) -> list[Any]:
    """Return the hashes of tensors and numbers, nested as operations take and give them."""
    found: list[Any] = []
    _gather(value, found, hashed)
    return found


def _gather(value: Any, found: list[Any], hashed: Callable[[Any], Any]) -> None:
    if isinstance(value, tuple | list):
        for part in value:
            _gather(part, found, hashed)
    elif isinstance(value, dict):
        for part in value.values():
            _gather(part, found, hashed)
    elif isinstance(value, int | float):
        found.append(hash(value))
    elif hasattr(value, "data_ptr"):
        found.append(hashed(value))


def _is_unset(args: Any) -> int:
    if not _unset:
        return 0
    return int(any(hasattr(each, "data_ptr") and each.data_ptr() in _unset for each in args))


def _note_written(result: Any) -> None:
    if _unset:
        for each in result if isinstance(result, tuple | list) else (result,):
            if hasattr(each, "data_ptr"):
                _unset.discard(each.data_ptr())


def _read_devices(rows: list[list[Any]]) -> None:
    """Put numbers in the place of hashes that are still on a device, all of them in one transfer for each device."""
    waiting = [(part, index) for row in rows for part in row[4:6] for index, each in enumerate(part) if _is_far(each)]
    if waiting:
        torch = sys.modules["torch"]
        with torch.utils._python_dispatch._disable_current_modes():  # noqa: SLF001
            for part, index in waiting:
                part[index] = int(part[index])


def _is_far(value: Any) -> bool:
    return not isinstance(value, int)


def _numerics() -> dict[str, Any]:
    torch = sys.modules["torch"]
    cudnn = torch.backends.cudnn
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": cudnn.benchmark,
        "cudnn_deterministic": cudnn.deterministic,
        "tf32": [torch.backends.cuda.matmul.allow_tf32, cudnn.allow_tf32],
        "cublas_workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ""),
        "cuda": torch.cuda.is_initialized(),
        "threads": torch.get_num_threads(),
    }
