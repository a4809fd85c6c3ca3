"""Hashes of tensors, by their bits and the order of these, cheap enough to be taken of whatever a program computes."""

import ctypes
import sys
import zlib
from functools import cache
from typing import Any

_COLUMNS = 1024


def hash_of(tensor: Any) -> Any:
    """Return a number for the bits of a tensor, 0 where these cannot be read.

    For one on a GPU it is a tensor of one element there, so that nothing waits for the device.
    """
    torch = sys.modules["torch"]
    try:
        if tensor.layout is not torch.strided or type(tensor) not in _plain(torch):
            return 0
        if tensor.is_conj() or tensor.is_neg():
            tensor = tensor.resolve_conj().resolve_neg()
        if not tensor.is_contiguous():
            tensor = tensor.contiguous()
        size = tensor.numel() * tensor.element_size()
        if not size:
            return 0
        if tensor.device.type == "cpu":
            return zlib.crc32((ctypes.c_char * size).from_address(tensor.data_ptr()))
        return _on_device(torch, tensor) if tensor.device.type == "cuda" else 0
    except (RuntimeError, NotImplementedError, TypeError):
        return 0


@cache
def _plain(torch: Any) -> frozenset[type]:
    return frozenset({torch.Tensor, torch.nn.Parameter, getattr(torch.nn, "Buffer", torch.Tensor)})


def _on_device(torch: Any, tensor: Any) -> Any:
    """Return the sum of rows and columns of bits, each weighted by where it stands (torch.hash_tensor is their XOR)."""
    flat = tensor.detach().reshape(-1)
    if flat.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    whole = flat.numel() // _COLUMNS * _COLUMNS
    parts = [flat[whole:]]
    if whole:
        rows = flat[:whole].view(-1, _COLUMNS)
        parts += [_xor(torch, rows, 0), _xor(torch, rows, 1)]
    return torch.stack([_weighted(torch, _bits(torch, part)) for part in parts if part.numel()]).sum()


def _xor(torch: Any, rows: Any, dimension: int) -> Any:
    if hasattr(torch, "hash_tensor"):
        return torch.hash_tensor(rows, dimension).view(torch.int64)
    return _bits(torch, rows).sum(dimension)


def _bits(torch: Any, tensor: Any) -> Any:
    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.contiguous().view(kinds[tensor.element_size()]).to(torch.int64)


def _weighted(torch: Any, numbers: Any) -> Any:
    places = torch.arange(1, numbers.numel() + 1, device=numbers.device, dtype=torch.int64)
    return (numbers * (places * 0x9E3779B97F4A7C1 + 1)).sum()
