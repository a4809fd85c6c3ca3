"""What can be known of an import that failed, and of a module that came from a stray folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from preflight.system.libraries import LinkFailure, link_failure
from preflight.system.modules import Imported, Outcome
from preflight.system.origins import STRAY, SearchPath, Shadow, Source, foreign_binaries, frames, shadow, tripped
from preflight.system.packages import Installed, owner_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A module from a stray `folder` that the environment has too; `binaries` name the other Python it is for."""

    name: str
    folder: str
    source: Source
    version: str
    hidden_version: str
    binaries: str = ""


def leak_of(file: str, path: SearchPath) -> Leak | None:
    """Return the leak by which `file` was imported, None where it came from where it should."""
    found = shadow(file, path)
    if found is None or found.source not in STRAY or found.hidden_source is not Source.ENVIRONMENT:
        return None
    folder = path.of_file(found.file)[0]
    here, there = (owner_of(each, path) for each in (found.file, found.hidden))
    return Leak(
        name=found.name,
        folder=folder,
        source=found.source,
        version=here.version if here else "",
        hidden_version=there.version if there else "",
        binaries=foreign_binaries(os.path.join(folder, found.name)),
    )


@dataclass(frozen=True)
class Failed:
    """One import that failed, and the world in which it did."""

    facts: Imported
    path: SearchPath
    root: Path

    @cached_property
    def shadow(self) -> Shadow | None:
        """The file that hides what the import needs."""
        return tripped(self.facts, self.path)

    @cached_property
    def link(self) -> LinkFailure | None:
        """What the dynamic loader refused."""
        return link_failure(self.facts.error)

    @cached_property
    def installed(self) -> Installed:
        """All that is installed, where the modules of this import come from too."""
        near = [self.path.of_file(file)[0] for file in (self.link.binary if self.link else "", self.facts.file) if file]
        return Installed.in_folders([*self.path.installations, *filter(None, near)])

    @property
    def headline(self) -> str:
        """The error in one line: its type, and the first line of its message that says something."""
        kind, _, message = self.facts.error.partition(":")
        return f"{kind}: {next(iter(message.strip().splitlines()), '').strip()}".rstrip(": ")

    @property
    def subject(self) -> tuple[str, ...]:
        """What is to blame: two imports with one subject fail for one reason."""
        facts = self.facts
        if self.shadow:
            return ("shadow", self.shadow.file)
        if facts.outcome is Outcome.MISSING:
            return ("missing", facts.missing)
        return ("raised", facts.error, facts.file, str(facts.line)) if facts.error else ("died", facts.name)

    def goes_through(self, module: str) -> bool:
        """Say whether it failed while `module`, of another package, was being imported."""
        top = module.partition(".")[0]
        own = self.facts.name.partition(".")[0]
        return top != own and top in {self.path.top_level(file) for file in frames(self.facts.traceback)}
