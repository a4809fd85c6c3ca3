"""The one run of the program that several checks judge: the first that asks has it made, the others read it."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

from preflight import writing
from preflight.config import Rehearsal
from preflight.rehearsal.command import read_command
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import Rehearsed, rehearse

# What is watched in it: modules of `preflight.rehearsal.inside`.
FEATURES = ("failures", "loaders", "meters", "modes", "streams")


def standard_run(section: Rehearsal, root: Path, folder: Path) -> Rehearsed:
    """Return what the command of `rehearsal:` does in `root`; processes that share `folder` share one run."""
    folder.mkdir(exist_ok=True)
    told = folder / "rehearsed.json"
    with open(folder / "lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            done = _run(section, root, folder)
            writing.replace({told: json.dumps(done.to_json()).encode("utf-8", "surrogatepass")})
    return Rehearsed.from_json(json.loads(told.read_bytes()))


def _run(section: Rehearsal, root: Path, folder: Path) -> Rehearsed:
    settings = {"loaders": {"batches": section.batches}}
    orders = Orders(root=root, answers=folder / "answers", features=FEATURES, settings=settings)
    return rehearse(read_command(section.command), orders, seconds=section.time)
