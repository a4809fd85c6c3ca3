"""The hash of environment.yml by which conda-lock knows whether a lock still answers it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from preflight.envlock.addresses import variables, with_variables
from preflight.envlock.specification import Specification

# What conda-lock takes every machine of a platform to have.
_MACHINES = {
    "linux-64": {"__unix": "0", "__linux": "5.10", "__archspec": "1 x86_64", "__glibc": "2.28", "__cuda": "11.4"},
    "linux-aarch64": {"__unix": "0", "__linux": "5.10", "__archspec": "1 aarch64", "__glibc": "2.28", "__cuda": "11.4"},
    "linux-ppc64le": {"__unix": "0", "__linux": "5.10", "__archspec": "1 ppc64le", "__glibc": "2.28", "__cuda": "11.4"},
    "osx-64": {"__unix": "0", "__archspec": "1 x86_64", "__osx": "11.0"},
    "osx-arm64": {"__unix": "0", "__archspec": "1 arm64", "__osx": "11.0"},
    "win-64": {"__win": "0", "__archspec": "1 x86_64", "__cuda": "11.4"},
}
_SYSTEMS = {
    "linux": ("linux", "Linux", "posix"),
    "osx": ("darwin", "Darwin", "posix"),
    "win": ("win32", "Windows", "nt"),
}
_TIMESTAMP = 1577854800000  # of the packages that stand for a machine


def content_hash(specification: Specification, platform: str) -> str:
    """Return the hash that conda-lock gives the file for a platform."""
    # Of two lines for one package the later one counts.
    unique = {(spec["manager"], spec["name"]): spec for spec in _specs(specification, platform)}
    content: dict[str, Any] = {
        "channels": [_channel(channel) for channel in specification.channels if channel != "nodefaults"],
        "specs": [unique[key] for key in sorted(unique)],
        "virtual_package_hash": {"noarch": _repository("noarch"), platform: _repository(platform)},
    }
    if specification.repositories:
        content["pip_repositories"] = [
            json.dumps({"url": url}, separators=(",", ":")) for url in specification.repositories
        ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _channel(url: str) -> str:
    kept = with_variables(url)
    return json.dumps({"url": kept, "used_env_vars": variables(kept)}, separators=(",", ":"))


def _specs(specification: Specification, platform: str) -> Iterator[dict[str, Any]]:
    for spec in specification.conda:
        yield {
            "name": spec.name,
            "manager": "conda",
            "category": specification.category,
            "extras": [],
            "version": spec.version,
            "build": spec.build or None,
            "conda_channel": spec.channel or None,
            "hash": None,
        }
    for line in specification.pip:
        found = None if line.startswith("-") else _pip_spec(line, specification.category)
        if found and _is_for(found.get("markers", ""), platform):
            yield found
    if specification.has_pip:
        yield _versioned("pip", "conda", "main", "*")


def _pip_spec(line: str, category: str) -> dict[str, Any] | None:
    line, _, digest = line.partition(" --hash=")
    text, separator, marker = line.rpartition(";")
    try:
        requirement = Requirement(text if separator else line)
    except InvalidRequirement:
        return None
    name = canonicalize_name(requirement.name)
    found: dict[str, Any]
    if (url := requirement.url or "").startswith("git+"):
        found = {"name": name, "manager": "pip", "category": category, "extras": [], **_git(url)}
    elif url:
        address, _, fragment = url.partition("#")
        found = {"name": name, "manager": "pip", "category": category, "extras": sorted(requirement.extras)}
        found |= {"url": address, "hashes": [fragment.replace("=", ":")]}
    else:
        version = ",".join(sorted(str(requirement.specifier).split(","))) or "*"
        found = _versioned(name, "pip", category, version) | {"extras": sorted(requirement.extras)}
        found["hash"] = digest.strip() or None
    return found | ({"markers": marker.strip()} if separator else {})


def _is_for(marker: str, platform: str) -> bool:
    """Tell whether a marker holds on a platform; one that asks for more than the system does."""
    system = _SYSTEMS.get(platform.partition("-")[0])
    if not marker or system is None:
        return True
    values = dict(zip(("sys_platform", "platform_system", "os_name"), system, strict=True))
    names = set(re.findall(r"[a-z]\w+(?=\s*(?:[=!<>~]|not\s+in|in))", marker))
    try:
        return not names <= values.keys() or Marker(marker).evaluate(values)
    except InvalidMarker:
        return True


def _git(url: str) -> dict[str, Any]:
    address, _, revision = url.removesuffix(".git").removeprefix("git+").rpartition("@")
    if not address or "/" in revision.partition("#")[0]:
        return {"source": url.removesuffix(".git").removeprefix("git+"), "vcs": "git", "rev": None}
    revision, _, folder = revision.partition("#subdirectory=")
    found = {"source": address, "vcs": "git", "rev": revision}
    return found | ({"subdirectory": folder} if folder else {})


def _versioned(name: str, manager: str, category: str, version: str) -> dict[str, Any]:
    return {
        "name": name,
        "manager": manager,
        "category": category,
        "extras": [],
        "version": version,
        "build": None,
        "conda_channel": None,
        "hash": None,
    }


def _repository(platform: str) -> dict[str, Any]:
    """Return the packages that stand for a machine, as conda-lock's own repository of them has it."""
    packages = {}
    entries = list(_MACHINES.get(platform, {}).items())
    entries += [("__osx", "10.15")] if platform == "osx-64" else []
    for name, written in entries:
        version, _, build = written.partition(" ")
        full = f"{build}_0" if build else "0"
        packages[f"{name}-{version}-{full}.tar.bz2"] = {
            "name": name,
            "version": version,
            "build_string": build,
            "build_number": 0,
            "noarch": "",
            "depends": [],
            "timestamp": _TIMESTAMP,
            "package_type": "virtual_system",
            "build": full,
            "subdir": platform,
        }
    return {"info": {"subdir": platform}, "packages": packages} if platform in {*_MACHINES, "noarch"} else {}
