"""What a device computes, beside the same on the CPU in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far an operation is from the same one on the CPU in double precision, relative to the largest value."""

    operation: str
    found: float
    allowed: float


def compare_with_cpu(device: str, precision: str) -> list[Deviation]:
    """Copy, multiply, sum and differentiate on `device`, and return how far each is from the CPU in double precision.

    Raises RuntimeError where the device cannot.
    """
    import torch

    dtype = getattr(torch, precision)
    # TF32 may stand in for float32 where the user has switched it on, so float32 gets its tolerance.
    allowed = {"float64": 1e-9, "float32": 5e-3, "float16": 2e-2}.get(precision, 6e-2)
    source = torch.Generator().manual_seed(0)
    inputs = [torch.randn(256, 256, generator=source).to(dtype) for _ in range(2)]
    operations: dict[str, tuple[Callable[..., Any], float]] = {
        "copy": (lambda left, _: left, 0.0),
        "multiply": (torch.matmul, allowed),
        "sum": (lambda left, _: left.sum(dim=0), allowed),
        "differentiate": (_gradient, allowed),
    }
    return [
        Deviation(operation=name, found=_deviation(operate, inputs, device), allowed=most)
        for name, (operate, most) in operations.items()
    ]


def _deviation(operate: Callable[..., Any], inputs: Sequence[Any], device: str) -> float:
    found = operate(*(each.to(device) for each in inputs)).cpu().double()
    wanted = operate(*(each.double() for each in inputs))
    difference = float((found - wanted).abs().max() / wanted.abs().max())
    return float("inf") if math.isnan(difference) else difference


def _gradient(left: Any, right: Any) -> Any:
    weight = right.detach().clone().requires_grad_()
    (left @ weight / 16).tanh().square().sum(dim=0).mean().backward()
    return weight.grad
