"""What pip and its kin installed: each distribution that conda does not know of, and where it came from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from preflight.envlock.addresses import without_credentials
from preflight.envlock.environment import Environment
from preflight.envlock.model import Package
from preflight.envlock.records import Record
from preflight.system.packages import Distribution, Installed, active_requirements

_PIP = ("pip", "uv", "poetry", "pdm")


def of_pip(installed: Installed, records: Iterable[Record], environment: Environment) -> list[Distribution]:
    """Return the distributions that no record of conda's accounts for, by name."""
    owners = {info: record for record in records for info in record.infos}
    found = [each for each in installed if not _is_condas(each, owners.get(each.info.name), environment)]
    return sorted((each for each in found if each.name and each.version), key=lambda each: each.key)


def package_of(distribution: Distribution, environment: Environment) -> Package:
    """Return a distribution as a package, with what its own files say of where it came from."""
    url, sha256, source, editable = _origin(distribution.direct_url)
    requires = active_requirements(distribution, markers=environment.markers)
    return Package(
        name=distribution.key,
        version=distribution.version,
        manager="pip",
        url=url,
        sha256=sha256,
        dependencies=_dependencies((canonicalize_name(each.name), str(each.specifier)) for each in requires),
        source=source,
        editable=editable,
    )


def replaced(distributions: Iterable[Distribution], records: Iterable[Record]) -> list[tuple[Record, Distribution]]:
    """Return what conda installed and pip has replaced since, each with what is there now."""
    owners: dict[str, Record] = {
        canonicalize_name(info.partition("-")[0]): record for record in records for info in record.infos
    }
    return [(owners[each.key], each) for each in distributions if each.key in owners]


def roots(distributions: Iterable[Distribution], environment: Environment) -> list[Distribution]:
    """Return those distributions that no other one requires: what somebody must have asked for."""
    every = list(distributions)
    required = {
        canonicalize_name(requirement.name)
        for each in every
        for requirement in active_requirements(each, markers=environment.markers)
        if canonicalize_name(requirement.name) != each.key
    }
    return [each for each in every if each.key not in required] or every


def _is_condas(distribution: Distribution, owner: Record | None, environment: Environment) -> bool:
    """Tell whether conda installed it.

    Many conda packages say that pip did, since pip was used to build them; what tells is whether the record of its
    files is still the one that conda unpacked.
    """
    if distribution.installer == "conda":
        return True
    if owner is None:
        return False
    if distribution.installer not in _PIP:
        return True
    record = distribution.info / "RECORD"
    wanted = owner.digest_of(os.path.relpath(record, os.path.realpath(environment.prefix)))
    if not wanted:
        return True
    try:
        return hashlib.sha256(record.read_bytes()).hexdigest() == wanted
    except OSError:
        return True


def _origin(direct: Mapping[str, object]) -> tuple[str, str, str, bool]:
    """Return (url, sha256, source, editable) of what `direct_url.json` holds."""
    url = str(direct.get("url", ""))
    clean = without_credentials(url)
    if isinstance(vcs := direct.get("vcs_info"), dict):
        folder = f"#subdirectory={direct['subdirectory']}" if direct.get("subdirectory") else ""
        address = f"{vcs.get('vcs', 'git')}+{clean}@{vcs.get('commit_id', '')}{folder}"
        return address, "", address, False
    if isinstance(folder_info := direct.get("dir_info"), dict):
        return "", "", unquote(urlsplit(url).path), bool(folder_info.get("editable"))
    if not url:
        return "", "", "", False
    archive = direct.get("archive_info")
    sha256 = _sha256(archive) if isinstance(archive, dict) else ""
    return clean, sha256, clean if urlsplit(url).scheme == "file" else "", False


def _sha256(archive: Mapping[str, object]) -> str:
    hashes = archive.get("hashes")
    if isinstance(hashes, dict) and hashes.get("sha256"):
        return str(hashes["sha256"])
    name, _, value = str(archive.get("hash", "")).partition("=")
    return value if name == "sha256" else ""


def _dependencies(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for name, specifier in pairs:
        found.setdefault(name, [])
        found[name] += [specifier] if specifier and specifier not in found[name] else []
    return {name: ",".join(specifiers) or "*" for name, specifiers in sorted(found.items())}
