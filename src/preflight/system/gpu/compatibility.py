"""What runs on what: drivers, the CUDA that a build was made with, and the code that it holds for a device.

Drivers for a CUDA: the release notes of the CUDA Toolkit, tables "CUDA Toolkit and Corresponding Driver Versions" and
"Minimum Required Driver Version for CUDA Minor Version Compatibility", and the guide "CUDA Compatibility". Code for a
device: the CUDA C++ Programming Guide, "Binary Compatibility" and "PTX Compatibility", and the Blackwell Compatibility
Guide for the suffixes `a` and `f`. Read in November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

Version = tuple[int, ...]

# The oldest driver that runs any build of a major version of CUDA, with what minor version compatibility leaves out.
_MAJOR: dict[int, Version] = {11: (450, 80, 2), 12: (525, 60, 13), 13: (580,)}
# The driver that came with a release: before CUDA 11 it is needed; from then on it is what PTX of that release needs.
_RELEASE: dict[Version, Version] = {
    (9, 0): (384, 81),
    (9, 1): (390, 46),
    (9, 2): (396, 26),
    (10, 0): (410, 48),
    (10, 1): (418, 39),
    (10, 2): (440, 33),
    (11, 0): (450, 36, 6),
    (11, 1): (455, 23),
    (11, 2): (460, 27, 3),
    (11, 3): (465, 19, 1),
    (11, 4): (470, 42, 1),
    (11, 5): (495, 29, 5),
    (11, 6): (510, 39, 1),
    (11, 7): (515, 43, 4),
    (11, 8): (520, 61, 5),
    (12, 0): (525, 60, 13),
    (12, 1): (530, 30, 2),
    (12, 2): (535, 54, 3),
    (12, 3): (545, 23, 6),
    (12, 4): (550, 54, 14),
    (12, 5): (555, 42, 2),
    (12, 6): (560, 28, 3),
    (12, 8): (570, 26),
    (12, 9): (575, 51, 3),
    (13, 0): (580, 65, 6),
}
# The first CUDA that makes code for a compute capability, and the last one for those that were given up.
_FIRST: dict[Version, Version] = {
    (7, 0): (9, 0),
    (7, 5): (10, 0),
    (8, 0): (11, 0),
    (8, 6): (11, 1),
    (8, 7): (11, 4),
    (8, 9): (11, 8),
    (9, 0): (11, 8),
    (10, 0): (12, 8),
    (10, 3): (12, 9),
    (12, 0): (12, 8),
    (12, 1): (12, 9),
}
_LAST: dict[Version, Version] = {
    (3, 5): (11, 8),
    (3, 7): (11, 8),
    (5, 0): (12, 9),
    (5, 2): (12, 9),
    (6, 0): (12, 9),
    (6, 1): (12, 9),
}
_LAST |= {(7, 0): (12, 9)}

_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")


class Code(StrEnum):
    """What a build holds for a device: machine code, PTX that the driver compiles at first use, or nothing."""

    NATIVE = "native"
    PTX = "PTX"
    NONE = "none"


def version_of(text: str) -> Version:
    """Return `(580, 159, 4)` of `580.159.04`, and nothing of a text that is no version."""
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0])) if text[:1].isdigit() else ()


def runs(driver: Version, newest: Version | None, cuda: Version) -> bool:
    """Tell whether a driver runs a build for `cuda`; `newest` is the CUDA that the driver says it runs.

    What the driver says counts first: a forward compatibility package raises it. Within one major version, from 11 on,
    an older driver runs a newer build.
    """
    if newest and newest[:2] >= cuda[:2]:
        return True
    if cuda[0] < 11:
        return bool(newest is None and driver and driver >= _RELEASE.get(cuda[:2], ()))
    if newest:
        return newest[0] >= cuda[0]
    return not driver or driver >= _MAJOR.get(cuda[0], ())


def oldest_driver(cuda: Version) -> str:
    """Return the oldest driver branch that runs a build for `cuda`, empty where the tables do not know it."""
    needed = _MAJOR.get(cuda[0]) if cuda[0] >= 11 else _RELEASE.get(cuda[:2])
    return ".".join(f"{part:02}" if position else str(part) for position, part in enumerate(needed or ()))


def code_for(capability: tuple[int, int], architectures: Sequence[str]) -> Code:
    """Return what of a build's `architectures` runs on a device.

    Machine code runs on devices of the same major version and the same or a later minor one; with the suffix `a` on
    that very capability, with `f` within its family. PTX is compiled for any later device, with a suffix for the same
    as machine code.
    """
    parts = [_parts(each) for each in architectures]
    found = {kind for kind, built, suffix in parts if _fits(capability, kind, built, suffix)}
    return Code.NATIVE if "sm" in found else Code.PTX if found else Code.NONE


def compiles_ptx(newest: Version | None, cuda: Version) -> bool:
    """Tell whether a driver compiles the PTX of a build for `cuda`: one that is older than the build does not."""
    return newest is None or newest[:2] >= cuda[:2]


def first_cuda(capability: tuple[int, int]) -> str:
    """Return the first CUDA that makes code for a device, empty where the tables do not know it."""
    return ".".join(map(str, _FIRST.get(capability, ())))


def last_cuda(capability: tuple[int, int]) -> str:
    """Return the last CUDA that makes code for a device, empty for those that are still supported."""
    return ".".join(map(str, _LAST.get(capability, ())))


def _parts(architecture: str) -> tuple[str, tuple[int, int], str]:
    match = _ARCHITECTURE.fullmatch(architecture)
    return (match[1], (int(match[2]), int(match[3])), match[4]) if match else ("", (0, 0), "")


def _fits(capability: tuple[int, int], kind: str, built: tuple[int, int], suffix: str) -> bool:
    if suffix == "a":
        return capability == built
    same_major = capability[0] == built[0] and capability[1] >= built[1]
    if kind == "compute" and not suffix:
        return capability >= built
    return bool(kind) and same_major
