"""Where the worker and the stage begin: run by its path in the job's interpreter, it has imported nothing yet.

    python boot.py worker LENT PLACE                        becomes the worker of a place
    python boot.py hello LENT PLACE                         says that the place answers, and no more
    python boot.py ranks LENT PLACE                         starts ranks that add up with those of other places
    python boot.py rank LENT ORDERS                         becomes one of these ranks
    python boot.py stage LENT ROOT TRACE ANSWERS ORDERS NAME=SECONDS …
                                                            imports the modules, tells how each went, then serves
    python boot.py check LENT ROOT TRACE ANSWERS FILE NAME=SECONDS …
                                                            the same for the one check that the order in FILE names

What an import meets must be what the job meets: a process in which no module of preflight's, and no module of the
standard library that the interpreter does not load by itself, is there before. So this file uses built-in modules
only until it serves.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


# What preflight itself imports, apart from the standard library.
NEEDED = ("yaml", "packaging", "pytest", "_pytest", "pluggy", "iniconfig", "psutil", "pynvml", "preflight")


class Lender:
    """Finds the modules that preflight itself needs where preflight is installed, and no others."""

    def __init__(self, folders: dict[str, str]) -> None:
        self.folders = folders
        self.path_finder = next(finder for finder in sys.meta_path if getattr(finder, "__name__", "") == "PathFinder")

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for a lent name alone (importlib.abc.MetaPathFinder)."""
        if path is None and name in self.folders:
            return self.path_finder.find_spec(name, [self.folders[name]])
        return None


def tell(fd: int, facts: dict[str, object]) -> None:
    """Write plain values as one line that `ast.literal_eval` reads."""
    data = (ascii(facts) + "\n").encode()
    while data:
        data = data[os.write(fd, data) :]


def frames_of(problem: BaseException) -> list[tuple[str, int, str]]:
    """Return (file, line, function) of each frame of a traceback, importlib's own and ours left out."""
    frames: list[tuple[str, int, str]] = []
    step = problem.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if not code.co_filename.startswith("<frozen") and code.co_filename != __file__:
            frames.append((code.co_filename, step.tb_lineno, code.co_name))
        step = step.tb_next
    return frames


def chain_of(problem: BaseException) -> list[tuple[str, str, list[tuple[str, int, str]]]]:
    """Return the exception and those that led to it, as (type, message, frames), the last one first."""
    chain: list[tuple[str, str, list[tuple[str, int, str]]]] = []
    link: BaseException | None = problem
    while link is not None and len(chain) < 10:
        try:
            message = str(link)
        except Exception:  # noqa: BLE001 - an exception whose text raises
            message = ""
        chain.append((type(link).__name__, message[:4000], frames_of(link)[-30:]))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain


def import_one(name: str, seconds: float, trace: int) -> dict[str, object]:
    """Import one module and return what is to be told of it."""
    before = set(sys.modules)
    faulthandler.enable(file=trace)
    faulthandler.dump_traceback_later(max(0.05, seconds - 0.25), file=trace)
    began, cpu = time.perf_counter(), time.process_time()
    problem: BaseException | None = None
    try:
        __import__(name)
    except BaseException as raised:  # noqa: BLE001 - whatever it is, it is the finding
        problem = raised
    facts: dict[str, object] = {
        "imported": name,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
    }
    faulthandler.cancel_dump_traceback_later()
    facts["brought"] = {
        top: getattr(sys.modules[top], "__file__", None) or ""
        for top in sys.modules.keys() - before
        if "." not in top and sys.modules[top] is not None
    }
    if problem is None:
        module = sys.modules.get(name)
        version = getattr(sys.modules.get(name.partition(".")[0]), "__version__", "")
        facts.update(outcome="imported", origin=getattr(module, "__file__", None) or "", version=str(version)[:100])
        return facts
    facts.update(outcome="raised", chain=chain_of(problem))
    if isinstance(problem, ModuleNotFoundError):
        facts.update(outcome="missing", missing=problem.name or "")
    return facts


def foreign_folders(root: str) -> list[str]:
    """Return the folders that the project and PYTHONPATH put on `sys.path`."""
    return [os.path.abspath(entry) for entry in (root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)) if entry]


def set_aside(root: str) -> dict[str, ModuleType]:
    """Take out of `sys.modules`, and return, what such folders gave for a name that preflight needs itself.

    A project's own `random.py` is there as `random` once the experiment has imported it.
    """
    foreign = tuple(os.path.join(folder, "") for folder in foreign_folders(root))
    needed = {*NEEDED, *sys.stdlib_module_names}
    # A root may lie above all: the home folder, with the interpreter somewhere in it.
    standard = os.path.join(os.path.dirname(os.__file__), "")
    tops = {
        name
        for name in needed & sys.modules.keys()
        if (file := getattr(sys.modules[name], "__file__", None) or "").startswith(foreign)
        and not file.startswith(standard)
        and "site-packages" not in file
    }
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in tops}


def put_tools_first(root: str) -> None:
    """Order `sys.path` so that no file of the project and no entry of PYTHONPATH hides what preflight imports."""
    foreign = foreign_folders(root)
    last = [entry for entry in sys.path if entry and os.path.abspath(entry) in foreign]
    sys.path[:] = [entry for entry in sys.path if entry and entry not in last] + last


def lend(text: str) -> None:
    """Take `name=folder` pairs, one a line, and have these modules found there."""
    folders = dict(line.split("=", 1) for line in text.splitlines())
    if folders:
        sys.meta_path.insert(0, Lender(folders))


def main() -> None:
    """Become what the first word says."""
    kind, lent, *rest = sys.argv[1:]
    sys.argv[1:] = []
    # Imports make many objects and little garbage: without the collector they take a seventh less. Children have it.
    gc.disable()
    # What a module prints is there even if the module kills the process.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if kind in ("worker", "hello", "ranks", "rank"):
        del sys.path[: not sys.flags.safe_path]
        as_the_job = list(sys.path)
        put_tools_first("")
        lend(lent)
        if kind in ("ranks", "rank"):
            from preflight.worker import ranks

            ranks.attend(lent, *rest) if kind == "ranks" else ranks.be_one(*rest)
            return
        from preflight.worker import process

        if kind == "hello":
            process.greet(*rest)
        else:
            process.work(as_the_job, *rest)
        return
    root, trace, answers, orders, *names = rest
    if not sys.flags.safe_path:
        sys.path[0] = root
    # Python's own cache is left beside preflight's modules and not beside the project's.
    cached, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    # A check that cannot be forked has its order in a file, and nobody to tell how the imports went.
    alone = kind == "check"
    facts = os.open(os.devnull, os.O_WRONLY) if alone else int(answers)
    source = os.open(orders, os.O_RDONLY) if alone else int(orders)

    def attempt(name: str, seconds: float) -> dict[str, object]:
        tell(facts, {"importing": name, "output_from": os.fstat(1).st_size})
        outcome = import_one(name, seconds, int(trace))
        tell(facts, outcome)
        return outcome

    went = {name: attempt(name, float(seconds)) for name, _, seconds in (word.rpartition("=") for word in names)}
    tell(facts, {"ready": True})
    order = b""
    while not order.endswith(b"\n"):
        piece = os.read(source, 1 << 20)
        if not piece:
            os._exit(0)
        order += piece
    as_the_job = list(sys.path)
    put_tools_first(root)
    sys.dont_write_bytecode = cached
    aside = set_aside(root)
    lend(lent)
    from preflight.worker.process import serve

    serve(order, int(answers), as_the_job, went, attempt, aside)


if __name__ == "__main__":
    main()
