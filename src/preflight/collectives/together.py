"""The nodes of a run add up together, those that are to blame are left out, and the others try again without them.

See it by hand:

    export NCCL_DEBUG=INFO TORCH_DISTRIBUTED_DEBUG=DETAIL
    srun --ntasks-per-node 1 torchrun --nnodes N --rdzv-backend c10d --rdzv-endpoint NODE:29500 PROGRAM

Mend it:

    Leave the node out, and tell who runs it:
        sbatch --exclude NODE …
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from preflight.collectives.blame import Blame, better, blame, in_pairs, slow, speed
from preflight.collectives.meeting import Met, meet
from preflight.collectives.search import find_guilty
from preflight.config import Config
from preflight.config.nodes import Nodes
from preflight.hearing import Watcher
from preflight.model import Finding, Result, Severity, Status
from preflight.places.engine import Engine

CHECK = "nodes.add-up-together"
TITLE = "The nodes add up together, rightly and at the same speed."
# Has some nodes meet.
Hold = Callable[[Sequence[str]], Met]
# Seconds, where `nodes.deadline` says nothing.
_LONGEST = 600.0
# So often the rest tries again without those to blame.
_TRIES = 4


def add_up_together(
    engine: Engine, nodes: Sequence[str], config: Config, *, python: str = "", watcher: Watcher | None = None
) -> list[Result]:
    """The nodes add up together, rightly and at the same speed.

    Every node has passed its own checks; now a rank for each of their GPUs (NCCL), or one for each node where some have
    none (gloo), forms a group with all others and adds up whole numbers whose sum is known. Asked for by `nodes:
    {collectives: true}` or `--collectives`. Who is to blame is left out and the others try again, so that every node
    that passes has added up in a group that works.

    nodes.together             how fast they add up together
    nodes.rank-absent          the ranks of a node do not start
    nodes.rank-dies            a rank dies or raises an error
    nodes.rank-silent          a rank does not do what all others have done, or works with nobody
    nodes.out-of-reach         a node does not reach the first one, or no node reaches that
    nodes.no-interface         a variable of NCCL or gloo names a network interface that the node has not
    nodes.own-name             the node's own name stands for a loopback address, which gloo tells to the others
    nodes.group-does-not-form  every node works by itself, and no group forms
    nodes.sum-does-not-end     the group forms, its sum does not end, and no single node is to blame
    nodes.wrong-sum            the sum is wrong
    nodes.slow-rank            a rank computes much more slowly than the others
    nodes.slow-link            a node exchanges with every other much more slowly than these among themselves

    By hand: start a small program of torch.distributed on the nodes of the job, with NCCL_DEBUG=INFO.

    Where several are silent at the same point, halves of the group and then pairs tell which node works with nobody.
    Takes the nodes that have passed and returns one result for each. A node that is alone is SKIPPED.
    """
    if watcher is None:
        return list(_results(engine, nodes, config, python, lambda: None))
    for node in nodes:
        watcher.planned([CHECK], node)
        watcher.started(CHECK, node)
    results = list(_results(engine, nodes, config, python, watcher.tick))
    for result in results:
        watcher.ended(result)
    return results


def _results(
    engine: Engine, nodes: Sequence[str], config: Config, python: str, tick: Callable[[], None]
) -> Iterator[Result]:
    wanted = config.nodes or Nodes()
    hold = partial(meet, engine, wanted=wanted, python=python, tick=tick)
    until = time.monotonic() + (wanted.deadline or _LONGEST)
    is_clean = True
    left = list(nodes)
    for _ in range(_TRIES):
        if len(left) < 2 or time.monotonic() > until:
            break
        began = time.time()
        met = hold(left)
        if met.over:
            yield from (_unanswered(node, Status.BROKEN, met.over.reason) for node in left)
            return
        if _lacks_torch(met):
            reason = "torch is not installed in the job's interpreter, and nothing else adds up between nodes"
            yield from (_unanswered(node, Status.SKIPPED, reason) for node in left)
            return
        told = blame(met)
        if told.slow:
            # Something else may have been at work: only what is slow again is slow.
            again = hold(left)
            told = Blame(slow=slow(better(met, again))) if again.is_done else blame(again)
        if told.nobody is not None:
            told = _in_parts(told.nobody, left, hold, until)
        yield from (_result(node, [finding], began) for node, finding in told.guilty.items())
        left = [node for node in left if node not in told.guilty]
        if told.nobody is not None:
            yield from (_result(node, [told.nobody], began) for node in left)
            return
        if not told.guilty:
            yield from (_result(node, [speed(met), *told.slow.get(node, ())], began) for node in left)
            return
        is_clean = False
    reason = "no other node is left to add up with" if len(left) < 2 else "the groups before have failed"
    yield from (_unanswered(node, Status.SKIPPED, reason, asked=not is_clean) for node in left)


def _in_parts(nobody: Finding, nodes: Sequence[str], hold: Hold, until: float) -> Blame:
    """Look for the node that works with nobody."""

    def works(part: Sequence[str]) -> bool:
        if time.monotonic() > until:
            raise TimeoutError
        return hold(part).is_done

    try:
        guilty, worked = find_guilty(nodes, works)
    except TimeoutError:
        return Blame(nobody=nobody)
    if guilty:
        return Blame(guilty=in_pairs(nobody, guilty, worked))
    parts = {"these add up by themselves": [", ".join(part) for part in worked]}
    return Blame(nobody=replace(nobody, evidence=parts) if worked else nobody)


def _lacks_torch(met: Met) -> bool:
    return bool(met.members) and all(
        member.error.startswith("ModuleNotFoundError") and "torch" in member.error for member in met.members
    )


def _result(node: str, findings: Sequence[Finding], began: float) -> Result:
    is_bad = any(each.severity is Severity.ERROR for each in findings)
    return Result(
        check=CHECK,
        title=TITLE,
        status=Status.FAILED if is_bad else Status.PASSED,
        findings=tuple(findings),
        asked=True,
        place=node,
        started=began,
        seconds=time.time() - began,
    )


def _unanswered(node: str, status: Status, reason: str, *, asked: bool = True) -> Result:
    return Result(check=CHECK, title=TITLE, status=status, reason=reason, asked=asked, place=node)
