"""What a function returned, as a fingerprint of its bits: a digest for each leaf, named by its path."""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import struct
import sys
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

_MOST_LEAVES = 10_000
_MOST_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value at the end of a path: its digest and its looks; what has no bits of its own is not `comparable`."""

    digest: str
    shown: str
    comparable: bool = True


Fingerprint = dict[str, Leaf]


def fingerprint(value: Any) -> Fingerprint:
    """Return the leaves of nested dicts, lists, tuples, sets, dataclasses, numbers, arrays and tensors, by path.

    The path is as one would write it, `['loss'][0]`, and `` for the value itself. Beyond 10,000 leaves the rest is one.
    """
    leaves: Fingerprint = {}
    rest = hashlib.sha256()
    count = 0
    for path, leaf in _leaves(value, "", _MOST_DEPTH):
        count += 1
        if count <= _MOST_LEAVES:
            leaves[path] = leaf
        else:
            rest.update(leaf.digest.encode())
    if count > _MOST_LEAVES:
        leaves["…"] = Leaf(rest.hexdigest(), f"{count - _MOST_LEAVES:,} more values")
    return leaves


def differing(one: Fingerprint, other: Fingerprint) -> list[str]:
    """Return the paths at which two fingerprints differ, in order."""
    return [path for path in {**one, **other} if path not in one or path not in other or one[path] != other[path]]


def _leaves(value: Any, path: str, depth: int) -> Iterator[tuple[str, Leaf]]:
    parts = _parts(value) if depth else None
    if parts is None:
        yield path, _leaf(value)
        return
    yield path, _of_bytes(f"{type(value).__name__} {len(parts)}".encode(), f"{type(value).__name__} of {len(parts)}")
    for step, part in parts:
        yield from _leaves(part, path + step, depth - 1)


def _parts(value: Any) -> list[tuple[str, Any]] | None:
    """Return what a container holds, each with its step of the path; None for a leaf."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f".{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)]
    if not isinstance(value, Mapping) and callable(getattr(value, "state_dict", None)):
        value = value.state_dict()
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"[{index}]", part) for index, part in enumerate(value)]
    return None


def _leaf(value: Any) -> Leaf:
    if isinstance(value, AbstractSet):
        inner = sorted("".join(leaf.digest for _, leaf in _leaves(each, "", 10)) for each in value)
        return _of_bytes("".join(inner).encode(), f"{type(value).__name__} of {len(inner)}")
    if value is None or isinstance(value, (bool, int, str)):
        return _of_bytes(repr(value).encode(errors="surrogatepass"), _short(repr(value)))
    if type(value) is float:
        return _of_bytes(struct.pack("<d", value), repr(value))
    if type(value) is complex:
        return _of_bytes(struct.pack("<dd", value.real, value.imag), repr(value))
    if isinstance(value, (bytes, bytearray)):
        return _of_bytes(bytes(value), f"{len(value)} bytes")
    return _tensor(value) or _array(value) or Leaf("", f"a {type(value).__module__}.{type(value).__qualname__}", False)


def _tensor(value: Any) -> Leaf | None:
    # By name: torch must not be imported for the sake of a step that does without it.
    if not any(base.__module__ == "torch" and base.__name__ == "Tensor" for base in type(value).__mro__):
        return None
    plain = value.detach()
    if plain.layout != sys.modules["torch"].strided:
        plain = plain.to_dense()
    if plain.is_quantized:
        plain = plain.int_repr()
    plain = plain.cpu().resolve_conj().resolve_neg().contiguous()
    data = ctypes.string_at(plain.data_ptr(), plain.numel() * plain.element_size()) if plain.numel() else b""
    shown = (
        str(value.detach().item())
        if value.numel() == 1
        else f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    )
    return _of_bytes(f"{value.dtype} {tuple(value.shape)} ".encode() + data, shown)


def _array(value: Any) -> Leaf | None:
    if not hasattr(value, "__array__"):
        return None
    array = value.__array__()
    if array.dtype.hasobject:
        return Leaf("", f"an array of Python objects ({type(value).__qualname__})", False)
    shown = str(array.item()) if array.size == 1 else f"{array.dtype} {array.shape}"
    return _of_bytes(f"{array.dtype.str} {array.shape} ".encode() + array.tobytes(), shown)


def _of_bytes(data: bytes, shown: str) -> Leaf:
    return Leaf(hashlib.sha256(data).hexdigest(), _short(shown))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
