"""The seed: whether it decides what the experiment computes."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from preflight import ChildFailed, Finding, check, error
from preflight.config import Config, Seeds
from preflight.phrases import in_a_row
from preflight.system.steps import GENERATORS, call_step
from preflight.system.values import Fingerprint, Leaf, differing

# Six more calls find the generator to blame: not where the first three took more seconds than this.
PATIENCE = 15.0


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
