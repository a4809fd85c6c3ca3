"""What environment.yml asks for: read it, and say whether what is installed is that."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from preflight.envlock.document import Document
from preflight.envlock.model import Package

_SELECTOR = re.compile(r"(.+?)\s*#.*\[([^\[\]]+)\][^()]*$")
_PLATFORMS = {
    "linux-64": {"linux64", "unix", "linux"},
    "linux-aarch64": {"aarch64", "unix", "linux"},
    "linux-ppc64le": {"ppc64le", "unix", "linux"},
    "osx-64": {"osx64", "osx", "unix"},
    "osx-arm64": {"arm64", "osx", "unix"},
    "win-64": {"win", "win64"},
}
_SPEC = re.compile(
    r"(?:(?P<channel>[^\s\[]+)::)?(?P<name>[\w.-]+)\s*(?P<version>[^\[\s=]*[^\[]*?)\s*(?:\[(?P<more>.*)\])?"
)
_CLAUSE = re.compile(r"(===|==|>=|<=|!=|~=|=|>|<|)\s*([\w.+!*-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One line of `dependencies:`, taken apart: `channel::name version build`; empty where it does not say."""

    name: str
    version: str = ""
    build: str = ""
    channel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """An environment.yml as it is for one platform; `pip` are its requirements as they stand there."""

    file: Path
    name: str = ""
    channels: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    conda: tuple[Spec, ...] = ()
    pip: tuple[str, ...] = ()
    has_pip: bool = False
    category: str = "main"
    repositories: tuple[str, ...] = ()
    text: str = field(default="", repr=False)


def read_specification(file: Path, platform: str, text: str | None = None) -> Specification:
    """Return what the file asks for on a platform; raises UserError where it makes no sense."""
    document = Document(file, text)
    for_platform = Document(file, _selected(document.text, platform))
    value = for_platform.value
    items = _list(for_platform, "dependencies")
    conda, pip = [], []
    has_pip = False
    for number, item in enumerate(items):
        if isinstance(item, str):
            conda.append(_spec(for_platform, number, item))
        elif isinstance(item, dict) and set(item) <= {"pip"}:
            if item.get("pip") is not None:
                has_pip = True
                pip += [str(each) for each in item["pip"]]
        else:
            for_platform.refuse(("dependencies", number), f"{item!r} is no package, wanted text or `pip:` with a list")
    return Specification(
        file=file,
        text=document.text,
        name=str(value.get("name") or ""),
        channels=tuple(map(str, _list(for_platform, "channels"))),
        platforms=tuple(map(str, document.value.get("platforms") or ())),
        conda=tuple(conda),
        pip=tuple(pip),
        has_pip=has_pip,
        category=str(value.get("category") or "main"),
        repositories=tuple(map(str, _list(for_platform, "pip-repositories"))),
    )


def parse_spec(text: str) -> Spec | None:
    """Return a specification such as `numpy>=1.26,<2` taken apart, None where it is none."""
    found = _SPEC.fullmatch(text.strip())
    if found is None:
        return None
    version, build = _version_and_build(found["version"].strip())
    more = dict(re.findall(r"(\w+)\s*=\s*['\"]?([^'\",\]]*(?:,[^'\"=\]]*)*)['\"]?", found["more"] or ""))
    return Spec(
        name=found["name"].lower(),
        version=more.get("version", version),
        build=more.get("build", build),
        channel=found["channel"] or more.get("channel", ""),
    )


def is_met(spec: Spec, package: Package) -> bool:
    """Say whether a package is what the specification asks for; where that is hard to tell, it is."""
    if spec.build and package.build and not _matches(spec.build, package.build):
        return False
    if spec.version in ("", "*"):
        return True
    return any(
        all(_holds(clause.strip(), package.version) for clause in part.split(",")) for part in spec.version.split("|")
    )


def _version_and_build(text: str) -> tuple[str, str]:
    """Return version and build of `=1.26`, `1.26.4 py_0`, `=1.26.4=py_0` and `>=1, <2`, as conda reads them."""
    bare = re.sub(r"\s*([,|]|[<>=!~]+)\s*", r"\1", text)
    version, _, build = bare.partition(" ")
    exact = re.fullmatch(r"=?([^=<>!~,|\s]+)=([^=\s]+)", version)
    if exact:
        return exact[1], exact[2]
    if build:
        return version.removeprefix("=" if not version.startswith("==") else "=="), build.strip()
    if version.startswith("=="):
        return version[2:], ""
    if re.fullmatch(r"=[^=<>!~,|]+", version):
        bare = version[1:]
        return bare if bare.endswith("*") else f"{bare}.*", ""
    if re.fullmatch(r"[\w.]+[^.]\*", version):
        return f"{version[:-1]}.*", ""
    return version, ""


def _spec(document: Document, number: int, text: str) -> Spec:
    spec = parse_spec(text)
    if spec is None:
        document.refuse(("dependencies", number), f"{text!r} is no package specification")
    return spec


def _list(document: Document, key: str) -> list[Any]:
    value = document.value.get(key)
    if value is None and key != "dependencies":
        return []
    if not isinstance(value, list):
        kind = "is missing" if value is None else "is no list"
        document.refuse((key,), f"`{key}` {kind}", f"List the packages: {key}: [python, pip]")
    return value


def _selected(text: str, platform: str) -> str:
    """Return the text without the lines that a comment such as `# [osx]` keeps for another platform."""
    return "\n".join(line if is_for(line, platform) else "" for line in text.splitlines())


def is_for(line: str, platform: str) -> bool:
    """Say whether a line counts on a platform: a comment such as `# [osx]` keeps it for another."""
    found = None if line.lstrip().startswith("#") else _SELECTOR.match(line)
    return found is None or found[2] in _PLATFORMS.get(platform, {found[2]})


def _matches(pattern: str, text: str) -> bool:
    from fnmatch import fnmatchcase

    return pattern.startswith("^") or fnmatchcase(text, pattern)


def _holds(clause: str, version: str) -> bool:
    found = _CLAUSE.fullmatch(clause)
    if found is None:
        return True
    operator, wanted = found[1], found[2]
    if operator in ("", "=", "==", "===") or (operator == "!=" and wanted.endswith("*")):
        return _equals(operator, wanted, version) is (operator != "!=")
    try:
        there, other = Version(version), Version(wanted.rstrip(".*"))
    except InvalidVersion:
        return True
    if operator == "~=":
        return there >= other and there.release[: len(other.release) - 1] == other.release[:-1]
    return bool(
        {">=": there >= other, "<=": there <= other, ">": there > other, "<": there < other, "!=": there != other}[
            operator
        ]
    )


def _equals(operator: str, wanted: str, version: str) -> bool:
    if wanted == "*":
        return True
    stem = wanted.rstrip("*").rstrip(".")
    if operator == "=" or wanted.endswith("*"):
        return version == stem or version.startswith(f"{stem}.")
    try:
        return Version(version) == Version(wanted)
    except InvalidVersion:
        return version == wanted
