"""The first environment.yml of an environment: the channels, what somebody asked for, and what pip put at the top."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from preflight.envlock.addresses import channel_of
from preflight.envlock.distributions import roots
from preflight.envlock.document import dump
from preflight.envlock.inventory import Inventory
from preflight.envlock.model import Package
from preflight.envlock.records import requested_specs
from preflight.envlock.specification import parse_spec

_HEADER = """\
# What is wanted; edit it as you like. What was installed, exactly, is in conda-lock.yml.
"""


def first_specification(inventory: Inventory, root: Path) -> str:
    """Return the text of an environment.yml for what is installed."""
    environment = inventory.environment
    name = root.resolve().name if environment.kind == "pixi" or environment.name == "base" else environment.name
    dependencies: list[object] = [*conda_wanted(inventory)]
    if pip := pip_wanted(inventory, root):
        named = {spec.name for line in dependencies if (spec := parse_spec(str(line)))}
        dependencies += [] if "pip" in named else ["pip"]
        dependencies.append({"pip": pip})
    document = {
        "name": name,
        "channels": channels(inventory),
        "platforms": [inventory.platform],
        "dependencies": dependencies,
    }
    return _HEADER + dump(document)


def channels(inventory: Inventory) -> list[str]:
    """Return the channels that the packages came from, the one that most came from first."""
    counts = Counter(channel_of(package.url) for package in inventory.conda)
    return [channel for channel, _ in counts.most_common() if channel]


def asked_of_conda(inventory: Inventory) -> list[str]:
    """Return what somebody asked conda for, by name, Python first; nothing where nobody kept it."""
    asked = requested_specs(inventory.environment.prefix, inventory.records)
    there = {package.name: package for package in inventory.conda}
    if asked.get("python") == "python":
        asked["python"] = _series(there["python"])
    return [_written(spec) for _, spec in sorted(asked.items(), key=lambda item: (item[0] != "python", item[0]))]


def conda_wanted(inventory: Inventory) -> list[str]:
    """Return what somebody asked conda for, with Python; where nobody kept it, what no other package needs."""
    there = {package.name: package for package in inventory.conda}
    asked = asked_of_conda(inventory)
    if not asked:
        needed = {name for package in inventory.conda for name in package.dependencies}
        asked = sorted(name for name in there if name not in needed and name != "python")
    has_python = any(spec.name == "python" for line in asked if (spec := parse_spec(line)))
    return [*([] if has_python or "python" not in there else [_series(there["python"])]), *asked]


def pip_wanted(inventory: Inventory, root: Path) -> list[str]:
    """Return the requirements for what pip installed and nothing else needs; a project is named by its folder."""
    ours = {each.key for each in inventory.distributions}
    packages = {each.name: each for each in inventory.pip}
    return [
        _requirement(packages[each.key], root)
        for each in roots(inventory.installed, inventory.environment)
        if each.key in ours
    ]


def _requirement(package: Package, root: Path) -> str:
    if package.editable or (package.source and not package.url):
        place = os.path.relpath(os.path.realpath(package.source), os.path.realpath(root))
        place = place if place.startswith(os.curdir) else f"./{place}"
        return f"-e {place}" if package.editable else place
    if package.source and not package.source.startswith("file:"):
        return f"{package.name} @ {package.source}"
    return package.name


def _series(python: Package) -> str:
    return f"python={'.'.join(python.version.split('.')[:2])}"


def _written(spec: str) -> str:
    """Return a specification without the build, which is for one platform only, and without credentials."""
    found = parse_spec(spec)
    if found is None:
        return spec
    name = spec.rpartition("::")[2]
    return f"{found.name}={found.version}" if found.build and found.version not in ("", "*") else name
