"""The one run of the program that several checks judge: the first that asks has it made, the others read it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from preflight import writing
from preflight.config import Config, Rehearsal
from preflight.rehearsal.command import Command, read_command
from preflight.rehearsal.doubt import places_to_show_whole
from preflight.rehearsal.elsewhere import led_elsewhere
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import Rehearsed, Way, rehearse
from preflight.rehearsal.view import View, ViewRefused, opened

# What is watched in it: modules of `preflight.rehearsal.inside`.
FEATURES = ("offline", "failures", "loaders", "meters", "modes", "streams", "learning", "schedules")
# What only a view answers, and no real folder of the user's: a copy of what belongs to somebody else, a move between
# two layers.
_LIMITS = ("Value too large for defined data type", "Invalid cross-device link")
# What starts a program outside of its own processes, on this machine or another.
_ELSEWHERE = {"srun", "sbatch", "salloc", "qsub", "bsub", "flux", "ssh", "docker", "podman", "kubectl", "sky"}


def question_run(config: Config, folder: Path, asked: Sequence[str]) -> Rehearsed:
    """Return what the command of `rehearsal:` does in a run of its own, in which `asked` questions are answered."""
    features = ("offline", "failures", *(() if "overfit" in asked else ("loaders",)), "questions")
    return standard_run(config, folder, features, {"questions": {"ask": list(asked)}})


def standard_run(
    config: Config, folder: Path, features: Sequence[str] = FEATURES, settings: Mapping[str, Any] | None = None
) -> Rehearsed:
    """Return what the command of `rehearsal:` does; processes that share `folder` share one run.

    `features` are what is watched in it, and `settings` what they are told besides. Raises ViewRefused where its
    writes can be kept from the user's folders in no way, and need to be.
    """
    section = config.rehearsal or Rehearsal()
    told_to = {"loaders": {"batches": section.batches}, **(settings or {})}
    orders = Orders(root=config.root, answers=folder, features=features, settings=told_to)
    folder.mkdir(exist_ok=True)
    told = folder / "rehearsed.json"
    with open(folder / "lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            try:
                done = _run(config, folder, orders).to_json()
            except ViewRefused as problem:
                done = {"refused": str(problem)}
            writing.replace({told: json.dumps(done).encode("utf-8", "surrogatepass")})
    facts = json.loads(told.read_bytes())
    if "code" not in facts:
        raise ViewRefused(facts["refused"])
    return Rehearsed.from_json(facts)


def _run(config: Config, folder: Path, orders: Orders) -> Rehearsed:
    section = config.rehearsal or Rehearsal()
    command = read_command(section.command)
    places = [config.root, *(config.root / entry.path for entry in config.paths if "write" in entry.access)]
    try:
        with opened(folder, places=places) as view:
            done = _run_and_resume(config, command, orders.at(folder / "in-view"), view)
        return _confirmed(config, command, orders.at(folder / "in-whole"), places, done)
    except ViewRefused as problem:
        elsewhere = led_elsewhere(config, command, folder)
        if elsewhere is None and not section.in_place:
            raise
        way = Way.PATHS if elsewhere else Way.IN_PLACE
        done = _run_and_resume(config, elsewhere or command, orders.at(folder / "outside"), None)
        return replace(done, way=way, refused=str(problem))


def _confirmed(config: Config, command: Command, orders: Orders, places: list[Path], done: Rehearsed) -> Rehearsed:
    """Return the run; where it failed for want of data only, the one that was given more."""
    section = config.rehearsal or Rehearsal()
    whole = places_to_show_whole(done, section.time)
    if not whole:
        return done
    loaders = {**orders.settings["loaders"], "whole": whole}
    orders = replace(orders, settings={**orders.settings, "loaders": loaders})
    with opened(orders.answers.parent, places=places) as view:
        again = _run_and_resume(config, command, orders, view)
    return again if again.code == 0 else done


def _run_and_resume(config: Config, command: Command, orders: Orders, view: View | None) -> Rehearsed:
    if view is not None and os.path.basename(command.words[0]) in _ELSEWHERE:
        raise ViewRefused(f"{command.words[0]} starts the program where no view is: name the program itself")
    section, folder = config.rehearsal or Rehearsal(), orders.answers
    folder.mkdir()
    done = _trusted(rehearse(command, orders.at(folder / "answers"), seconds=section.time, view=view))
    if done.code != 0 or not section.resume or orders.features != FEATURES:
        return done
    orders = orders.at(folder / "resumed")
    resume = read_command(section.resume)
    if view is None and (elsewhere := led_elsewhere(config, resume, folder.parent)):
        resume = elsewhere
    return replace(done, resumed=_trusted(rehearse(resume, orders, seconds=section.time, view=view)))


def _trusted(done: Rehearsed) -> Rehearsed:
    """Return a run whose failure is the program's own; raises ViewRefused where the view may have made it fail."""
    if done.stopped == "full":
        raise ViewRefused("the scratch folder is too small for what the program writes: name a larger one in TMPDIR")
    if done.code and done.way is Way.VIEW:
        for words in _LIMITS:
            if words in done.output:
                raise ViewRefused(f"a layer over the user's folders cannot do what the program does: {words.lower()}")
        for point, why in done.sealed:
            if "Read-only file system" in done.output or point in done.output:
                raise ViewRefused(f"no layer can cover {point}: {why}")
    return done
