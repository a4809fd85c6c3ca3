"""A version constraint that is no longer met, written anew in the form that its writer chose."""

from __future__ import annotations

import re
from collections.abc import Callable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from preflight.envlock.model import Package
from preflight.envlock.specification import is_met, parse_spec

_CLAUSE = re.compile(r"(\s*)(===|==|>=|<=|!=|~=|=|>|<|)(\s*)([\w.+!*-]+)(\s*)")
_NAME = re.compile(r"(?:[^\s\[]+::)?[\w.-]+")
_EXTRAS = re.compile(r"\s*[\w.-]+\s*(?:\[[^\]]*\])?\s*\(?")


def for_conda(line: str, package: Package) -> str:
    """Return a line of `dependencies:` as it is where the package meets it, else with its version mended."""
    spec, name = parse_spec(line), _NAME.match(line)
    if spec is None or name is None or is_met(spec, package):
        return line
    head, rest = name[0], line[name.end() :]
    for written in (_of_conda(head, rest, package), f"{head}={package.version}"):
        found = parse_spec(written)
        if found and is_met(found, package):
            return written
    return line


def for_pip(line: str, version: str) -> str:
    """Return a requirement as it is where the version meets it, else with the version mended and without hashes."""
    requirement = Requirement(line.partition(" --")[0])
    if requirement.url or _allows(str(requirement.specifier), version):
        return line
    bare = line.partition(" --")[0]
    body, marker = (bare.partition(";")[0], bare[len(bare.partition(";")[0]) :])
    head = _EXTRAS.match(body)
    end = head.end() if head else 0
    stated = body[end:].rstrip().removesuffix(")")
    mended = _mended(stated, version, lambda clause: _allows(clause, version))
    for written in (body[:end] + mended + body[end + len(stated) :] + marker, f"{requirement.name}=={version}"):
        if _is_met_by(written, version):
            return written
    return line


def _is_met_by(line: str, version: str) -> bool:
    try:
        return _allows(str(Requirement(line).specifier), version)
    except InvalidRequirement:
        return False


def _allows(specifier: str, version: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidSpecifier:
        return False


def _of_conda(head: str, rest: str, package: Package) -> str:
    def holds(clause: str) -> bool:
        spec = parse_spec(f"{head}{clause}")
        return spec is not None and is_met(spec, package)

    if inner := re.fullmatch(r"(.*\bversion\s*=\s*)('[^']*'|\"[^\"]*\"|[^,\]]*)(.*\])", rest):
        quote = inner[2][:1] if inner[2][:1] in ("'", '"') else ""
        stated = inner[2].strip("'\"")
        bare = _mended(stated, package.version, lambda clause: holds(f" {clause}" if clause[:1].isalnum() else clause))
        return f"{head}{inner[1]}{quote}{bare}{quote}{inner[3]}"
    if exact := re.fullmatch(r"(\s*=\s*)([^=<>!~,|\s]+)(=)([^=\s]+)|(\s+)([^=<>!~,|\s]+)(\s+)(\S+)", rest):
        before, version, between, build = (each for each in exact.groups() if each is not None)
        version = version if holds(f"={version}") else _at_precision(package.version, version)
        there = parse_spec(f"{head}={version}={build}")
        build = build if there and is_met(there, package) else package.build or "*"
        return f"{head}{before}{version}{between}{build}"
    return head + _mended(rest, package.version, holds)


def _mended(stated: str, version: str, holds: Callable[[str], bool]) -> str:
    """Return clauses such as `>=1.26,<2` with those replaced that do not hold; of alternatives, one clause."""
    if "|" in stated:
        return f"={version}"
    kept = []
    for clause in stated.split(","):
        if holds(clause):
            kept.append(clause)
        elif found := _CLAUSE.fullmatch(clause):
            kept += _replaced(found, version)
        else:
            return f"={version}"
    return ",".join(kept)


def _replaced(clause: re.Match[str], version: str) -> list[str]:
    before, operator, space, wanted, after = clause.groups()
    rough = _at_precision(version.partition("+")[0], wanted)
    if operator == "!=":
        return []
    if operator == "<":
        *stem, last = rough.split(".")
        new = ("<", ".".join([*stem, str(int(last) + 1)])) if last.isdigit() else ("<=", version)
    elif operator == "<=":
        new = ("<=", version)
    elif operator in (">", ">="):
        new = (">=", rough)
    elif operator in ("", "==", "===") and "*" not in wanted:
        new = (operator, version)
    else:
        new = (operator, rough)
    return [f"{before}{new[0]}{space}{new[1]}{after}"]


def _at_precision(version: str, like: str) -> str:
    """Return a version with as many parts as another has, and with its star: 2.0 for 2.0.1 like 1.26."""
    stem = like.rstrip("*").rstrip(".")
    return ".".join(version.split(".")[: stem.count(".") + 1]) + like[len(stem) :]
