"""The seed: whether it decides what the experiment computes.

See it by hand:

    preflight seeds --config foo.yaml
    python train.py > 1.txt; python train.py > 2.txt; cmp 1.txt 2.txt

Mend it:

    Seed the generator, or fix the order, at the line that the finding names.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preflight import ChildFailed, Finding, check, error
from preflight.causes.rehearsals import why
from preflight.causes.seeds import explain_differences, explain_no_effect
from preflight.causes.streams import explain_streams
from preflight.config import Config, Rehearsal, Seeds
from preflight.phrases import signal_name
from preflight.rehearsal.command import Command
from preflight.rehearsal.comparison import Comparison, compare
from preflight.rehearsal.divergence import Divergence
from preflight.rehearsal.divergence import first as first_divergence
from preflight.rehearsal.doubt import places_to_show_whole
from preflight.rehearsal.forks import Forks
from preflight.rehearsal.program import Rehearsed
from preflight.rehearsal.repeats import CALL, Repeats
from preflight.rehearsal.reseeding import Reseeded, read_seeded, reseed
from preflight.rehearsal.view import ViewRefused
from preflight.system.unordered import find_at_import, find_unordered

# What a step returned: facts of each leaf, by its path.
Leaves = Mapping[str, Mapping[str, Any]]
# How often a program may run, one after the other, until it is known what it depends on.
RUNS = 8
# Bytes that a process which calls a step is taken to need.
MEMORY = 2 << 30
# What is watched in these runs: modules of `preflight.rehearsal.inside`.
FEATURES = ("offline", "failures", "loaders", "streams", "evidence")


@check(when="seeds.step", needs="*", runs=1)
def check_same_seed_gives_same_bits(config: Config, fresh: Callable[..., Any], scratch: Path) -> Iterator[Finding]:
    """The step repeats itself bit by bit under one seed, and does something else under another one.

    `seeds.step` is called as `step(seed)` in fresh processes: twice with `seeds.value`, the second time in a world in
    which every source of randomness that a seed must govern is another, and once with the next number. What it returns
    (numbers, text, arrays, tensors, in dicts, lists and dataclasses) is compared bit by bit. Where two calls differ,
    one source at a time is another, until it is known which one decides. The findings are those of
    seeds.program-repeats-itself, and

        seeds.no-step      the step cannot be found or called
        seeds.raises       the step raises an exception, or its process dies
        seeds.nothing      the step returns nothing that could be compared
    """
    seeds = config.seeds or Seeds()
    # Nothing runs this command: forks call the step.
    command = Command(words=(sys.executable, str(CALL), seeds.step, str(seeds.value)))
    reseeded = Reseeded(command=command, seed=seeds.value + 1)
    forks = Forks(**_terms(config, scratch, command), fresh=fresh, step=seeds.step, seed=seeds.value, reseeded=reseeded)
    try:
        found = compare(forks)
    except ChildFailed as problem:
        yield _no_answer(seeds, problem)
        return
    first = forks.facts[0]
    if "failed" in first:
        yield _uncalled(seeds, first)
    elif unclear := _incomparable(first["leaves"]):
        yield _nothing(seeds, unclear, first["leaves"])
    else:
        if found.difference is None and _depends_on_its_process(found):
            found = _elsewhere(config, scratch, command) or found
        yield from explain_differences(found, seeds, seeds.step)
        yield from explain_no_effect(found, seeds, seeds.step)


def _depends_on_its_process(found: Comparison) -> bool:
    """Tell whether the project's code does what no two forks of one process do in different ways."""
    files = [Path(file) for event in found.first.of("sources") for file in event["files"]]
    return any(find_unordered(file) or find_at_import(file) for file in files)


def _elsewhere(config: Config, scratch: Path, command: Command) -> Comparison | None:
    """Compare two processes that import the step anew; None where they do not come to its end."""
    repeats = Repeats(**_terms(config, scratch, command), features=("returned",), memory=MEMORY)
    try:
        found = compare(repeats)
    except ViewRefused:
        return None
    return found if found.first.code == 0 else None


@check(when="seeds.command", runs=RUNS)
def check_program_repeats_itself(config: Config, scratch: Path) -> Iterator[Finding]:
    """The whole program does the same under one seed whatever else differs, and something else under another one.

    `seeds.command` runs short, as a rehearsal does: as it is, in a world in which every source of randomness that a
    seed must govern is another, and under another seed. The next seed stands in place of `{seed}` in the command, of an
    argument that is the seed, or of the seed in the config file. The batches that data loaders hand out, losses, the
    parameters after each step of an optimizer, and what is saved are compared bit by bit; beside them what is
    printed and written as text, without times, places and progress. Where runs differ, one source at a time is
    another, until it is known which one decides.

        seeds.unseeded          a generator is used that nobody has seeded
        seeds.hash-order        the order of a set, or a hash of text
        seeds.name-order        the order in which the file system lists names
        seeds.completion-order  the order in which parallel work ends
        seeds.time              the time of day
        seeds.uninitialised     memory that nobody has filled
        seeds.threads           only the number of threads: the last bits of sums are others
        seeds.differ            two runs differ, and none of these is to blame
        seeds.no-effect         another seed changes nothing
        seeds.raises            the program fails
        seeds.workers-repeat    workers of a data loader draw the same random numbers
    """
    seeds, rehearsal = config.seeds or Seeds(), config.rehearsal or Rehearsal()
    file = (os.path.join(config.root.absolute(), config.source), config.text) if config.source else None
    repeats = Repeats(
        **_terms(config, scratch, read_seeded(seeds.command, seeds.value)),
        features=FEATURES,
        settings={"loaders": {"batches": rehearsal.batches}},
        reseeded=reseed(seeds.command, seeds.value, file),
    )
    found = _compare(repeats)
    if whole := places_to_show_whole(found.first, repeats.seconds):
        repeats.settings = {"loaders": {"batches": rehearsal.batches, "whole": whole}}
        found = _compare(repeats)
    subject = f"`{seeds.command}`"
    if found.first.code not in (0, None):
        yield _fails(config, found, seeds, subject)
        return
    if found.is_out_of_time and not found.guilty and found.difference is None:
        pytest.skip("a run in another world did not end in time: give `rehearsal.time` and `seeds.deadline` more")
    if repeats.reseeded is None:
        repeats.told("no other seed was tried: write {seed} in the command where it takes its seed")
    yield from explain_streams(found.first.events)
    yield from explain_differences(found, seeds, subject, _divergence(repeats, found))
    yield from explain_no_effect(found, seeds, subject)


@check(when="rehearsal", runs=2)
def check_workers_draw_numbers_of_their_own(config: Config, rehearsed: Rehearsed) -> Iterator[Finding]:
    """Workers of data loaders do not draw the same random numbers as each other, nor again in each epoch.

    It is seen in the program of `rehearsal:`; where `seeds.command` is given, in the runs of that.

        seeds.workers-repeat    workers, or epochs, draw the same numbers from a generator
    """
    if not (config.seeds and config.seeds.command):
        yield from explain_streams(rehearsed.events)


def _terms(config: Config, scratch: Path, command: Command) -> dict[str, Any]:
    """Return how often and where runs may be made."""
    rehearsal, seeds = config.rehearsal or Rehearsal(), config.seeds or Seeds()
    return {
        "command": command,
        "root": config.root.absolute(),
        "folder": scratch,
        "seconds": rehearsal.time,
        "until": time.monotonic() + (seeds.deadline or RUNS * rehearsal.time) * 0.9,
        "in_place": rehearsal.in_place,
    }


def _compare(repeats: Repeats) -> Comparison:
    try:
        return compare(repeats, masked=[str(repeats.folder)])
    except ViewRefused as problem:
        pytest.skip(f"{problem}: set `rehearsal.in_place`, and the program writes into the real folders")


def _divergence(repeats: Repeats, found: Comparison) -> Divergence | None:
    """Return the operation at which two runs in one and the same world part, where they do."""
    if not found.is_unsettled or found.pinned is None or repeats.is_over:
        return None
    traced = replace(repeats, features=(*repeats.features, "trace"))
    runs = traced.together({"traced": found.pinned, "traced, again": found.pinned})
    return first_divergence(*(run.events for run in runs.values()))


def _fails(config: Config, found: Comparison, seeds: Seeds, subject: str) -> Finding:
    if config.rehearsal and config.rehearsal.command == seeds.command:
        pytest.skip("the program does not come to its end, which the rehearsal tells")
    first, code = found.first, found.first.code or 0
    ending = f"is ended by {signal_name(-code)}" if code < 0 else f"ends with exit code {code}"
    said = why(first)
    if said is not None:
        file, line = (said.file, said.line) if said.file else (seeds.at.file, seeds.at.line)
        return replace(said, id="seeds.raises", message=f"{subject} {ending}: {said.message}", file=file, line=line)
    last = next((line.strip() for line in reversed(first.output.splitlines()) if line.strip()), "")
    return error(
        f"{subject} {ending}" + (f": {last}" if last else ""),
        id="seeds.raises",
        fix="Make the program run to its end first",
        evidence={"output": first.output[-4000:]},
        file=seeds.at.file,
        line=seeds.at.line,
    )


def _no_answer(seeds: Seeds, problem: ChildFailed) -> Finding:
    first, _, rest = str(problem).partition("\n")
    at = {"file": seeds.at.file, "line": seeds.at.line}
    return error(f"{seeds.step} gives no answer: {first}", id="seeds.raises", evidence={"stack": rest}, **at)


def _uncalled(seeds: Seeds, facts: Mapping[str, Any]) -> Finding:
    at = {"file": seeds.at.file, "line": seeds.at.line}
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


def _incomparable(leaves: Leaves) -> list[str]:
    """Return the paths of what has no bits to compare; the value itself where it holds nothing at all."""
    if all(leaf["shown"] == "None" or leaf["shown"].endswith(" of 0") for leaf in leaves.values()):
        return [""]
    return [path for path, leaf in leaves.items() if not leaf["comparable"]]


def _nothing(seeds: Seeds, paths: list[str], leaves: Leaves) -> Finding:
    where = f" at {paths[0]}" if paths[0] else ""
    return error(
        f"{seeds.step} returns {leaves[paths[0]]['shown']}{where}, which cannot be compared",
        id="seeds.nothing",
        fix="Return what the step computed, as numbers, text, arrays or tensors: the loss, the weights, the batch",
        file=seeds.at.file,
        line=seeds.at.line,
    )
