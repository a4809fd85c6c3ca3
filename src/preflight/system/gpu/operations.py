"""The operations that a device is tried with: inputs, the way it is to compute, and what a right result is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from preflight.system.gpu.operation import Difference, Operation, same, within
from preflight.system.gpu.rounding import FORMATS, Format

# The extent of the product that occupies every processor of a large device: 1024 tiles of 128 by 128.
LARGE = (4096, 1024, 4096)
# The same for a device that is the CPU.
SMALL = (192, 1024, 160)
_HALVES = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


def operations(word: Format, device: str, seed: int) -> Iterator[Operation]:
    """Yield what a device is tried with in one format, on inputs that the seed decides."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    if word.word == "int8":
        yield _sum_of_whole_numbers(word, draw)
        yield from _moves(word, draw)
    elif word.word.startswith("float8"):
        yield _matmul(word, draw)
        yield _cast(word, draw)
    else:
        yield _matmul(word, draw)
        yield _batched_matmul(word, draw)
        yield _convolution(word, draw)
        if word.word != "tf32":
            yield _sum(word, draw)
            yield _softmax(word, draw)
            yield _attention(word, draw)
            yield from _moves(word, draw)
            yield _autograd(word, draw)
        if word.word in _HALVES:
            yield _cast(word, draw)
    yield _matmul_of_whole_numbers(word, draw, SMALL if device == "cpu" else LARGE)


def multiply(left: Any, right: Any, **into: Any) -> Any:
    """Multiply two matrices as their format wants it; what has 8 bits gives sums of more bits."""
    import torch

    if left.dtype == torch.int8:
        return torch._int_mm(left, right)  # noqa: SLF001 - the only one that there is
    if left.element_size() > 1:
        return torch.matmul(left, right, **into)
    one = torch.ones((), device=left.device)
    # cuBLAS does not take E5M2 on both sides, and wants the right one laid out by columns.
    columns = right.to(torch.float8_e4m3fn).t().contiguous().t()
    found = torch._scaled_mm(left, columns, scale_a=one, scale_b=one, out_dtype=torch.float32)  # noqa: SLF001
    # Until torch 2.4 it came with the largest value.
    return found[0] if isinstance(found, tuple) else found


def _result_of(word: Format) -> Format:
    return FORMATS["float32"] if word.word.startswith("float8") else word


def _drawn(word: Format, draw: Any, *shape: int) -> Any:
    """Return normal numbers, rounded to the format."""
    import torch

    values = torch.randn(shape, generator=draw, dtype=torch.float64)
    if word.word == "tf32":
        fraction, exponent = torch.frexp(values)
        values = torch.ldexp((fraction * 2**11).round() / 2**11, exponent)
    return values.to(getattr(torch, word.dtype))


def _whole(word: Format, draw: Any, *shape: int) -> Any:
    """Return whole numbers whose products and sums the format holds exactly, in any order."""
    import torch

    return torch.randint(-word.whole, word.whole + 1, shape, generator=draw).to(getattr(torch, word.dtype))


def _bilinear(
    word: Format, compute: Callable[..., Any], inputs: Sequence[Any], additions: int, parts: int = 0
) -> Callable[[Any], Difference | None]:
    """Return the judge of what multiplies and adds: the sum of absolute products is the same on absolute values.

    `parts` is how many partial sums may be rounded to the format before they are added.
    """
    exact = [each.double() for each in inputs]
    wanted, size = compute(*exact), compute(*(each.abs() for each in exact))
    allowed = (word.gamma(additions) + parts * word.unit) * size
    return within(wanted, allowed + _result_of(word).rounding(wanted))


def _matmul(word: Format, draw: Any) -> Operation:
    import torch

    rows, inner, columns = 160, 256, 224
    left, right = _drawn(word, draw, rows, inner), _drawn(word, draw, inner, columns)
    if word.word.startswith("float8"):
        right = right.to(torch.float8_e4m3fn)
    judge = _bilinear(word, torch.matmul, [left, right], inner)
    shape = () if word.word.startswith("float8") else (rows, columns)
    return Operation(name="matmul", inputs=[left, right], compute=multiply, judge=judge, shape=shape, dtype=word.dtype)


def _batched_matmul(word: Format, draw: Any) -> Operation:
    import torch

    inputs = [_drawn(word, draw, 8, 64, 128), _drawn(word, draw, 8, 128, 96)]
    judge = _bilinear(word, torch.bmm, inputs, 128, parts=2)
    return Operation(
        name="batched matmul", inputs=inputs, compute=torch.bmm, judge=judge, shape=(8, 64, 96), dtype=word.dtype
    )


def _convolution(word: Format, draw: Any) -> Operation:
    from torch.nn.functional import conv2d

    def convolve(images: Any, filters: Any) -> Any:
        # A stride leaves out the algorithms by Winograd and Fourier, whose errors have other bounds.
        return conv2d(images, filters, stride=2)

    inputs = [_drawn(word, draw, 4, 16, 35, 35), _drawn(word, draw, 32, 16, 5, 5)]
    # No flag keeps cuDNN from handing over partial sums in half precision.
    judge = _bilinear(word, convolve, inputs, 16 * 5 * 5, parts=2)
    return Operation(name="convolution", inputs=inputs, compute=convolve, judge=judge)


def _sum(word: Format, draw: Any) -> Operation:
    import torch

    def add(values: Any, out: Any = None) -> Any:
        return torch.sum(values, dim=1, out=out)

    values = _drawn(word, draw, 777, 1000)
    judge = _bilinear(word, add, [values], 1000)
    return Operation(name="sum", inputs=[values], compute=add, judge=judge, shape=(777,), dtype=word.dtype)


def _sum_of_whole_numbers(word: Format, draw: Any) -> Operation:
    values = _whole(word, draw, 777, 1000)
    wanted = values.long().sum(dim=1)
    return Operation(name="sum", inputs=[values], compute=lambda each: each.sum(dim=1), judge=same(wanted))


def _matmul_of_whole_numbers(word: Format, draw: Any, extent: tuple[int, int, int]) -> Operation:
    """Return a product whose every bit is known: whole numbers are added up without any rounding, in every order.

    It is verified after Freivalds: C v is compared with A (B v), which takes n^2 steps. A row with one wrong element
    never passes, any other wrong row for at most one vector in 1000. Only wrong rows are computed again on the CPU.
    """
    import torch

    rows, inner, columns = extent
    left, right = _whole(word, draw, rows, inner), _whole(word, draw, inner, columns)
    vector = torch.randint(1, 1001, (columns,), generator=draw).double()
    wanted = left.double() @ (right.double() @ vector)
    name = "matmul of whole numbers"

    def judge(found: Any) -> Difference | None:
        wrong = (found.double() @ vector != wanted).nonzero().flatten()[:64]
        if not len(wrong):
            return None
        exact = left[wrong].double() @ right.double()
        difference = within(exact, torch.zeros(()).expand(exact.shape))(found[wrong])
        return difference and replace(difference, first=int(wrong[0]) * columns + difference.first)

    return Operation(name=name, inputs=[left, right], compute=multiply, judge=judge, times=6)


def _softmax(word: Format, draw: Any) -> Operation:
    import torch

    def soften(values: Any, out: Any = None) -> Any:
        return torch.softmax(values, dim=-1, out=out)

    values = _drawn(word, draw, 128, 512)
    wanted = soften(values.double())
    spread = float((values.double().amax(dim=-1, keepdim=True) - values.double()).max())
    judge = within(wanted, wanted * softmax_error(word, 512, spread) + word.rounding(wanted))
    return Operation(name="softmax", inputs=[values], compute=soften, judge=judge, shape=(128, 512), dtype=word.dtype)


def softmax_error(word: Format, length: int, spread: float) -> float:
    """Return the relative error of a softmax over `length` values that lie `spread` apart.

    After Blanchard, Higham and Higham (2021), Accurately computing the log-sum-exp and softmax functions: n additions,
    and twice the errors of the differences and of the exponentials. CUDA's fast exponential is 2 + 1.173 |x| units in
    the last place off (CUDA programming guide, mathematical functions), two unit roundoffs each.
    """
    return word.gamma(length + 4 + round(2 * spread + 4 * (2 + 1.173 * spread)))


def _attention(word: Format, draw: Any) -> Operation:
    """Return an attention whose bound holds for every way to compute it: scores and weights may be rounded between."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    length, width = 128, 64
    query, key, value = (_drawn(word, draw, 2, 4, length, width) for _ in range(3))
    query, key = query / 4, key / 2
    q, k, v = (each.double() for each in (query, key, value))
    scores = q @ k.transpose(-1, -2) / width**0.5
    weights = torch.softmax(scores, dim=-1)
    wanted = weights @ v
    # For float32 there are kernels with three products in TF32 in place of each: 2^-21 off, added up as TF32 is.
    adding = FORMATS["tf32"] if word.word == "float32" else word
    product_error = adding.gamma(width) + 3 * word.unit + (2.0**-21 if word.word == "float32" else 0)
    score_error = product_error * (q.abs() @ k.abs().transpose(-1, -2) / width**0.5)
    spread = float((scores.amax(dim=-1, keepdim=True) - scores).max())
    relative = torch.expm1(2 * score_error.amax(dim=-1, keepdim=True))
    relative = relative + softmax_error(word, length, spread) + product_error + adding.gamma(length)
    judge = within(wanted, relative * (weights @ v.abs()) + word.rounding(wanted))
    return Operation(name="attention", inputs=[query, key, value], compute=scaled_dot_product_attention, judge=judge)


def _moves(word: Format, draw: Any) -> Iterator[Operation]:
    """Yield what moves values without changing them, and adds whole numbers to where an index says."""
    import torch

    table, index = _drawn(word, draw, 1000, 96), torch.randint(0, 1000, (513,), generator=draw)

    def look_up(rows: Any, where: Any, out: Any = None) -> Any:
        return torch.index_select(rows, 0, where, out=out)

    yield Operation(
        name="embedding",
        inputs=[table, index],
        compute=look_up,
        judge=same(table[index]),
        shape=(513, 96),
        dtype=word.dtype,
    )
    if word.word == "int8":
        return
    # Atomic additions come in any order: whole numbers give the same sum in each.
    rows = torch.randint(-1, 2, (513, 96), generator=draw).to(table.dtype)
    where = index % 64
    wanted = torch.zeros(64, 96, dtype=torch.float64).index_add(0, where, rows.double())

    def add(values: Any, at: Any) -> Any:
        return values.new_zeros(64, 96).index_add(0, at, values)

    yield Operation(name="index add", inputs=[rows, where], compute=add, judge=same(wanted.to(table.dtype)))


def _autograd(word: Format, draw: Any) -> Operation:
    """Return the gradients of two layers with a ReLU between; where its sign may fall either way, both are right."""
    import torch

    batch, width, hidden, classes = 48, 64, 80, 32
    inputs = [_drawn(word, draw, *shape) for shape in ((batch, width), (width, hidden), (hidden, classes))]
    inputs.append(_drawn(word, draw, batch, classes))
    x, first, second, target = (each.double() for each in inputs)
    before = x @ first
    unsure = word.gamma(width) * (x.abs() @ first.abs()) + word.rounding(before)
    after = before.relu()
    back = target @ second.T
    back_size = target.abs() @ second.abs().T
    back_error = word.gamma(classes) * back_size + word.rounding(back)
    passes = (before > 0).double()
    passed_error = torch.where(before.abs() <= unsure, back.abs() + back_error, passes * back_error)
    wanted = [x.T @ (back * passes), after.T @ target]
    sizes = [x.abs().T @ (back.abs() * passes + passed_error), (after + unsure).T @ target.abs()]
    carried = [x.abs().T @ passed_error, unsure.T @ target.abs()]
    allowed = [
        error + word.gamma(batch) * size + word.rounding(each)
        for error, size, each in zip(carried, sizes, wanted, strict=True)
    ]
    judge = within(_in_one(wanted), _in_one(allowed))
    return Operation(name="autograd step", inputs=inputs, compute=_gradients, judge=judge)


def _gradients(x: Any, first: Any, second: Any, target: Any) -> Any:
    first, second = (each.detach().clone().requires_grad_() for each in (first, second))
    # `backward(target)` gives the same gradients and imports sympy for it, which takes seconds.
    (((x @ first).relu() @ second) * target).sum().backward()
    return _in_one([first.grad, second.grad])


def _in_one(parts: Sequence[Any]) -> Any:
    import torch

    return torch.cat([each.flatten() for each in parts])


def _cast(word: Format, draw: Any) -> Operation:
    import torch

    dtype = getattr(torch, word.dtype)
    values = torch.randn((1 << 16,), generator=draw)
    return Operation(name="cast", inputs=[values], compute=lambda each: each.to(dtype), judge=same(values.to(dtype)))
