"""From the specification to the report: into namespaces of its own (namespaces(7)), the view, the program, its end.

The first process of a namespace takes all others with it when it ends, however they were started.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal

from preflight.rehearsal.keeper import calls
from preflight.rehearsal.keeper.layers import Layers
from preflight.rehearsal.keeper.processes import Processes
from preflight.rehearsal.keeper.watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Say = Callable[..., None]


# What a person or a terminal sends is preflight's to answer: it ends this process then.
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start(specification: dict[str, Any]) -> int:
    """Start the program and return its process id; raises OSError where there is no such program."""
    failed, failing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(failing)
        with open(failed, "rb") as stream:
            text = stream.read()
        if text:
            os.waitpid(pid, 0)
            raise OSError(*json.loads(text))
        return pid
    try:
        os.setsid()
        for number in (*IGNORED, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        os.chdir(specification["folder"])
        words = specification["words"]
        os.execvp(words[0], words)  # noqa: S606 - the words are the user's own
    except OSError as problem:
        os.write(failing, json.dumps([problem.errno, problem.strerror]).encode())
    finally:
        os._exit(127)


def serve(specification: dict[str, Any], say: Say, *, alone: bool, users: bool) -> None:
    """Make the view and live with the program in it; `say` reports."""
    view = specification["view"]
    room = -1
    if view:
        made = Layers(view["folder"], privileged=not users)
        calls.mount(None, "/", flags=calls.SLAVE | calls.RECURSIVE)
        room = os.open(view["folder"], os.O_PATH)
        os.makedirs(made.root, exist_ok=True)
        made.make(view["mounts"], view["keep"])
        if alone:
            calls.mount("proc", made.at("/proc"), "proc", 14)
        for path, text in view["files"].items():
            with open(made.at(path), "w", encoding="utf-8") as file:
                file.write(text)
        calls.change_root(made.root)
        say(layers=made.layers, sealed=made.sealed)
    if alone:
        with contextlib.suppress(OSError), open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as file:
            file.write(str(specification["first_pid"]))
    processes = Processes(alone)
    try:
        pid = start(specification)
    except OSError as problem:
        say(missing=specification["words"][0], why=problem.strerror)
        return
    say(**Watch(specification, processes, room).until_end(pid))
    if not alone:
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        processes.kill()


def keep(specification: dict[str, Any], say: Say) -> None:
    """Go into the namespaces, and in them be the first process."""
    calls.adopt_orphans()
    view, alone, users = specification["view"], specification["alone"], False
    if view:
        users = os.geteuid() != 0
        try:
            calls.separate(users, alone)
        except OSError:
            if users:
                raise
            users = True
            calls.separate(users, alone)
    if not (view and alone):
        serve(specification, say, alone=False, users=users)
        return
    pid = os.fork()
    if pid:
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        os.waitpid(pid, 0)
        return
    calls.die_with_parent(signal.SIGKILL)
    try:
        serve(specification, say, alone=True, users=users)
    except OSError as problem:
        say(unable=problem.strerror)
    finally:
        os._exit(0)


def main(source: int, report: int) -> None:
    """Read the specification, do it, report."""
    calls.die_with_parent(signal.SIGKILL)
    with open(source, encoding="utf-8") as file:
        specification = json.load(file)
    os.set_inheritable(report, False)

    def say(**facts: Any) -> None:
        os.write(report, json.dumps(facts).encode() + b"\n")

    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    try:
        keep(specification, say)
    except OSError as problem:
        say(unable=problem.strerror)
