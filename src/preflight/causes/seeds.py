"""What is said of a program that does not do the same twice under one seed: what it depends on, and where."""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from preflight.causes.divergences import explain_divergence
from preflight.config import Seeds
from preflight.model import Finding
from preflight.phrases import in_a_row, shown
from preflight.rehearsal.comparison import Comparison, Guilty
from preflight.rehearsal.divergence import Divergence
from preflight.rehearsal.evidence import Difference
from preflight.words import error, warning

_MOST_PLACES = 20
# What a source is called, what is wrong with it, and the remedy.
_WORDS: dict[str, tuple[str, str, str]] = {
    "random": (
        "seeds.unseeded",
        "Python's global generator is used and never seeded",
        "Seed it at the start of the program:\n    random.seed(seed)",
    ),
    "numpy": (
        "seeds.unseeded",
        "numpy's global generator is used and never seeded",
        "Seed it at the start of the program:\n    np.random.seed(seed)",
    ),
    "torch": (
        "seeds.unseeded",
        "torch's global generator is used and never seeded",
        "Seed it at the start of the program:\n    torch.manual_seed(seed)",
    ),
    "entropy": (
        "seeds.unseeded",
        "fresh entropy of the system decides what is computed",
        "Give the generator the seed:\n    rng = np.random.default_rng(seed)\n    rng = random.Random(seed)",
    ),
    "hash": (
        "seeds.hash-order",
        "the order of a set, or a hash, decides what is computed, and is another in each process",
        "Sort what comes out of the set, or fix the seed of hashes:\n    export PYTHONHASHSEED=0",
    ),
    "names": (
        "seeds.name-order",
        "the order in which the file system lists names decides what is computed",
        "Sort the names:\n    names = sorted(os.listdir(folder))",
    ),
    "completion": (
        "seeds.completion-order",
        "the order in which parallel work ends decides what is computed",
        "Take the results in the order in which they were asked for:\n    results = executor.map(function, items)",
    ),
    "time": (
        "seeds.time",
        "the time of day decides what is computed",
        "Take the seed in place of the time",
    ),
    "memory": (
        "seeds.uninitialised",
        "memory that nobody has filled decides what is computed",
        "Fill it before it is used:\n    np.zeros(shape)\n    torch.zeros(shape)",
    ),
}
_SEEDING = ("seed", "rng", "generator")


def explain_differences(
    found: Comparison, seeds: Seeds, subject: str, divergence: Divergence | None = None
) -> Iterator[Finding]:
    """Yield one finding for each source that `subject` (the step, or the command) depends on.

    Where there is none that is known, `divergence` says at which operation two runs part.
    """
    if found.difference is None:
        return
    for guilty in found.guilty:
        yield _of_threads(guilty) if guilty.source == "threads" else _of_source(guilty, seeds)
    if not found.guilty:
        unknown = _of_nothing_known(found, found.difference, seeds, subject)
        yield _with_operation(unknown, divergence) if divergence else unknown


def explain_no_effect(found: Comparison, seeds: Seeds, subject: str) -> Iterator[Finding]:
    """Yield a finding where another seed changes nothing."""
    if found.has_effect is not False or found.difference is not None or not found.evidence.is_telling:
        return
    counts = {f"{name}s compared": count for name, count in found.evidence.counts().items()}
    yield error(
        f"{subject} does the same under the seeds {seeds.value} and {seeds.value + 1}",
        id="seeds.no-effect",
        cause="the seed does not reach the generators that are drawn from",
        fix="Seed the generators with the seed of the config",
        evidence={**counts, "lines compared": len(found.evidence.lines)},
        **_at(seeds),
    )


def describe(difference: Difference) -> str:
    """Return in words what differs between two runs."""
    if difference.what == "exit code":
        return f"one run ends with {difference.one}, the other with {difference.other}"
    if difference.what == "line":
        return f"one run tells {difference.one}, the other {difference.other}"
    what = {"saved": "what is saved"}.get(difference.what, difference.what)
    name = what if what.startswith("value") else f"{what} no. {difference.number}"
    if difference.one == difference.other:
        return f"{name} has other bits: {difference.one}"
    return f"{name} is {difference.one} in one run, {difference.other} in the other"


def _of_source(guilty: Guilty, seeds: Seeds) -> Finding:
    name, claim, fix = _WORDS[guilty.source]
    places = list(_places(guilty))
    where = f": {_told(places[0])}" if places else ""
    more = _at(seeds)
    if places:
        more = {"file": str(places[0]["file"]), "line": int(places[0]["line"])}
    evidence: dict[str, Any] = {"difference": describe(guilty.difference)}
    if places:
        evidence["places"] = [_told(place) for place in places[:_MOST_PLACES]]
    return error(
        f"{claim}{where}",
        id=name,
        found=guilty.difference.other,
        wanted=guilty.difference.one,
        cause=f"two runs under the seed {seeds.value} differ where only this is another: {describe(guilty.difference)}",
        fix=fix,
        evidence=evidence,
        **more,
    )


def _of_threads(guilty: Guilty) -> Finding:
    place = next(iter(_places(guilty)))
    return warning(
        f"the number of threads decides what is computed: {_told(place)}",
        id="seeds.threads",
        found=guilty.difference.other,
        wanted=guilty.difference.one,
        cause="work is divided among threads, and sums of parts round in another way for each division",
        fix="Have the job use one number of threads everywhere:\n    export OMP_NUM_THREADS=1",
        evidence={"difference": describe(guilty.difference)},
        file=place["file"],
        line=place["line"],
    )


def _places(guilty: Guilty) -> Iterable[Mapping[str, Any]]:
    """Return the places at which the code meets the source, those that speak of a seed first."""
    if guilty.unordered:
        return [{"file": each.file, "line": each.line, "code": each.code} for each in guilty.unordered]
    unique = {(each["place"]["file"], each["place"]["line"]): each["place"] for each in guilty.events}
    places = [{**place, "code": _code(place)} for place in unique.values()]
    if guilty.source == "names":
        return [each for each in places if "sorted(" not in each["code"]] or places
    if guilty.source in ("time", "entropy"):
        return sorted(places, key=lambda each: not any(word in each["code"].lower() for word in _SEEDING))
    return places


def _code(place: Mapping[str, Any]) -> str:
    return linecache.getline(place["file"], place["line"]).strip()[:80]


def _told(place: Mapping[str, Any]) -> str:
    code = place.get("code", "")
    where = f"{shown(place['file'])}:{place['line']}"
    return f"`{code}` at {where}" if code else where


def _of_nothing_known(found: Comparison, difference: Difference, seeds: Seeds, subject: str) -> Finding:
    at = f" at {shown(difference.place['file'])}:{difference.place['line']}" if difference.place else ""
    cause = "something in it depends on neither the seed nor any source that can be set: threads that race, or the GPU"
    if found.is_out_of_time:
        cause = "which source decides could not be found out within the time: give `seeds.deadline` more"
    elif not found.is_unsettled:
        cause = f"several sources decide together: {in_a_row(found.tried, most=9)}"
    return error(
        f"{subject} gives two results under the seed {seeds.value}{at}: {describe(difference)}",
        id="seeds.differ",
        found=difference.other,
        wanted=difference.one,
        cause=cause,
        fix="Derive all randomness from the seed, and take results in a fixed order",
        evidence={"moved": list(found.tried)},
        **(_place_of(difference) or _at(seeds)),
    )


def _with_operation(finding: Finding, divergence: Divergence) -> Finding:
    """Add where two traced runs part; what is known of that operation is the better cause."""
    why = explain_divergence(divergence)
    place: dict[str, Any] = {"file": divergence.file, "line": divergence.line} if divergence.file else {}
    return replace(
        finding,
        cause=f"{why.what}; {why.cause}" if why.cause else f"{why.what}; {finding.cause}",
        fix=why.fix or finding.fix,
        evidence={**finding.evidence, "operation": divergence.operation, "module": divergence.module},
        **place,
    )


def _place_of(difference: Difference) -> dict[str, Any]:
    return {name: difference.place[name] for name in ("file", "line")} if difference.place else {}


def _at(seeds: Seeds) -> dict[str, Any]:
    return {"file": seeds.at.file, "line": seeds.at.line}
