"""What the C library fills memory with that it hands out, so that nobody counts on what was in it.

Told: `byte` (0: nothing is filled). Where the library is not glibc, nothing happens.
"""

import ctypes
from typing import Any

# The number of the option in glibc's malloc.h.
_PERTURB = -6


def install(settings: dict[str, Any]) -> None:
    """Have memory filled from now on; the variable GLIBC_TUNABLES does so from the start of a process."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_PERTURB, settings["byte"])
