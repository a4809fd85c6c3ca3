"""Who fails together with everybody, found by trying parts of the whole: by halves first, then in pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from preflight.system.group import failing_alone

# So few that every pair can be tried.
_FEW = 4
# Where so many parts, halves and quarters among them, have all failed, it is no matter of single nodes.
_ENOUGH = 6


def find_guilty(nodes: Sequence[str], works: Callable[[Sequence[str]], bool]) -> tuple[list[str], list[list[str]]]:
    """Return the nodes that no group works with, and the groups that were seen to work; of two nodes, none is found.

    `works` tells whether some of them, two at least, add up together. With one guilty among n it is called about
    2 log2(n) times.
    """
    good: list[list[str]] = []
    suspects: list[str] = []
    parts = _halves(nodes)
    failed = 0
    while parts:
        part = parts.pop(0)
        if failed == _ENOUGH and not good:
            return [], []
        if len(part) > 1 and works(part):
            good.append(part)
        elif len(part) > 2:
            failed += 1
            parts += _halves(part)
        else:
            suspects += part
    if good:
        return [each for each in suspects if not works([good[0][0], each])], good
    if not 2 < len(nodes) <= _FEW:
        return [], []
    tried = {pair: works([nodes[each] for each in pair]) for pair in combinations(range(len(nodes)), 2)}
    worked = [[nodes[each] for each in pair] for pair, is_good in tried.items() if is_good]
    return [nodes[each] for each in failing_alone(tried)], worked


def _halves(nodes: Sequence[str]) -> list[list[str]]:
    middle = (len(nodes) + 1) // 2
    return [list(nodes[:middle]), list(nodes[middle:])]
