"""In what the nodes of a run differ from each other: the odd one out is named against the majority.

See it by hand:

    srun --ntasks-per-node 1 --label python -m pip list
    srun --ntasks-per-node 1 --label nvidia-smi

Mend it:

    Give the node what the others have, or leave it out:
        sbatch --exclude NODE …
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preflight.model import Finding, Place, Presence, Result, Severity, Status
from preflight.nodesets import fold
from preflight.quantities import format_size
from preflight.system.outline import in_words

CHECK = "nodes.are-alike"

# Ranks in different builds of these do not understand each other, or fail far from the cause.
_TALKING = ("torch", "jax", "jaxlib", "tensorflow", "deepspeed", "nvidia-nccl", "mpi4py")
# What is each node's own, so that it tells of no drift.
_OWN = frozenset({"SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES", "TMPDIR"})
_SIZES = frozenset({"ram", "shm", "stack"})
# The share of a limit by which nodes of one kind differ anyway: what the firmware and the kernel keep for themselves.
_NEAR = 0.95
# Seconds. What a node says takes its time to come, on a busy one more than a second; Kerberos allows for minutes.
_APART = 5.0


@dataclass(frozen=True, slots=True)
class _Compared:
    """A fact that nodes are compared in; without a `name` it is a mapping, of which each name is compared."""

    key: str
    kind: str
    severity: Severity
    name: str = ""
    words: Callable[[Any], str] = str


@dataclass(frozen=True, slots=True)
class _Trait:
    """One thing that nodes are compared in: its name in a sentence, its value in words at each node."""

    kind: str
    name: str
    words: Mapping[str, str]
    severity: Severity


def are_alike(places: Sequence[Place]) -> list[Result]:
    """Every node is like the others.

    A job is as good as its oddest node: with another build of torch on one of them a group of ranks hangs or crashes
    far from the cause, and with older code or data on one the result is wrong and nothing tells.

    nodes.packages     a package has another version there, or is missing
    nodes.python       the job's interpreter is another one
    nodes.code         the project is at another commit, or has uncommitted changes only there
    nodes.data         what the config names as data looks different from outside: size, number of files, content
    nodes.mounts       such a path lies on another kind of file system or comes from another server
    nodes.driver       the driver of the GPUs is another one
    nodes.gpus         the GPUs are others, or of another number
    nodes.limits       a limit of processes, files or memory is lower
    nodes.variables    a variable that libraries read has another value
    nodes.kernel       the system or the number of processors is another one
    nodes.clock        the clock is seconds away from that of the others

    By hand: run the command that tells of the value on both nodes, such as `pip list` or `nvidia-smi`, and compare.

    Where more than half of the nodes agree, the others are named, and each of these has the finding. Where no value has
    a majority nobody is blamed: every node has the same finding, which tells who has what. Takes the places with the
    facts in which they differ (`Place.facts`) and returns one result for each that has answered.
    """
    told = {place.name: place.facts for place in places if place.presence is Presence.ANSWERED}
    if len(told) < 2:
        return []
    findings: dict[str, list[Finding]] = {name: [] for name in told}
    for trait in _traits(told):
        for names, finding in _judged(trait):
            for name in names:
                findings[name].append(finding)
    return [_result(name, found) for name, found in findings.items()]


def _result(place: str, findings: Sequence[Finding]) -> Result:
    is_bad = any(each.severity is Severity.ERROR for each in findings)
    return Result(
        check=CHECK,
        title="Every node is like the others.",
        status=Status.FAILED if is_bad else Status.PASSED,
        findings=tuple(findings),
        place=place,
    )


def _judged(trait: _Trait) -> Iterator[tuple[Sequence[str], Finding]]:
    """Yield the nodes that are odd and what is said of them, for each value that is not the usual one."""
    holders: dict[str, list[str]] = {}
    for node, words in trait.words.items():
        holders.setdefault(words, []).append(node)
    if len(holders) < 2:
        return
    usual, count = max(holders, key=lambda words: len(holders[words])), len(trait.words)
    cause, fix = _WORDS[trait.kind]
    if len(holders[usual]) * 2 <= count:
        sides = ", ".join(f"{words} at {fold(nodes)}" for words, nodes in holders.items())
        message = f"{trait.name} is not the same everywhere: {sides}"
        yield (
            list(trait.words),
            Finding(severity=trait.severity, id=f"nodes.{trait.kind}", message=message, cause=cause, fix=fix),
        )
        return
    for words, nodes in holders.items():
        if words != usual:
            yield (
                nodes,
                Finding(
                    severity=trait.severity,
                    id=f"nodes.{trait.kind}",
                    message=f"{trait.name} is {words}, and {usual} at {len(holders[usual]):,} of {count:,} nodes",
                    found=words,
                    wanted=usual,
                    cause=cause,
                    fix=fix,
                ),
            )


def _traits(told: Mapping[str, Mapping[str, Any]]) -> Iterator[_Trait]:
    """Yield what the nodes differ in, in the order of the kinds."""
    for each in _COMPARED:
        yield from _of_a_name(told, each) if each.name else _of_all_names(told, each)
    yield from _limits(told)
    yield from _clocks(told)


def _of_a_name(told: Mapping[str, Mapping[str, Any]], fact: _Compared) -> Iterator[_Trait]:
    """Yield one trait for a fact that differs; of a node that does not tell it nothing is known."""
    words = {node: fact.words(facts[fact.key]) for node, facts in told.items() if fact.key in facts}
    yield _Trait(fact.kind, fact.name, words, fact.severity)


def _of_all_names(told: Mapping[str, Mapping[str, Any]], fact: _Compared) -> Iterator[_Trait]:
    """Yield a trait for each name in a mapping of facts; a node that lacks a name that others have lacks the thing."""
    parts = {node: part for node, facts in told.items() if (part := facts.get(fact.key)) is not None}
    for name in sorted({name for part in parts.values() for name in part} - _OWN):
        words = {node: fact.words(part[name]) if name in part else "missing" for node, part in parts.items()}
        is_talking = fact.kind == "packages" and _is_talking(name)
        yield _Trait(fact.kind, name, words, Severity.ERROR if is_talking else fact.severity)


def _limits(told: Mapping[str, Mapping[str, Any]]) -> Iterator[_Trait]:
    """Yield a trait for each limit that is lower at some nodes than at most; a higher one harms nobody."""
    parts = {node: part for node, facts in told.items() if (part := facts.get("limits")) is not None}
    for name in sorted({name for part in parts.values() for name in part}):
        if not all(name in part for part in parts.values()):
            continue
        values = {node: float("inf") if part[name] < 0 else float(part[name]) for node, part in parts.items()}
        usual = Counter(values.values()).most_common(1)[0][0]
        if usual == min(values.values()):
            usual = sorted(values.values())[len(values) // 2]
        shown = {node: value if value < usual * _NEAR else usual for node, value in values.items()}
        words = {node: _amount(name, value) for node, value in shown.items()}
        yield _Trait("limits", f"the limit {name}", words, Severity.WARNING)


def _clocks(told: Mapping[str, Mapping[str, Any]]) -> Iterator[_Trait]:
    """Yield a trait where clocks are apart; `clock` is how far a node's is ahead of the command's, in seconds."""
    ahead = {node: float(facts["clock"]) for node, facts in told.items() if "clock" in facts}
    if not ahead:
        return
    middle = sorted(ahead.values())[len(ahead) // 2]
    away = {node: value - middle for node, value in ahead.items()}
    yield _Trait("clock", "the clock", {node: _apart(value) for node, value in away.items()}, Severity.WARNING)


def _apart(seconds: float) -> str:
    if abs(seconds) < _APART:
        return "right"
    return f"{abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"


def _amount(name: str, value: float) -> str:
    if value == float("inf"):
        return "without end"
    return format_size(value) if name in _SIZES else f"{value:,.0f}"


def _is_talking(package: str) -> bool:
    name = package.lower().replace("_", "-")
    return any(name == each or name.startswith(f"{each}-cu") for each in _TALKING)


def _devices(gpus: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(str(each.get("name")) for each in gpus)
    return ", ".join(f"{count} x {name}" for name, count in counts.items()) or "no GPU"


def _outline(outline: Mapping[str, Any]) -> str:
    """Return the outline of data in words, without its time: a copy on a node's own disk is as good as the original."""
    is_file = "sha256" in outline and not outline.keys() & {"missing", "error", "entries", "files"}
    return in_words(outline) + (f", SHA-256 {outline['sha256'][:8]}" if is_file else "")


_COMPARED = (
    _Compared("packages", "packages", Severity.WARNING),
    _Compared("python", "python", Severity.WARNING, "Python"),
    _Compared("commit", "code", Severity.ERROR, "the commit"),
    _Compared("changed", "code", Severity.WARNING, "the number of uncommitted files"),
    _Compared("data", "data", Severity.ERROR, words=_outline),
    _Compared("mounts", "mounts", Severity.WARNING),
    _Compared("driver_version", "driver", Severity.WARNING, "the driver"),
    _Compared("gpus", "gpus", Severity.WARNING, "the set of GPUs", _devices),
    _Compared("variables", "variables", Severity.WARNING, words=repr),
    _Compared("system", "kernel", Severity.INFO, "the system"),
    _Compared("processors", "kernel", Severity.WARNING, "the number of processors"),
)

_WORDS: Mapping[str, tuple[str, str]] = {
    "packages": (
        "the environment there is not the one of the other nodes",
        "Install the same environment there, or use one on a file system that all nodes share",
    ),
    "python": ("the job's interpreter there is another one", "Name one that all nodes share under `preflight.python`"),
    "code": (
        "the project there is another copy, or is being edited",
        "Start the job from a folder that all nodes share, or from a checkout of one commit",
    ),
    "data": ("the copy of the data there is older, or was broken off", "Copy it there again"),
    "mounts": ("the path is not mounted there, or from elsewhere", "Mount there what the other nodes have"),
    "driver": ("the driver there was updated, or left out of an update", "Leave the node out until it is updated"),
    "gpus": ("the node is of another kind, or has lost a GPU", "Ask for one kind of node, or leave this one out"),
    "limits": ("the limit there is set by another rule", "Ask the administrator to set it as on the other nodes"),
    "variables": (
        "a login script or a module there sets it",
        "Set it in the job's script, so that it is the same everywhere",
    ),
    "kernel": ("the node is of another kind, or was updated at another time", "Nothing, where the job does not mind"),
    "clock": ("the node has lost its time server", "Ask the administrator to let chrony or ntpd run there"),
}
