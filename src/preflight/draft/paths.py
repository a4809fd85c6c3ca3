"""Which of a config's values are paths, and what the code does with them: entries for `data:` and `paths:`."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preflight.config.document import Node, child_key
from preflight.config.references import References
from preflight.system.flow import Origin
from preflight.system.uses import Act, Behaviour, Use

Entry = dict[str, Any]

# Files that are counted in a folder; of a larger one it is said that it holds at least so many.
MOST_FILES = 100_000

_OUTPUT = re.compile(
    r"(out(put)?s?|logs?|logging|save|run|results?|work|exp|experiment|checkpoints?|ckpts?|tensorboard|tb)"
    r"_?(dir|directory|path|folder|root)|out(put)?|logs"
)
_PATH_NAME = re.compile(r"(.*_)?(path|dir|directory|root|file|folder|data|dataset|csv|train|val|valid|test|weights)")
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
_KEY = re.compile(r"[\w-]+")
_GLOB = re.compile(r"[*?\[]")
_NO_PATH = re.compile(r"-?|.*[\n\0{}%].*|.*://.*|/(dev|proc|sys)(/.*)?|.*\.(py|ipynb|sh)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Setting:
    """One single value of the experiment's own config; `reference` is empty where none can be written to it."""

    steps: tuple[str, ...]
    value: Any
    reference: str

    @property
    def name(self) -> str:
        """The last word of the key that is no index."""
        return next((step.lower() for step in reversed(self.steps) if not step.isdecimal()), "")


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


@dataclass(slots=True)
class Suggested:
    """The entries, and how many files the program holds open at once."""

    data: list[Entry] = field(default_factory=list)
    paths: list[Entry] = field(default_factory=list)
    held: int = 0


def read_settings(root: Node, references: References) -> list[Setting]:
    """Return the single values of a config, `preflight:` left out, resolved where they can be."""
    experiment = {key: child for key, child in root.value.items() if key != "preflight"}
    return list(_settings(references.resolve(Node(experiment, 1), "", strict=False), (), ""))


def _settings(node: Node, steps: tuple[str, ...], reference: str) -> Iterator[Setting]:
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            name = str(key)
            is_usable = _KEY.fullmatch(name) and (reference or not steps)
            yield from _settings(child, (*steps, name), child_key(reference, name) if is_usable else "")
    elif isinstance(node.value, list):
        for index, child in enumerate(node.value):
            below = child_key(reference, index, index=True) if reference else ""
            yield from _settings(child, (*steps, str(index)), below)
    else:
        yield Setting(steps, node.value, f"${{{reference}}}" if reference else "")


def suggest_paths(settings: Sequence[Setting], behaviour: Behaviour, root: Path, source: Path | None) -> Suggested:
    """Return the entries that config and code suggest; nothing that is healthy now should fail by them."""
    texts = [setting for setting in settings if isinstance(setting.value, str)]
    known = [Candidate(each.reference or each.value, each.value, each.name) for each in texts]
    candidates: dict[str, Candidate] = {}
    for candidate in known:
        candidates.setdefault(os.path.normpath(candidate.actual), candidate)
    switched_on = {setting.steps for setting in settings if setting.value}
    for use in behaviour.uses:
        if not any(_matches(key, steps) for key in use.unless for steps in switched_on):
            for candidate in _used(use, settings, behaviour.defaults, root):
                _note(candidates.setdefault(os.path.normpath(candidate.actual), candidate), use, candidate.pattern)
    suggested = Suggested()
    for candidate in candidates.values():
        if not _NO_PATH.fullmatch(candidate.actual) and not _is_same(root / candidate.actual, source):
            _suggest(candidate, root, suggested)
    written = {entry["path"] for entry in suggested.paths}
    suggested.paths = [
        entry for entry in suggested.paths if not any(entry["path"].startswith(f"{path}/") for path in written)
    ]
    return suggested


def _note(candidate: Candidate, use: Use, pattern: str) -> None:
    candidate.acts.add(use.act)
    candidate.calls.append(use.call)
    candidate.is_certain |= use.certain
    candidate.pattern = candidate.pattern or pattern


# From what the code says to how the section writes it


def _matches(key: tuple[str, ...], steps: tuple[str, ...]) -> bool:
    return bool(key) and steps[-len(key) :] == key


def _named(key: tuple[str, ...], settings: Sequence[Setting]) -> list[Setting]:
    """Return the settings that the code means by a key: that one, the only one that ends so, or the items of a list."""
    exact = [setting for setting in settings if setting.steps == key]
    items = [setting for setting in settings if setting.steps[-1].isdecimal() and setting.steps[:-1] == key]
    ending = [setting for setting in settings if _matches(key, setting.steps)]
    return exact or items or (ending if len(ending) == 1 else [])


def _used(use: Use, settings: Sequence[Setting], defaults: Mapping[str, Origin], root: Path) -> Iterator[Candidate]:
    """Yield the paths that a use is about."""
    origin = use.origin
    if origin.parts == (key := origin.parts[0],) and isinstance(key, tuple):
        found = _named(key, settings)
        yield from (
            Candidate(each.reference or each.value, each.value, each.name)
            for each in found
            if isinstance(each.value, str)
        )
        if found or key[-1] not in defaults or not all(isinstance(part, str) for part in defaults[key[-1]].parts):
            return
        origin = defaults[key[-1]]
    if (known := _texts(origin, settings)) is None:
        return
    written, actual = known
    if use.act in (Act.WRITE, Act.FRESH):
        is_literal = all(isinstance(part, str) for part in origin.parts)
        if not (is_literal and use.call.endswith(("makedirs", "mkdir"))):
            written, actual = _existing_folder(written, actual, root)
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
        found = [] if isinstance(part, str) else _named(part, settings)
        if isinstance(part, str):
            tail = part
            written, actual = written + part, actual + part
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
    if (found := _GLOB.search(tail)) and tail.startswith("/"):
        start = tail.rindex("/", 0, found.start())
        pattern = tail[start + 1 :]
        surplus = len(tail) - start
        return Candidate(written[:-surplus], actual[:-surplus], pattern=pattern)
    return Candidate(written, actual)


# From a candidate to its entry


def _suggest(candidate: Candidate, root: Path, suggested: Suggested) -> None:
    path = os.path.join(root, os.path.expanduser(candidate.actual))
    exists = os.path.exists(path)
    looks_written = bool(_OUTPUT.fullmatch(candidate.name)) and not os.path.isfile(path)
    if Act.FETCH in candidate.acts and not exists:
        suggested.data += _fetched(candidate)
    elif candidate.acts & {Act.WRITE, Act.FRESH} or (looks_written and not (candidate.acts and exists)):
        suggested.paths += _written(candidate, path)
    elif candidate.acts or (_looks_like_path(candidate, path) and not _holds_project(path, root)):
        entry, number = _data(candidate, path)
        suggested.data += [entry] if entry and not _is_above(path, root) else []
        suggested.held += number if Act.HOLD in candidate.acts else 0


def _looks_like_path(candidate: Candidate, path: str) -> bool:
    has_form = "/" in candidate.actual or os.path.isfile(path) or bool(_PATH_NAME.fullmatch(candidate.name))
    return has_form and (os.path.exists(path) or bool(_GLOB.search(path) and glob.glob(path)))


def _fetched(candidate: Candidate) -> list[Entry]:
    if not candidate.is_certain or not _HUB_NAME.fullmatch(candidate.actual):
        return []
    files = {"Tokenizer": "tokenizer_config.json", "Model": "config.json"}
    names = [name for word, name in files.items() if any(word in call for call in candidate.calls)]
    return [{"hub": candidate.written} | ({"files": names} if names else {})]


def _written(candidate: Candidate, path: str) -> list[Entry]:
    if "${" in path or (not candidate.is_certain and not _is_writable(path)):
        return []
    reads = Act.READ in candidate.acts and Act.FRESH not in candidate.acts and os.path.exists(path)
    entry = {"path": candidate.written, "access": "read+write" if reads else "write"}
    return [entry | ({"empty": True} if Act.FRESH in candidate.acts else {})]


def _data(candidate: Candidate, path: str) -> tuple[Entry | None, int]:
    """Return the entry for what is read, and the number of its files."""
    entry: Entry = {"path": candidate.written}
    if os.path.isdir(path):
        pattern, number = _count_files(path, candidate.pattern)
        files = ({"glob": pattern} if pattern else {}) | {"min": max(number, 1)}
        return (entry | {"files": files} if number or candidate.is_certain else None), number
    if not os.path.exists(path) and _GLOB.search(candidate.actual):
        number = len(glob.glob(path, recursive=True))
        return (entry | {"files": {"min": max(number, 1)}} if number or candidate.is_certain else None), number
    return (entry if os.path.exists(path) or candidate.is_certain else None), 1


def _count_files(folder: str, pattern: str) -> tuple[str, int]:
    """Return a pattern and how many files of the folder match; without one given, that of the commonest suffix."""
    if pattern:
        found = glob.iglob(os.path.join(glob.escape(folder), pattern), recursive=True)
        return pattern, sum(1 for _ in itertools.islice(found, MOST_FILES))
    walked = (name for _, _, names in os.walk(folder, followlinks=True) for name in names if not name.startswith("."))
    suffixes = Counter(os.path.splitext(name)[1] for name in itertools.islice(walked, MOST_FILES))
    suffix, number = suffixes.most_common(1)[0] if suffixes else ("", 0)
    is_plain = suffix and number * 2 >= suffixes.total() and re.fullmatch(r"\.\w+", suffix)
    return (f"**/*{suffix}", number) if is_plain else ("", suffixes.total())


def _is_same(path: Path, source: Path | None) -> bool:
    return source is not None and os.path.realpath(path) == os.path.realpath(source)


def _is_above(path: str, root: Path) -> bool:
    return Path(os.path.realpath(root)).is_relative_to(os.path.realpath(path))


def _holds_project(path: str, root: Path) -> bool:
    return _is_above(path, root) or (os.path.isdir(path) and _count_files(path, "")[0] == "**/*.py")


def _is_writable(path: str) -> bool:
    while not os.path.lexists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return os.access(path, os.W_OK)
