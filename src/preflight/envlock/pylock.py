"""pylock.toml (PEP 751) of an environment that conda knows nothing of."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from preflight.envlock.addresses import file_name
from preflight.envlock.model import Package
from preflight.errors import UserError
from preflight.system.locks import parsed_toml

CREATED_BY = "preflight"
_HEADER = """\
# What is installed, exactly. `preflight env lock` writes this file; do not edit it.
# Install it with `preflight env restore`, or with `uv pip sync pylock.toml`.
"""
_COMMIT = re.compile(r"(?P<kind>\w+)\+(?P<url>.+)@(?P<commit>[^@#]+)(?:#subdirectory=(?P<folder>.+))?")


def written(packages: Iterable[Package], unlocked: Mapping[str, str], python: str) -> str:
    """Return the text of a lock; the same packages give the same bytes. `python` is the version that they are for."""
    lines = ['lock-version = "1.0"', f'created-by = "{CREATED_BY}"']
    if python:
        lines.append(f"requires-python = {_text('==' + '.'.join(python.split('.')[:2]) + '.*')}")
    lines += ["packages = []"] if not (found := sorted(packages, key=lambda each: each.name)) else []
    for package in found:
        lines += ["", "[[packages]]", f"name = {_text(package.name)}", f"version = {_text(package.version)}"]
        lines += _origin(package)
    if unlocked:
        lines += ["", "[tool.preflight.unlocked]"]
        lines += [f"{_text(name)} = {_text(reason)}" for name, reason in sorted(unlocked.items())]
    return _HEADER + "\n".join(lines) + "\n"


def read_pylock(file: Path, text: str | None = None) -> tuple[list[Package], dict[str, str], str]:
    """Return the packages of a lock that preflight wrote, what it could not lock, and who wrote it.

    Raises UserError where the file cannot be read or understood.
    """
    try:
        document = parsed_toml(file.read_text(encoding="utf-8") if text is None else text)
    except OSError as problem:
        raise UserError(f"the file cannot be read: {problem.strerror}", where=str(file)) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise UserError(f"this is not TOML: {problem}", where=str(file)) from None
    version = str(document.get("lock-version", "1.0"))
    if version.partition(".")[0] != "1":
        message = f"version {version} of this format is not known, wanted 1.0"
        raise UserError(message, where=f"{file}: lock-version", fix="Update preflight")
    tool = document.get("tool", {}).get("preflight", {})
    entries = [each for each in document.get("packages", ()) if "name" in each and "version" in each]
    packages = [_package(each) for each in entries]
    return packages, dict(tool.get("unlocked", {})), str(document.get("created-by", ""))


def _origin(package: Package) -> Iterator[str]:
    if package.source and (found := _COMMIT.fullmatch(package.source)):
        yield "[packages.vcs]"
        yield from (
            f"{key} = {_text(value)}"
            for key, value in (
                ("type", found["kind"]),
                ("url", found["url"]),
                ("commit-id", found["commit"]),
                ("subdirectory", found["folder"]),
            )
            if value
        )
        return
    name = file_name(package.url)
    yield "[[packages.wheels]]" if name.endswith(".whl") else "[packages.sdist]"
    yield f"name = {_text(name)}"
    yield f"url = {_text(package.url)}"
    yield f"hashes = {{sha256 = {_text(package.sha256)}}}"


def _package(entry: Mapping[str, Any]) -> Package:
    vcs = entry.get("vcs") or {}
    source = f"{vcs['type']}+{vcs['url']}@{vcs['commit-id']}" if vcs else ""
    source += f"#subdirectory={vcs['subdirectory']}" if vcs.get("subdirectory") else ""
    files = [*entry.get("wheels", ()), *(entry[key] for key in ("sdist", "archive") if key in entry)]
    file = files[0] if len(files) == 1 else {}
    return Package(
        name=entry["name"],
        version=entry["version"],
        manager="pip",
        url=source or str(file.get("url") or ""),
        sha256=str((file.get("hashes") or {}).get("sha256") or ""),
        source=source,
    )


def _text(value: str) -> str:
    """Return a TOML string; JSON's escapes are TOML's too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
