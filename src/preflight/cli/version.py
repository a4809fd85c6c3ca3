"""`preflight --version`: which preflight this is, and who else claims its name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "pytest-preflight"


def main(_argv: Sequence[str]) -> int:
    """Print the version, the interpreter and where this package lies."""
    python = ".".join(map(str, sys.version_info[:3]))
    version = metadata.version(DISTRIBUTION)
    print(f"preflight {version} ({DISTRIBUTION}), Python {python}, {Path(__file__).parents[1]}")
    for line in rivals():
        print(line)
    return 0


def rivals() -> list[str]:
    """Return a line for each other installed distribution that owns the import name or the command `preflight`."""
    names = {each.name for each in metadata.distributions() if _claims_our_name(each)}
    said = "the installed distribution {0} owns the name preflight, too; keep one of the two: pip uninstall {0}"
    return [said.format(name) for name in sorted(names)]


def _claims_our_name(distribution: metadata.Distribution) -> bool:
    name = distribution.name  # None where its metadata is damaged
    if not name or name.lower().replace("_", "-") == DISTRIBUTION:
        return False
    scripts = {each.name for each in distribution.entry_points if each.group == "console_scripts"}
    packages = (distribution.read_text("top_level.txt") or "").split()
    return "preflight" in scripts or "preflight" in packages or _installs_package(distribution)


def _installs_package(distribution: metadata.Distribution) -> bool:
    record = distribution.read_text("RECORD") or ""
    return any(line.startswith("preflight/") for line in record.splitlines())
