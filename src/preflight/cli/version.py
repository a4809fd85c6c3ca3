"""`preflight --version`: which preflight this is, and who else claims its name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import preflight

DISTRIBUTION = "pytest-preflight"


def main(_argv: Sequence[str]) -> int:
    """Print the version, the interpreter and where this package lies."""
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"preflight {preflight.__version__} ({DISTRIBUTION}), Python {python}, {Path(__file__).parents[1]}")
    for line in rivals():
        print(line)
    return 0


def rivals() -> list[str]:
    """Return a line for each other installed distribution that owns the import name or the command `preflight`."""
    names = {each.name for each in map(_claim, metadata.distributions()) if each}
    return [
        f"the installed distribution {name} owns the name preflight, too; keep one of the two: pip uninstall {name}"
        for name in sorted(names)
    ]


def _claim(distribution: metadata.Distribution) -> metadata.Distribution | None:
    name = distribution.name
    if not name or name.lower().replace("_", "-") == DISTRIBUTION:
        return None
    scripts = {each.name for each in distribution.entry_points if each.group == "console_scripts"}
    top = (distribution.read_text("top_level.txt") or "").split()
    record = distribution.read_text("RECORD") or ""
    claims = "preflight" in scripts or "preflight" in top or "\npreflight/" in f"\n{record}"
    return distribution if claims else None
