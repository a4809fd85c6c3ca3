"""How a process of the program begins: it reads the orders, says that it lives, and installs each feature."""

import importlib
import json
import os
import sys

from preflight.rehearsal.inside import wire


def start(file: str) -> None:
    """Follow the orders in `file`; what fails of ours is told and never reaches the program."""
    try:
        with open(file, encoding="utf-8") as stream:
            orders = json.load(stream)
        wire.open_in(orders["answers"], orders["root"])
        os.register_at_fork(after_in_child=_begin_fork)
        wire.tell("process", argv=list(sys.orig_argv), parent=os.getppid(), how="started")
    except Exception:  # noqa: BLE001 - a program must not die of being watched
        return
    for name in orders["features"]:
        try:
            feature = importlib.import_module(f"preflight.rehearsal.inside.{name}")
            feature.install(orders["settings"].get(name, {}))
        except Exception as problem:  # noqa: BLE001
            wire.tell("unable", feature=name, why=f"{type(problem).__name__}: {problem}")


def _begin_fork() -> None:
    wire.reopen()
    wire.tell("process", argv=list(sys.orig_argv), parent=os.getppid(), how="forked")
