"""One operation that a device is tried with, and the ways to judge what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where a result is not the wanted one: how many elements, the first of them, what it is and what it may be."""

    elements: int
    first: int
    found: float
    wanted: float
    allowed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation on inputs that lie on the CPU.

    `compute` gets them on the device, and `out` where `shape` says what the result is written into. `judge` gets the
    result on the CPU. `times` is how often it is computed; all results are to have the same bits.
    """

    name: str
    inputs: Sequence[Any]
    compute: Callable[..., Any]
    judge: Callable[[Any], Difference | None]
    shape: tuple[int, ...] = ()
    dtype: str = ""
    times: int = 2


def within(wanted: Any, allowed: Any) -> Callable[[Any], Difference | None]:
    """Return the judge that lets each element be `allowed` off."""

    def judge(found: Any) -> Difference | None:
        found = found.double().reshape(wanted.shape)
        # What is not a number is not within any distance.
        wrong = (~((found - wanted).abs() <= allowed)).flatten().nonzero().flatten()
        if not len(wrong):
            return None
        first = int(wrong[0])
        values = [float(each.flatten()[first]) for each in (found, wanted, allowed)]
        return Difference(elements=len(wrong), first=first, found=values[0], wanted=values[1], allowed=values[2])

    return judge


def same(wanted: Any) -> Callable[[Any], Difference | None]:
    """Return the judge that lets no bit differ."""

    def judge(found: Any) -> Difference | None:
        left, right = (as_bits(each).flatten() for each in (found, wanted))
        wrong = (left != right).nonzero().flatten()
        if not len(wrong):
            return None
        first = int(wrong[0])
        values = [float(each.flatten()[first].double()) for each in (found, wanted)]
        return Difference(elements=len(wrong), first=first, found=values[0], wanted=values[1], allowed=0.0)

    return judge


def as_bits(values: Any) -> Any:
    """Return the same memory as whole numbers, so that what is not a number can be compared."""
    import torch

    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return values.contiguous().view(kinds[values.element_size()])
