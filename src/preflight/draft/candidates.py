"""The paths that a program uses, as a section may write them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from preflight.draft.project import Project
from preflight.draft.settings import Setting, matches, named
from preflight.system.strings import Origin, Variable
from preflight.system.uses import Act, Use

GLOB = re.compile(r"[*?\[]")


@dataclass(slots=True)
class Candidate:
    """A path as the section may write it, what it is now, and what the code does with it."""

    written: str
    actual: str
    name: str = ""
    acts: set[Act] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    pattern: str = ""
    is_certain: bool = False
    is_surely_read: bool = False
    made: list[Use] = field(default_factory=list)


def find_candidates(project: Project) -> list[Candidate]:
    """Return every text of the config, and every path that the program uses, each once."""
    settings = project.settings
    texts = [setting for setting in settings if isinstance(setting.value, str)]
    known = [Candidate(each.reference or each.value, each.value, each.name) for each in texts]
    candidates: dict[str, Candidate] = {}
    for candidate in known:
        candidates.setdefault(os.path.normpath(candidate.actual), candidate)
    on = {setting.steps for setting in settings if setting.value}
    for use in project.uses:
        if not any(matches(key, steps) for key in use.unless for steps in on):
            happens = all(any(matches(key, steps) for steps in on) for key in use.when)
            for candidate in _used(use, project):
                first = candidates.setdefault(os.path.normpath(candidate.actual), candidate)
                _note(first, replace(use, certain=use.certain and happens), candidate.pattern)
    return list(candidates.values())


def _note(candidate: Candidate, use: Use, pattern: str) -> None:
    candidate.acts.add(use.act)
    candidate.calls.append(use.call)
    candidate.is_certain |= use.certain
    candidate.is_surely_read |= use.certain and use.act is Act.READ
    candidate.pattern = candidate.pattern or pattern
    candidate.made += [use] if use.act is Act.WRITE else []


def _used(use: Use, project: Project) -> Iterator[Candidate]:
    """Yield the paths that a use is about."""
    origin, settings, defaults = use.origin, project.settings, project.flow.defaults
    if origin.parts == (key := origin.parts[0],) and isinstance(key, tuple):
        found = named(key, settings)
        yield from (
            Candidate(each.reference or each.value, each.value, each.name)
            for each in found
            if isinstance(each.value, str)
        )
        if found or key[-1] not in defaults or any(isinstance(part, tuple) for part in defaults[key[-1]].parts):
            return
        origin = defaults[key[-1]]
    if (known := _texts(origin, settings)) is None:
        return
    written, actual = known
    if use.act in (Act.WRITE, Act.FRESH):
        is_literal = all(isinstance(part, str) for part in origin.parts)
        if not (is_literal and use.call.endswith(("makedirs", "mkdir"))):
            written, actual = _existing_folder(written, actual, project.root)
        yield from [Candidate(written, actual)] if written else []
    elif use.act is Act.FETCH:
        yield Candidate(written, actual)
    else:
        yield _split_at_glob(written, actual)


def _texts(origin: Origin, settings: Sequence[Setting]) -> tuple[str, str] | None:
    """Return how the section writes the origin and what it is now, up to the first part that is not known."""
    written = actual = tail = ""
    is_whole = origin.whole
    for part in origin.parts:
        found = named(part, settings) if isinstance(part, tuple) else []
        if isinstance(part, str):
            tail = part
            written, actual = written + part, actual + part
        elif isinstance(part, Variable) and (value := os.environ.get(part.name, part.default)):
            tail = ""
            written, actual = written + reference_to(part), actual + value
        elif len(found) == 1 and isinstance(found[0].value, str | int):
            tail = ""
            written, actual = written + (found[0].reference or str(found[0].value)), actual + str(found[0].value)
        else:
            is_whole = False
            break
    if is_whole or not tail:
        return (written, actual) if written else None
    surplus = len(tail) - tail.rfind("/")
    return (written[:-surplus], actual[:-surplus]) if "/" in tail else None


def reference_to(variable: Variable) -> str:
    """Return how a config writes an environment variable with its default."""
    return f"${{oc.env:{variable.name}{',' if variable.default else ''}{variable.default}}}"


def _existing_folder(written: str, actual: str, root: Path) -> tuple[str, str]:
    """Return the path without the literal end that the program will make itself."""
    while not written.endswith("}") and not os.path.isdir(root / actual):
        step = written.rpartition("/")[2]
        if "}" in step or "/" not in written:
            return "", ""
        written, actual = written[: -len(step) - 1], actual[: -len(step) - 1]
    return written, actual


def _split_at_glob(written: str, actual: str) -> Candidate:
    tail = written.rpartition("}")[2]
    if (found := GLOB.search(tail)) and tail.startswith("/"):
        start = tail.rindex("/", 0, found.start())
        pattern = tail[start + 1 :]
        surplus = len(tail) - start
        return Candidate(written[:-surplus], actual[:-surplus], pattern=pattern)
    return Candidate(written, actual)
