"""An environment.yml that somebody has written, edited so that it is true again, and not a sign more than that."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from preflight.envlock import constraints
from preflight.envlock.layout import (
    Node,
    Splice,
    addition,
    change,
    in_brackets,
    line_of,
    removals,
    root_of,
    spliced,
    without_key,
)
from preflight.envlock.model import Package
from preflight.envlock.specification import is_for, parse_spec, read_specification
from preflight.errors import UserError

_PROJECT = re.compile(r"(?:-e|--editable)[\s=]\s*(.+)|((?:\.{0,2}/|file:).*)")
_INCLUDE = re.compile(r"(?:-r|--requirement)[\s=]\s*(.+)")
_NAME = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What is installed: all `packages`, and the lines for those that are to be listed, `conda` and `pip`.

    `markers` are the values that environment markers go by there, where they are not those of this interpreter.
    """

    packages: Sequence[Package]
    platform: str
    conda: Sequence[str] = ()
    pip: Sequence[str] = ()
    markers: Mapping[str, str] = field(default_factory=dict)


def edit(text: str, present: Present, file: Path) -> str:
    """Return the text of `file` such that it lists nothing that is not there and no version that is another.

    A constraint that is met stays as it is, one that is not is mended in its form; lines for another platform, options,
    paths, anchors and aliases stay. What `present` wants listed is added where no line names it. A `prefix:` goes: it
    names a folder of one machine. Raises UserError where the file makes no sense.
    """
    read_specification(file, present.platform, text)
    root = root_of(text)
    listed = _dependencies(root)
    if listed is None:
        raise UserError("`dependencies` stands where it cannot be edited", where=str(file), fix="Write it out")
    pip = next((value for each in listed.children if (value := each.get("pip"))), None)
    there = {each.name: each for each in present.packages if each.manager == "conda"}
    conda = _Section(text, listed, _conda_keys, present.platform)
    conda.revise(lambda line: _revised_conda(line, there))
    conda.add(present.conda)
    if pip is None or pip.kind != "list":
        _begin_pip(conda, pip, present.pip, has_pip="pip" in there)
        splices = conda.splices()
    else:
        every = {str(canonicalize_name(each.name)): each for each in present.packages}
        section = _Section(text, pip, lambda line: _pip_keys(line, file), present.platform)
        section.revise(lambda line: _revised_pip(line, every, present.markers))
        section.add(present.pip)
        conda.gone += [each for each in listed.children if section.is_emptied and len(each.children) == 2]
        splices = conda.splices() + ([] if section.is_emptied else section.splices())
    return _ended_like(text, spliced(text, [*splices, *without_key(text, root, "prefix")]))


class _Section:
    """One list of the file, and what is to become of its lines."""

    def __init__(self, text: str, parent: Node, keys_of: Callable[[str], set[str]], platform: str) -> None:
        self.text, self.parent, self.keys_of, self.platform = text, parent, keys_of, platform
        self.entries = [each for each in parent.children if each.kind == "scalar"]
        self.keys = {key for each in self.entries for key in keys_of(each.value or "")}
        self.gone: list[Node] = []
        self.new: list[str] = []
        self.changed: list[Splice] = []

    @property
    def is_emptied(self) -> bool:
        """Whether no line is left."""
        return len(self.gone) == len(self.parent.children) > 0 and not self.new

    def revise(self, revised: Callable[[str], str | None]) -> None:
        """Give each line that counts here the text that it should have, None where it should go."""
        for node in self.entries:
            value = node.value or ""
            if node.is_shared or not is_for(line_of(self.text, node), self.platform):
                continue
            after = revised(value)
            if after is None:
                self.gone.append(node)
            elif after != value and (splice := change(self.text, node, after, is_flow=self.parent.is_flow)):
                self.changed.append(splice)

    def add(self, lines: Sequence[str]) -> None:
        """Add those lines that no other one has the key of."""
        self.new += [line for line in lines if not self.keys_of(line) & self.keys]

    def splices(self) -> list[Splice]:
        """Return what makes the text so."""
        removed = removals(self.text, self.parent, self.gone)
        added = [addition(self.text, self.parent, self.gone, self.new)] if self.new else []
        return [*self.changed, *removed, *added]


def _dependencies(root: Node) -> Node | None:
    below = root.get("<<")
    return root.get("dependencies") or (below.get("dependencies") if below else None)


def _begin_pip(conda: _Section, pip: Node | None, lines: Sequence[str], *, has_pip: bool) -> None:
    """Add the first lines of pip, where there was no list of it."""
    if not lines:
        return
    conda.add(["pip"] if has_pip and "pip" not in conda.new else [])
    if pip is not None:
        conda.changed.append(Splice(pip.start, pip.end, f" [{', '.join(in_brackets(line) for line in lines)}]"))
    elif conda.parent.is_flow:
        conda.new.append(f"{{pip: [{', '.join(in_brackets(line) for line in lines)}]}}")
    else:
        conda.new.append("\n- ".join(["pip:", *lines]))


def _conda_keys(line: str) -> set[str]:
    spec = parse_spec(line)
    return {spec.name} if spec else set()


def _revised_conda(line: str, there: Mapping[str, Package]) -> str | None:
    spec = parse_spec(line)
    if spec is None or spec.name.startswith("__") or "://" in line or line.startswith((".", "/")):
        return line
    package = there.get(spec.name)
    return constraints.for_conda(line, package) if package else None


def _pip_keys(line: str, file: Path) -> set[str]:
    """Return the name that a line is for, the folder, or the names in the file that it includes."""
    if found := _PROJECT.fullmatch(line.strip()):
        return {os.path.realpath(file.parent / (found[1] or found[2]).strip().removeprefix("file:"))}
    if found := _INCLUDE.fullmatch(line.strip()):
        with suppress(OSError):
            text = (file.parent / found[1]).read_text(encoding="utf-8", errors="replace")
            return {canonicalize_name(name) for name in _NAME.findall(text)}
    requirement = _requirement(line)
    return {canonicalize_name(requirement.name)} if requirement else set()


def _revised_pip(line: str, there: Mapping[str, Package], markers: Mapping[str, str]) -> str | None:
    requirement = _requirement(line)
    if requirement is None or (requirement.marker and not requirement.marker.evaluate({**markers, "extra": ""})):
        return line
    package = there.get(canonicalize_name(requirement.name))
    return constraints.for_pip(line, package.version) if package else None


def _requirement(line: str) -> Requirement | None:
    try:
        return Requirement(line.partition(" --")[0])
    except InvalidRequirement:
        return None


def _ended_like(before: str, after: str) -> str:
    return after if before.endswith("\n") else after.rstrip("\r\n")
