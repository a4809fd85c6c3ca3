"""What a device is tried with beside arithmetic: copies to it, from it and on it, and random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from preflight.system.gpu.operation import Difference, Operation, same, within


def transfers(device: str, seed: int) -> Iterator[Operation]:
    """Yield what has nothing to do with a format: copies to and fro, on the device, pinned; random numbers."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    content = torch.randint(-(2**62), 2**62, (1 << 20,), generator=draw)
    yield Operation(name="copy", inputs=[content], compute=lambda there: there, judge=same(content))
    yield Operation(
        name="copy on the device", inputs=[content], compute=lambda there: there.clone(), judge=same(content)
    )
    if device != "cpu":
        yield Operation(
            name="pinned copy", inputs=[], compute=lambda: _pinned_round_trip(content, device), judge=same(content)
        )
    yield Operation(name="random", inputs=[], compute=lambda: _random(device, seed), judge=_judge_random)


def _pinned_round_trip(content: Any, device: str) -> Any:
    import torch

    there = content.pin_memory().to(device, non_blocking=True)
    back = torch.full_like(content, -1).pin_memory()
    back.copy_(there, non_blocking=True)
    torch.cuda.synchronize(device)
    return back


def _random(device: str, seed: int) -> Any:
    """Return normal numbers under one seed, then under the next."""
    import torch

    def normal(number: int) -> Any:
        draw = torch.Generator(device=device).manual_seed(number)
        return torch.randn(1 << 19, generator=draw, device=device)

    return torch.stack([normal(seed), normal(seed + 1)])


def _judge_random(found: Any) -> Difference | None:
    """Judge mean and variance, each within 7 of its standard errors; two seeds must have nothing in common."""
    import torch

    one, two = found.double()
    number = one.numel()
    told = torch.stack([one.mean(), one.var(), two.mean(), two.var(), (one == two).double().mean()])
    wanted = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    mean, variance = 7 / number**0.5, 7 * (2 / number) ** 0.5
    return within(wanted, torch.tensor([mean, variance, mean, variance, 0.01], dtype=torch.float64))(told)
