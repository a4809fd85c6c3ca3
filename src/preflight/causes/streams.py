"""What is said of DataLoader workers whose random streams repeat: between workers, or from epoch to epoch."""

from __future__ import annotations

import ast
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from preflight.model import Finding
from preflight.phrases import shown
from preflight.rehearsal.events import Event
from preflight.words import error

Key = tuple[str, str]
# Number of the fetch, and the states of the generator before and after it.
Draw = tuple[int, str, str]

_GLOBALS = {
    "random": r"random\.(?!Random|seed)\w+",
    "numpy.random": r"(np|numpy)\.random\.(?!seed|default_rng|RandomState|Generator)\w+",
    "torch": r"torch\.(rand|normal|bernoulli|multinomial|poisson)\w*",
}
_RESEED = {
    "random": "random.seed(seed)",
    "numpy.random": "np.random.seed(seed % 2**32)",
    "torch": "torch.manual_seed(seed)",
}
_MADE = {
    "numpy.random.Generator": "np.random.default_rng(seed)",
    "numpy.random.RandomState": "np.random.RandomState(seed % 2**32)",
    "random.Random": "random.Random(seed)",
    "torch.Generator": "torch.Generator().manual_seed(seed)",
}


@dataclass(slots=True)
class _Pass:
    """One pass over a loader with workers: what each worker drew, by generator, and whether it is one to learn from."""

    event: Event
    trained: bool
    draws: dict[Key, dict[int, list[Draw]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    samples: dict[Key, tuple[Event, Event]] = field(default_factory=dict)
    seeds: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Repeat:
    """A generator that repeats: one fetch that drew from it, in how many workers at once, and in how many epochs."""

    begun: Event
    stream: Event
    generator: Event
    workers: int = 1
    epochs: int = 1
    same_seed: bool = False


def explain_streams(events: Sequence[Event]) -> Iterator[Finding]:
    """Yield one finding for each generator from which DataLoader workers were seen to draw the same twice.

    `events` are those of the feature `streams`. Loaders that are not learned from are passed over, since an
    evaluation may want the same numbers each time.
    """
    passes = _passes_of(events)
    anything_trains = any(each.trained for each in passes)
    loaders: dict[tuple[object, ...], list[_Pass]] = defaultdict(list)
    for each in passes:
        if each.event["grad"] and (each.trained or not anything_trains):
            place = each.event["place"]
            loaders[place.get("file"), place.get("line"), each.event["dataset"]].append(each)
    named: set[Key] = set()
    for group in loaders.values():
        for key in dict.fromkeys(key for each in group for key in each.draws):
            repeat = _repeat(key, group)
            if key not in named and (repeat.workers > 1 or repeat.epochs > 1):
                named.add(key)
                yield _finding(repeat)


def _passes_of(events: Sequence[Event]) -> list[_Pass]:
    """Return the passes in order, with what their workers drew."""
    trained = {(event["pid"], event["iterator"]) for event in events if event["kind"] == "drawing-trained"}
    passes: list[_Pass] = []
    of: dict[int, list[_Pass]] = defaultdict(list)
    for event in events:
        if event["kind"] == "drawing":
            passes.append(_Pass(event, (event["pid"], event["iterator"]) in trained))
            for pid in event["pids"]:
                of[pid].append(passes[-1])
    for event in events:
        if event["kind"] == "stream" and event["pass"] < len(of[event["pid"]]):
            _add(of[event["pid"]][event["pass"]], event)
    return passes


def _add(here: _Pass, stream: Event) -> None:
    here.seeds.add(stream["seed"] - stream["worker"])
    for generator in stream["generators"]:
        # Each worker of an iterable dataset may have to put the same shards into the same order first.
        if stream["iterable"] and (stream["fetch"] == 1 or not generator["before"]):
            continue
        key = (generator["module"], generator["name"])
        here.samples.setdefault(key, (stream, generator))
        here.draws[key][stream["worker"]].append((stream["fetch"], generator["before"], generator["after"]))


def _repeat(key: Key, group: Sequence[_Pass]) -> _Repeat:
    begun, (stream, generator) = next((each.event, each.samples[key]) for each in group if key in each.samples)
    repeat = _Repeat(begun, stream, generator)
    for each in group:
        sharing = Counter(draw for draws in each.draws[key].values() for draw in draws)
        repeat.workers = max([repeat.workers, *sharing.values()])
    # A generator that is made anew for each sample, or seeded anew, gives each sample its own numbers on purpose.
    lasts = any(before for each in group for draws in each.draws[key].values() for _, before, _ in draws)
    reseeded = repeat.workers == 1 and any(_is_reseeded(each.draws[key]) for each in group)
    if lasts and not reseeded:
        seen: dict[tuple[int, Draw], set[int]] = defaultdict(set)
        for number, each in enumerate(group):
            for worker, draws in each.draws[key].items():
                for draw in draws:
                    seen[worker, draw].add(number)
        again: set[int] = max(seen.values(), key=len, default=set())
        repeat.epochs = max(len(again), 1)
        repeat.same_seed = len(again) > 1 and len(set().union(*(group[number].seeds for number in again))) == 1
    return repeat


def _is_reseeded(workers: Mapping[int, Sequence[Draw]]) -> bool:
    """Tell whether workers began in one state and left it for different ones, as where each sample seeds anew."""
    afters: dict[tuple[int, str], set[str]] = defaultdict(set)
    for draws in workers.values():
        for fetch, before, after in draws:
            if before:
                afters[fetch, before].add(after)
    return any(len(each) > 1 for each in afters.values())


def _finding(repeat: _Repeat) -> Finding:
    stream, generator = repeat.stream, repeat.generator
    name, count = generator["name"], stream["workers"]
    if repeat.workers > 1:
        who = f"all {count}" if repeat.workers >= count else f"{repeat.workers} of {count}"
        message = f"the DataLoader workers repeat each other: {who} draw the same random numbers from {name}"
        message += ", and again in every epoch" if repeat.epochs > 1 else ""
    else:
        message = (
            f"the DataLoader workers repeat themselves: in every epoch they draw the same random numbers from {name}"
        )
    file, line = _place(stream, generator)
    return error(
        message,
        id="seeds.workers-repeat",
        cause=_cause(repeat),
        fix=_fix(repeat),
        evidence={
            "generator": generator["kind"],
            "dataset": stream["dataset"],
            "workers": count,
            "workers that draw the same": repeat.workers,
            "epochs that draw the same": repeat.epochs,
        },
        file=file,
        line=line,
    )


def _cause(repeat: _Repeat) -> str:
    generator = repeat.generator
    name, kind = generator["name"], generator["kind"]
    if repeat.workers == 1 and repeat.same_seed:
        return "workers get their seeds from torch's generator, which is put into the same state before each epoch"
    if name in _GLOBALS:
        alike = "same number in each of them" if repeat.workers > 1 else "number of the worker, which no epoch changes"
        return f"{name} is seeded in the workers with the {alike}"
    if not generator["before"]:
        return f"each worker makes {name} ({kind}) from a seed that " + (
            "is the same in all of them" if repeat.workers > 1 else "no epoch changes"
        )
    if repeat.workers == 1:
        return f"{name} ({kind}) begins each epoch in the same state"
    if repeat.begun["method"].startswith("Fork"):
        what = f"{name} is a {kind} of " + ("a module" if generator["module"] else "the dataset")
        return f"{what}, made in the main process, and each worker begins with a copy of it"
    return f"{name} ({kind}) is made with the same seed in each worker that starts"


def _fix(repeat: _Repeat) -> str:
    generator = repeat.generator
    name, kind = generator["name"], generator["kind"]
    if repeat.workers == 1 and repeat.same_seed:
        return "Seed torch, and the generator of the DataLoader, once: before the first epoch, not in each"
    if name not in _RESEED and (kind not in _MADE or "'s " in name or name.startswith("collate_fn")):
        return f"Seed {name} in each worker with torch.utils.data.get_worker_info().seed, in a worker_init_fn"
    lines = ["def seed_worker(worker_id):"]
    seed = "    seed = torch.utils.data.get_worker_info().seed"
    if name in _RESEED:
        lines += [seed, f"    {_RESEED[name]}"]
    elif generator["module"] and name.isidentifier():
        module = generator["module"]
        if module == "__main__":
            lines += [f"    global {name}", seed, f"    {name} = {_MADE[kind]}"]
        else:
            lines += [f"    import {module}", seed, f"    {module}.{name} = {_MADE[kind]}"]
    else:
        path = name.replace("dataset", "torch.utils.data.get_worker_info().dataset", 1)
        lines += [seed, f"    {path} = {_MADE[kind]}"]
    lines.append("DataLoader(…, worker_init_fn=seed_worker)")
    return "Give each worker a stream of its own, as worker_init_fn:\n" + "\n".join(f"    {line}" for line in lines)


def _place(stream: Event, generator: Event) -> tuple[str, int]:
    """Return where it is drawn from the generator, as far as the code tells; else where a sample is made."""
    place = stream["place"]
    file, start = generator["file"] or place.get("file", ""), 0
    if not file:
        return "", 0
    last = re.split(r"[.\[]", generator["name"])[-1]
    pattern = _GLOBALS.get(generator["name"]) or rf"(.+\.)?{re.escape(last)}\.\w+"
    if file == place.get("file"):
        start = place["line"]
    line = _line_of(file, pattern, start)
    return (shown(file), line) if line else (shown(place.get("file", file)), place.get("line", 1))


def _line_of(file: str, pattern: str, start: int) -> int:
    """Return the line of the first call of such a function, or with such a `generator=`, rather one from `start` on."""
    try:
        with open(os.fspath(file), "rb") as stream:
            tree = ast.parse(stream.read())
    except (OSError, SyntaxError, ValueError):
        return 0
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    said = [(node.lineno, ast.unparse(node.func)) for node in calls]
    said += [(node.lineno, ast.unparse(word.value) + ".draw") for node in calls for word in node.keywords]
    lines = sorted(line for line, text in said if re.fullmatch(pattern, text))
    return next((line for line in lines if line >= start), lines[0] if lines else 0)
