"""Where each package that pip installed can be had again: the URL and the SHA-256 of its file, or why there is none."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from preflight.envlock import machine
from preflight.envlock.addresses import without_credentials
from preflight.envlock.choice import File, chosen
from preflight.envlock.environment import Environment
from preflight.envlock.index import offered
from preflight.envlock.indexes import certificates, indexes
from preflight.envlock.inventory import Inventory
from preflight.envlock.model import Package
from preflight.envlock.resolvers import by_pip, by_uv, files_of
from preflight.system.packages import Distribution

_PROJECT_LOCKS = ("pylock.toml", "uv.lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The packages of pip with url and hash, and those that cannot be had again: name, and why."""

    packages: tuple[Package, ...]
    unlocked: Mapping[str, str]


def find(
    inventory: Inventory,
    known: Iterable[Package],
    root: Path,
    *,
    hopeless: Mapping[str, str] | None = None,
    offline: bool = False,
) -> Provenance:
    """Look for the file that each package of pip was installed from.

    What pip kept of the installation comes first; then `known`, the packages of an earlier lock: the same version is
    the same file. Then the project's own locks, uv where that installed it, the indexes of pip's configuration, and pip
    itself are asked; pip, which is slow, not for what is `hopeless`: what an earlier lock had to leave out in the same
    version, and why.
    """
    locked = {package.name: package for package in known if package.manager == "pip"}
    found: dict[str, Package] = {}
    unlocked: dict[str, str] = {}
    unfound: list[Distribution] = []
    for distribution, package in zip(inventory.distributions, inventory.pip, strict=True):
        before = locked.get(package.name)
        if reason := machine.told(package, root):
            unlocked[package.name] = reason
        elif package.url and (package.sha256 or package.source):
            found[package.name] = package
        elif before and _is_same(before, package):
            found[package.name] = replace(package, url=before.url, sha256=before.sha256)
        else:
            unfound.append(distribution)
    given_up = {each.key for each in unfound if _is_hopeless((hopeless or {}).get(each.key, ""), each.version)}
    files = _files(unfound, given_up, inventory.environment, root, offline=offline)
    for distribution in unfound:
        package = next(each for each in inventory.pip if each.name == distribution.key)
        file = files.get(distribution.key)
        if file is None and hopeless and distribution.key in given_up:
            unlocked[package.name] = hopeless[distribution.key]
        elif file is None or file.url.startswith("file:"):
            unlocked[package.name] = f"{package.version} ({_why_not(file, offline=offline)})"
        else:
            found[package.name] = replace(package, url=without_credentials(file.url), sha256=file.sha256)
    return Provenance(packages=tuple(found[name] for name in sorted(found)), unlocked=dict(sorted(unlocked.items())))


def _is_same(before: Package, package: Package) -> bool:
    same_url = not package.url or package.url == before.url
    return before.version == package.version and not before.source and bool(before.sha256) and same_url


def _files(
    unfound: Sequence[Distribution], given_up: set[str], environment: Environment, root: Path, *, offline: bool
) -> Mapping[str, File]:
    """Return the files of distributions, each found by the first of the ways that finds it."""
    found: dict[str, File] = {}

    def rest() -> list[Distribution]:
        return [each for each in unfound if each.key not in found]

    listed = _listed(root)
    found |= _chosen(listed, rest())
    if offline:
        return found | by_uv(rest(), environment, root, offline=True)
    found |= by_uv([each for each in rest() if each.installer == "uv"], environment, root, offline=False)
    if urls := indexes(environment):
        wanted = {each.key: each.version for each in rest()}
        found |= _chosen(offered(urls, wanted, certificates(environment)), rest())
    return found | by_pip([each for each in rest() if each.key not in given_up], environment, root)


def _chosen(offers: Mapping[str, Iterable[File]], distributions: Iterable[Distribution]) -> dict[str, File]:
    found = {each.key: chosen(offers.get(each.key, ()), each) for each in distributions}
    return {key: file for key, file in found.items() if file}


def _listed(root: Path) -> dict[str, list[File]]:
    """Return the files that the project's own locks list."""
    listed: dict[str, list[File]] = {}
    for name in _PROJECT_LOCKS:
        try:
            document = tomllib.loads((root / name).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            continue
        for package in document.get("packages") or document.get("package") or ():
            if isinstance(package, dict) and isinstance(package.get("name"), str):
                listed.setdefault(canonicalize_name(package["name"]), []).extend(_files_in(package))
    return listed


def _files_in(package: dict[str, Any]) -> Iterator[File]:
    """Yield the files of a package of pylock.toml, or of uv.lock, which writes `hash = "sha256:…"`."""
    wheels = [_with_hashes(each) for each in package.get("wheels", ())]
    sources: dict[str, Any] = {key: _with_hashes(package[key]) for key in ("sdist", "archive") if key in package}
    yield from (file for file in files_of({"wheels": wheels, **sources}) if file.url)


def _with_hashes(file: dict[str, Any]) -> dict[str, Any]:
    digest = str(file.get("hash") or "")
    return {**file, "hashes": {"sha256": digest.removeprefix("sha256:")}} if digest.startswith("sha256:") else file


def _is_hopeless(reason: str, version: str) -> bool:
    return reason.startswith(f"{version} (") and not reason.endswith("offline)")


def _why_not(file: File | None, *, offline: bool) -> str:
    if file is not None:
        return f"installed from the local file {file.name}"
    return "no file of it is known offline" if offline else "no index offers the file that was installed"
