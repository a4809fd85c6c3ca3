"""What uv and pip themselves say of the files of packages; both with the user's own configuration."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from preflight.envlock.choice import File, chosen
from preflight.envlock.environment import Environment
from preflight.system.packages import Distribution

SECONDS = 300.0


def by_uv(
    distributions: Sequence[Distribution], environment: Environment, root: Path, *, offline: bool
) -> dict[str, File]:
    """Return the files that uv finds, by the distribution's key; none where there is no uv, or it finds not all."""
    uv = shutil.which("uv")
    if uv is None or not distributions:
        return {}
    command = [uv, "pip", "compile", "--quiet", "--no-deps", "--no-header", "--format", "pylock.toml"]
    command += ["--python", environment.python, "--index-strategy", "unsafe-best-match", "-"]
    pins = "".join(f"{each.key}=={each.version}\n" for each in distributions)
    said = _said([*command, *(["--offline"] if offline else [])], root, pins)
    try:
        packages = tomllib.loads(said).get("packages", [])
    except tomllib.TOMLDecodeError:
        return {}
    offers = {str(each["name"]): list(files_of(each)) for each in packages}
    found = {each.key: chosen(offers.get(each.key, ()), each) for each in distributions}
    return {key: file for key, file in found.items() if file}


def by_pip(distributions: Sequence[Distribution], environment: Environment, root: Path) -> dict[str, File]:
    """Return the files that pip would install, by the distribution's key; wheels only, since a source would be run.

    Where pip finds not all it is asked for each by itself.
    """
    if not distributions or not any((Path(each) / "pip").is_dir() for each in environment.site_packages):
        return {}
    found = _reported(distributions, environment, root)
    if not found and len(distributions) > 1:
        for each in distributions:
            found |= _reported([each], environment, root)
    return found


def files_of(package: dict[str, Any]) -> Iterator[File]:
    """Yield the files that a package of a pylock.toml lists."""
    for each in [*package.get("wheels", ()), *filter(None, (package.get("sdist"), package.get("archive")))]:
        url = str(each.get("url") or "")
        name = str(each.get("name") or unquote(urlsplit(url).path.rpartition("/")[2]))
        yield File(name=name, url=url, sha256=str((each.get("hashes") or {}).get("sha256") or ""))


def _reported(distributions: Iterable[Distribution], environment: Environment, root: Path) -> dict[str, File]:
    by_key = {each.key: each for each in distributions}
    command = [environment.python, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--ignore-installed"]
    command += ["--disable-pip-version-check", "--no-input", "--only-binary", ":all:", "--report", "-"]
    said = _said([*command, *(f"{each.key}=={each.version}" for each in by_key.values())], root)
    try:
        installs = json.loads(said)["install"]
    except (ValueError, KeyError):
        return {}
    found = {}
    for each in installs:
        info = each["download_info"]
        url = str(info["url"])
        digest = str(((info.get("archive_info") or {}).get("hashes") or {}).get("sha256") or "")
        file = File(name=unquote(urlsplit(url).path.rpartition("/")[2]), url=url, sha256=digest)
        distribution = by_key.get(canonicalize_name(each["metadata"]["name"]))
        if distribution and chosen([file], distribution):
            found[distribution.key] = file
    return found


def _said(command: Sequence[str], folder: Path, text: str = "") -> str:
    """Return what a program writes, nothing where it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout
