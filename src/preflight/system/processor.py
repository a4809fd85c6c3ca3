"""The instructions that this processor has."""

from __future__ import annotations

import platform
import re
from pathlib import Path

# What compiled numerical code is built with, by the names of /proc/cpuinfo.
_VECTORS = ("sse4_2", "avx", "avx2", "fma", "avx512f")


def missing_vectors(table: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """Return the usual vector instructions that an x86 processor, or the virtual one here, does not have."""
    try:
        found = re.search(r"^flags\s*:(.*)$", table.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    except OSError:
        return ()
    flags = found[1].split() if found else []
    return tuple(name for name in _VECTORS if name not in flags) if flags and platform.machine() == "x86_64" else ()
