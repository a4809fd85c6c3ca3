"""The seed: whether it decides what the experiment computes."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from preflight import ChildFailed, Finding, check, error
from preflight.causes.seeds import explain_differences, explain_no_effect
from preflight.causes.streams import explain_streams
from preflight.config import Config, Rehearsal, Seeds
from preflight.phrases import in_a_row, signal_name
from preflight.rehearsal.command import Command
from preflight.rehearsal.comparison import Comparison, compare
from preflight.rehearsal.repeats import CALL, Repeats
from preflight.rehearsal.reseeding import read_seeded, reseed
from preflight.rehearsal.view import ViewRefused
from preflight.system.steps import GENERATORS, call_step
from preflight.system.values import Fingerprint, Leaf, differing

# Six more calls find the generator to blame: not where the first three took more seconds than this.
PATIENCE = 15.0
# How often a program may run, one after the other, until it is known what it depends on.
RUNS = 8
# Bytes that a process which calls a step is taken to need.
MEMORY = 2 << 30
# What is watched in these runs: modules of `preflight.rehearsal.inside`.
FEATURES = ("failures", "loaders", "frameworks", "streams", "evidence")


@check(when="seeds.step", needs="*")
def check_same_seed_gives_same_bits(config: Config, fresh: Callable[..., Any]) -> Iterator[Finding]:
    """The step repeats itself bit by bit under one seed, and does something else under another one.

    `seeds.step` is called as `step(seed)` in fresh processes: twice with `seeds.value` and once with the next number.
    What it returns (numbers, text, arrays, tensors, in dicts, lists and dataclasses) is compared bit by bit. Before
    each call the global generators of random, numpy and torch are put into a state that is never the same.

        seeds.differ       one seed gave two results: something draws from a generator that the seed does not set
        seeds.no-effect    another seed changes nothing: the step does not use it
        seeds.no-step      the step cannot be found or called
        seeds.raises       the step raises an exception, or its process dies
        seeds.nothing      the step returns nothing that could be compared
    """
    seeds = config.seeds or Seeds()
    began, results = time.monotonic(), []
    for seed in (seeds.value, seeds.value, seeds.value + 1):
        result = _call(fresh, seeds, seed)
        if isinstance(result, Finding):
            yield result
            return
        results.append(result)
    one, two, other = results
    if unclear := _incomparable(one):
        yield _nothing(seeds, unclear, one)
    elif paths := differing(one, two):
        blamed = _unseeded(fresh, seeds) if time.monotonic() - began < PATIENCE else ""
        yield _differ(seeds, paths, one, two, blamed)
    elif not differing(one, other):
        yield error(
            f"{seeds.step} returns the same under the seeds {seeds.value} and {seeds.value + 1}",
            id="seeds.no-effect",
            cause="the step does not use its seed, or returns nothing that depends on it",
            fix="Seed the generators with the argument of the step, and return what they decide",
            evidence={path: leaf.shown for path, leaf in list(one.items())[:10]},
            file=seeds.at.file,
            line=seeds.at.line,
        )


@check(when="seeds.command", runs=RUNS)
def check_program_repeats_itself(config: Config, scratch: Path) -> Iterator[Finding]:
    """The whole program does the same under one seed whatever else differs, and something else under another one.

    `seeds.command` runs short, as a rehearsal does: as it is, in a world in which every source of randomness that a
    seed must govern is another, and under another seed. The next seed stands in place of `{seed}` in the command, of an
    argument that is the seed, or of the seed in the config file. The batches that data loaders hand out, losses, the
    parameters after each step of an optimizer, and what is saved are compared bit by bit; beside them what is
    printed and written as text, without times, places and progress. Where runs differ, one source at a time is
    another, until it is known which one decides.

        seeds.unseeded        a generator is used that nobody has seeded
        seeds.hash-order      the order of a set, or a hash of text
        seeds.name-order      the order in which the file system lists names
        seeds.time            the time of day
        seeds.uninitialised   memory that nobody has filled
        seeds.threads         only the number of threads: the last bits of sums are others
        seeds.differ          two runs differ, and none of these is to blame
        seeds.no-effect       another seed changes nothing
        seeds.raises          the program fails
        seeds.workers-repeat  workers of a data loader draw the same random numbers
    """
    seeds, rehearsal = config.seeds or Seeds(), config.rehearsal or Rehearsal()
    file = (str(Path(config.source).absolute()), config.text) if config.source else None
    repeats = _repeats(config, scratch, read_seeded(seeds.command, seeds.value), FEATURES)
    repeats.settings = {"loaders": {"batches": rehearsal.batches}}
    repeats.reseeded = reseed(seeds.command, seeds.value, file)
    found = _compare(repeats)
    subject = f"`{seeds.command}`"
    if found.first.code not in (0, None):
        yield _fails(found, seeds, subject)
        return
    if repeats.reseeded is None:
        repeats.told("no other seed was tried: write {seed} in the command where it takes its seed")
    yield from explain_streams(found.first.events)
    yield from explain_differences(found, seeds, subject)
    yield from explain_no_effect(found, seeds, subject)


@check(when="seeds.step", runs=RUNS)
def check_step_repeats_itself_elsewhere(config: Config, scratch: Path) -> Iterator[Finding]:
    """The step does the same in a process in which everything that its seed must govern is another.

    Orders of names and hashes, the time of day, entropy, uninitialised memory, threads: see the page of
    seeds.program-repeats-itself, whose findings this check has.
    """
    seeds = config.seeds or Seeds()
    command = Command(words=(sys.executable, str(CALL), seeds.step, str(seeds.value)))
    repeats = _repeats(config, scratch, command, ("returned",))
    repeats.memory = MEMORY
    found = _compare(repeats)
    if found.first.code == 0:
        yield from explain_differences(found, seeds, seeds.step)


def _repeats(config: Config, scratch: Path, command: Command, features: Sequence[str]) -> Repeats:
    rehearsal, began = config.rehearsal or Rehearsal(), time.monotonic()
    return Repeats(
        command=command,
        root=config.root.absolute(),
        folder=scratch,
        seconds=rehearsal.time,
        until=began + ((config.seeds and config.seeds.deadline) or RUNS * rehearsal.time) * 0.9,
        features=features,
        in_place=rehearsal.in_place,
    )


def _compare(repeats: Repeats) -> Comparison:
    try:
        return compare(repeats, masked=[str(repeats.folder)])
    except ViewRefused as problem:
        pytest.skip(f"{problem}: set `rehearsal.in_place`, and the program writes into the real folders")


def _fails(found: Comparison, seeds: Seeds, subject: str) -> Finding:
    first, code = found.first, found.first.code or 0
    raised = next(reversed(first.of("raised")), None)
    last = next((line for line in reversed(first.output.splitlines()) if line.strip()), "")
    said = f"{raised['type']}: {raised['text']}".partition("\n")[0] if raised else last.strip()
    ending = f"is ended by {signal_name(-code)}" if code < 0 else f"ends with exit code {code}"
    at = {"file": seeds.at.file, "line": seeds.at.line}
    if raised and raised["place"]:
        at = {"file": raised["place"]["file"], "line": raised["place"]["line"]}
    return error(
        f"{subject} {ending}" + (f": {said}" if said else ""),
        id="seeds.raises",
        fix="Make the program run to its end first",
        evidence={"output": first.output[-4000:]},
        **at,
    )


def _call(fresh: Callable[..., Any], seeds: Seeds, seed: int, settled: tuple[str, ...] = ()) -> Fingerprint | Finding:
    at = {"file": seeds.at.file, "line": seeds.at.line}
    try:
        facts = fresh(call_step, seeds.step, seed, settled)
    except ChildFailed as problem:
        first, _, rest = str(problem).partition("\n")
        return error(f"{seeds.step} gives no answer: {first}", id="seeds.raises", evidence={"stack": rest}, **at)
    if "failed" not in facts:
        return {path: Leaf(**leaf) for path, leaf in facts["leaves"].items()}
    if "file" in facts:
        at = {"file": facts["file"], "line": facts["line"]}
    if facts["failed"] == "raise":
        fix = "Make the step run by itself: it gets the seed and nothing else"
        return error(f"{seeds.step} raises {facts['text']}", id="seeds.raises", fix=fix, **at)
    said = {"import": "cannot be imported", "find": "is not there", "call": "cannot be called with a seed alone"}
    return error(
        f"{seeds.step} {said[facts['failed']]}: {facts['text']}",
        id="seeds.no-step",
        fix="Correct `seeds.step`, which is `module:function`, or the function, which takes a seed",
        **at,
    )


def _incomparable(leaves: Fingerprint) -> list[str]:
    """Return the paths of what has no bits to compare; the value itself where it holds nothing at all."""
    if all(leaf.shown == "None" or leaf.shown.endswith(" of 0") for leaf in leaves.values()):
        return [""]
    return [path for path, leaf in leaves.items() if not leaf.comparable]


def _nothing(seeds: Seeds, paths: list[str], leaves: Fingerprint) -> Finding:
    where = f" at {paths[0]}" if paths[0] else ""
    return error(
        f"{seeds.step} returns {leaves[paths[0]].shown}{where}, which cannot be compared",
        id="seeds.nothing",
        fix="Return what the step computed, as numbers, text, arrays or tensors: the loss, the weights, the batch",
        file=seeds.at.file,
        line=seeds.at.line,
    )


def _differ(seeds: Seeds, paths: list[str], one: Fingerprint, two: Fingerprint, blamed: str) -> Finding:
    first, again = (leaves[paths[0]].shown if paths[0] in leaves else "nothing" for leaves in (one, two))
    fix = "Derive all randomness from the seed, and sort what comes in no fixed order"
    if blamed:
        fix = f"Seed it in the step:\n    {blamed}.{GENERATORS[blamed]}(seed)"
    named = in_a_row([path or "its value" for path in paths])
    return error(
        f"{seeds.step} gives two results under the seed {seeds.value}: {named} differ",
        id="seeds.differ",
        found=again if again != first else f"{again}, other bits",
        wanted=first,
        cause=f"it draws from {blamed}, which is not seeded"
        if blamed
        else "something in it does not depend on the seed",
        fix=fix,
        evidence={"differing": paths[:50]},
        file=seeds.at.file,
        line=seeds.at.line,
    )


def _unseeded(fresh: Callable[..., Any], seeds: Seeds) -> str:
    """Return the generator that makes the difference: once it begins in one state, the step repeats itself."""
    for name in GENERATORS:
        one, two = (_call(fresh, seeds, seeds.value, (name,)) for _ in range(2))
        if not isinstance(one, Finding) and not isinstance(two, Finding) and not differing(one, two):
            return name
    return ""
