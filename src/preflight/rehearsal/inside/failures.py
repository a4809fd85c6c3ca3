"""What a process of the program fails of: exceptions that nothing catches, or that are caught only to exit.

`raised` {type, text, chain, place, frames, files, moved, batch, how, module, tensors}: an exception that ends the main
thread (`uncaught`), a `thread`, a `process` of multiprocessing or the fetching of a DataLoader (`worker`), or that was
being handled when the program called for an `exit` with a code other than 0. `chain` holds what it came from, nearest
first, as {type, text, place}; `batch` is what the program had in its hands; `module` {name, kind} the innermost torch
module at work; `files` {name: path} those that the innermost function of the user's had names for; `moved` the folder
that the program has changed into, where what it misses there lies in the one that it started in; `tensors` {function,
name, shape, dtype, device, low, high} those that the innermost functions held. `end` {how, code}: the interpreter came
to its `exit`, or the program cut it short by `_exit`.
"""

import atexit
import os
import sys
import threading
from contextlib import suppress
from pathlib import PurePath
from types import ModuleType, TracebackType
from typing import Any

from preflight.rehearsal.inside import arrivals, guard, loaders, places, wire

_LONGEST = 8000
_MOST_FRAMES = 40
_MOST_NUMBERS = 10_000_000
_MOST_FILES = 2
# The exception that ended the main thread, once it was told.
_last: list[BaseException] = []


def install(_: dict[str, Any]) -> None:
    """Watch how this process, its threads and its children end."""
    sys.excepthook = guard.before(sys.excepthook, lambda *facts: _end_of_main(facts[1]))
    threading.excepthook = guard.before(threading.excepthook, lambda facts: tell(facts.exc_value, "thread"))
    sys.exit = guard.before(sys.exit, _leave)
    os._exit = guard.before(os._exit, _cut_short)
    atexit.register(_at_exit)
    arrivals.when_imported("multiprocessing.process", _watch_processes)
    arrivals.when_imported("torch._utils", _watch_workers)


def tell(problem: BaseException | None, how: str) -> None:
    """Tell of an exception; of None, nothing."""
    if problem is None:
        return
    place, frames = places.of_traceback(problem.__traceback__)
    wire.tell(
        "raised",
        **_named(problem),
        chain=[{**_named(each), "place": places.of_traceback(each.__traceback__)[0]} for each in _chain(problem)],
        place=place,
        frames=frames[-_MOST_FRAMES:],
        files=_files(problem.__traceback__),
        moved=_moved(problem),
        how=how,
        **_state(problem.__traceback__),
    )


def _files(trace: TracebackType | None) -> dict[str, str]:
    """Return the files of data that the variables of the innermost function of the user's name."""
    values: dict[str, Any] = {}
    while trace is not None:
        if places.is_own(trace.tb_frame.f_code.co_filename):
            values = trace.tb_frame.f_locals
        trace = trace.tb_next
    paths = {name: each for name, each in values.items() if type(each) is str or isinstance(each, PurePath)}
    found = {name: str(each) for name, each in paths.items() if name[:2] != "__" and _is_file(str(each))}
    return found if len(found) <= _MOST_FILES else {}


def _is_file(path: str) -> bool:
    try:
        return len(path) < _LONGEST and not path.endswith((".py", ".yaml", ".yml")) and os.path.isfile(path)
    except ValueError:
        return False


def _moved(problem: BaseException) -> str:
    """Return the folder that the program has changed into, where a file that it misses lies in the first one."""
    name = problem.filename if isinstance(problem, FileNotFoundError) else None
    if not isinstance(name, str) or os.path.isabs(name) or not os.path.exists(os.path.join(wire.root(), name)):
        return ""
    with suppress(OSError):
        return "" if os.path.samefile(os.curdir, wire.root()) else os.path.relpath(os.getcwd(), wire.root())
    return ""


def _named(problem: BaseException) -> dict[str, str]:
    kind = type(problem)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        text = str(problem)
    except Exception as worse:  # noqa: BLE001 - it is the program's own
        text = f"<its text cannot be made: {type(worse).__name__}>"
    return {"type": name, "text": text if len(text) < _LONGEST else text[: _LONGEST // 2] + text[-_LONGEST // 2 :]}


def _chain(problem: BaseException) -> list[BaseException]:
    """Return what an exception came from, nearest first, also where `from None` hides it."""
    chain: list[BaseException] = []
    last: BaseException | None = problem.__cause__ or problem.__context__
    while last is not None and last is not problem and last not in chain and len(chain) < _MOST_FRAMES:
        chain.append(last)
        last = last.__cause__ or last.__context__
    return chain


def _end_of_main(problem: BaseException | None) -> None:
    if problem is not None and problem not in _last:
        _last.append(problem)
        tell(problem, "uncaught")


def _watch_processes(module: ModuleType) -> None:
    kind = module.BaseProcess
    kind._bootstrap = guard.before(kind._bootstrap, _watch_process)  # noqa: SLF001 - the one way through which all begin


def _watch_process(process: Any, *_: Any, **__: Any) -> None:
    """See what a process of multiprocessing fails of, which prints it and ends without a hook."""
    run = process.run

    def watched() -> None:
        try:
            run()
        except Exception as problem:
            tell(problem, "process")
            raise

    process.run = watched


def _watch_workers(module: ModuleType) -> None:
    """See what a DataLoader's worker fails of where it happens: the program gets it as a text."""
    wrapper = module.ExceptionWrapper
    wrapper.__init__ = guard.before(wrapper.__init__, lambda *_, **__: tell(sys.exc_info()[1], "worker"))


def _leave(code: object = None) -> None:
    """Tell what is being handled when an exit is called for, or the call itself."""
    if code in (None, 0):
        return
    handled = sys.exc_info()[1]
    if isinstance(handled, Exception):
        tell(handled, "exit")
        return
    text = code if isinstance(code, str) else f"exit code {code}"
    place = places.here()
    unknown: dict[str, Any] = {"chain": [], "frames": [], "files": {}, "moved": ""}
    wire.tell("raised", type="SystemExit", text=text, place=place, how="exit", **unknown, **_state(None))


def _cut_short(code: int) -> None:
    if code and sys.exc_info()[1] is not None:
        _leave(code)
    wire.tell("end", how="_exit", code=code, place=places.here())


def _at_exit() -> None:
    # A hook of the program's own may have taken the place of ours.
    _end_of_main(getattr(sys, "last_value", None))
    wire.tell("end", how="exit")


def _state(trace: TracebackType | None) -> dict[str, Any]:
    """Return what the program had at work: batch, innermost module, and the tensors of the innermost functions."""
    batch = loaders.current()
    if (torch := sys.modules.get("torch")) is None or not hasattr(torch, "Tensor"):
        return {"batch": batch, "module": None, "tensors": []}
    frames = []
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    modules = [each for frame in frames if isinstance(each := frame.f_locals.get("self"), torch.nn.Module)]
    named = next((name for name, each in modules[0].named_modules() if each is modules[-1]), "") if modules else ""
    kind = {"name": named, "kind": type(modules[-1]).__name__, "shown": repr(modules[-1])[:200]} if modules else None
    own = [frame for frame in frames if places.is_own(frame.f_code.co_filename)]
    tensors = [
        {"function": frame.f_code.co_name, "name": name, **_shown(value)}
        for frame in dict.fromkeys([*reversed(frames[-3:]), *own[-1:]])
        for name, value in frame.f_locals.items()
        if type(value) in {torch.Tensor, torch.nn.Parameter}
    ]
    return {"batch": batch, "module": kind, "tensors": tensors[:20]}


def _shown(tensor: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "device": str(tensor.device),
    }
    is_whole = not tensor.is_floating_point() and not tensor.is_complex()
    # After an assertion on a GPU its values cannot be read any more.
    if is_whole and tensor.device.type == "cpu" and 0 < tensor.numel() < _MOST_NUMBERS:
        facts.update(low=int(tensor.min()), high=int(tensor.max()))
    return facts
