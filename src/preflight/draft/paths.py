"""Which of a config's values are paths, and what the code does with them: entries for `data:` and `paths:`."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from preflight.draft import contents
from preflight.draft.candidates import GLOB, Candidate, find_candidates
from preflight.draft.project import Project
from preflight.quantities import format_size
from preflight.system.uses import Act
from preflight.system.watched import at

Entry = dict[str, Any]

# Files that are counted in a folder; of a larger one it is said that it holds at least so many. One of many may be
# dropped since it is broken.
MOST_FILES, FEW_FILES = 100_000, 300

_OUTPUT = re.compile(
    r"(out(put)?s?|logs?|logging|save|run|results?|work|exp|experiment|checkpoints?|ckpts?|tensorboard|tb)"
    r"_?(dir|directory|path|folder|root)|out(put)?|logs"
)
_PATH_NAME = re.compile(r"(.*_)?(path|dir|directory|root|file|folder|data|dataset|csv|train|val|valid|test|weights)")
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
_NO_PATH = re.compile(r"-?|\d+|.*[\n\0{}%].*|.*://.*|:memory:|/(dev|proc|sys)(/.*)?|.*\.(py|ipynb|sh)", re.DOTALL)
# What a job reads from elsewhere.
_URL = re.compile(r"(https?|s3|gs|gcs|abfss?|az|ftp|postgresql(\+\w+)?|mysql(\+\w+)?)://[^\s{}]+$")
# Free space: what a file of unknown size may need, and what is wanted at least and at most where sizes are not known.
_UNKNOWN_FILE, _UNKNOWN_LEAST, _UNKNOWN_MOST = 10**7, 10**8, 5 * 10**8
# A hub's library needs room for what it fetches, and file systems keep some for themselves.
_MARGIN = 1.05
_SAVES = (
    "save", "save_checkpoint", "save_model", "save_pretrained", "save_file", "ModelCheckpoint", "TrainingArguments"
)  # fmt: skip
_CHECKPOINTS = (".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".npz", ".pkl")


@dataclass(slots=True)
class Suggested:
    """The entries, how many files the program holds open at once, and the bytes of the largest that it reads whole."""

    data: list[Entry] = field(default_factory=list)
    paths: list[Entry] = field(default_factory=list)
    held: int = 0
    loaded: int = 0


def suggest_paths(project: Project) -> Suggested:
    """Return the entries that config and code suggest; nothing that is healthy now should fail by them."""
    suggested = Suggested()
    candidates = find_candidates(project)
    for candidate in candidates:
        if candidate.is_surely_read and _URL.match(candidate.actual):
            suggested.data.append({"path": candidate.written})
        if _NO_PATH.fullmatch(candidate.actual) or _is_told_below(candidate, candidates):
            continue
        if not _is_same(project.root / candidate.actual, project.source):
            _suggest(candidate, project, suggested)
    written = {entry["path"] for entry in suggested.paths}
    suggested.paths = [
        entry for entry in suggested.paths if not any(entry["path"].startswith(f"{path}/") for path in written)
    ]
    return suggested


def _is_told_below(candidate: Candidate, candidates: Sequence[Candidate]) -> bool:
    """Tell whether the code only goes to what is below a folder of the config; that says more than the folder."""
    below = (each for each in candidates if each.written.startswith(f"{candidate.written}/"))
    return not candidate.acts and any(Act.READ in each.acts and each.is_certain for each in below)


def _suggest(candidate: Candidate, project: Project, suggested: Suggested) -> None:
    root = project.root
    path = os.path.join(root, os.path.expanduser(candidate.actual))
    at(path)
    exists = os.path.exists(path)
    looks_written = bool(_OUTPUT.fullmatch(candidate.name)) and not os.path.isfile(path)
    if Act.FETCH in candidate.acts and not exists:
        suggested.data += _fetched(candidate)
    elif candidate.acts & {Act.WRITE, Act.FRESH} or (looks_written and not (candidate.acts and exists)):
        suggested.paths += _written(candidate, path)
        if candidate.is_surely_read and candidate.pattern and Act.FRESH not in candidate.acts:
            _suggest_data(replace(candidate, acts={Act.READ}), path, project, suggested)
    elif candidate.acts or (_looks_like_path(candidate, path) and not _holds_project(path, root)):
        _suggest_data(candidate, path, project, suggested)


def _suggest_data(candidate: Candidate, path: str, project: Project, suggested: Suggested) -> None:
    entry, number = _data(candidate, path)
    if entry and not _is_above(path, project.root):
        suggested.data.append(
            entry | contents.looked_into(path, entry.get("files", {}).get("glob", ""), project.columns)
        )
    suggested.held += number if Act.HOLD in candidate.acts else 0
    if candidate.is_surely_read and os.path.isfile(path) and not candidate.made:
        suggested.loaded = max(suggested.loaded, os.path.getsize(path))


def _looks_like_path(candidate: Candidate, path: str) -> bool:
    has_form = "/" in candidate.actual or os.path.isfile(path) or bool(_PATH_NAME.fullmatch(candidate.name))
    return has_form and (os.path.exists(path) or bool(GLOB.search(path) and glob.glob(path)))


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
    entry: Entry = {"path": candidate.written, "access": "read+write" if reads else "write"}
    entry |= {"empty": True} if Act.FRESH in candidate.acts else {}
    return [entry | _room(candidate, path)]


def _room(candidate: Candidate, path: str) -> Entry:
    """Return how much will be written: by the sizes that are known, by those of an earlier run, else a modest floor."""
    saved = [use for use in candidate.made if use.call.rpartition(".")[2].endswith(_SAVES)]
    if not saved:
        return {}
    earlier = _sizes_of_checkpoints(path)
    usual = max(earlier, default=0)
    sizes = [use.times * (use.size or usual) for use in saved]
    # What an earlier run has left may be written over.
    free = max(int(sum(sizes) * _MARGIN) - sum(earlier), usual)
    if 0 in sizes:
        count = sum(use.times for use in saved)
        free = max(free, _UNKNOWN_LEAST, min(count * _UNKNOWN_FILE, _UNKNOWN_MOST))
    files = sum(use.times for use in candidate.made if use.times > 1)
    return {"free": format_size(free).replace(" ", "")} | ({"inodes": files} if files else {})


def _sizes_of_checkpoints(folder: str) -> list[int]:
    """Return the bytes of each checkpoint that an earlier run has left there."""
    if not os.path.isdir(folder):
        return []
    return [each.stat().st_size for each in os.scandir(folder) if each.name.endswith(_CHECKPOINTS) and each.is_file()]


def _data(candidate: Candidate, path: str) -> tuple[Entry | None, int]:
    """Return the entry for what is read, and the number of its files."""
    entry: Entry = {"path": candidate.written}
    if os.path.isdir(path):
        pattern, number = _count_files(path, candidate.pattern)
        files = ({"glob": pattern} if pattern else {}) | {"min": _least(1 if candidate.made else number)}
        return (entry | {"files": files} if number or candidate.is_certain else None), number
    if not os.path.exists(path) and GLOB.search(candidate.actual):
        number = len(glob.glob(path, recursive=True))
        return (entry | {"files": {"min": _least(number)}} if number or candidate.is_certain else None), number
    return (entry if os.path.exists(path) or candidate.is_certain else None), 1


def _least(number: int) -> int:
    """Return how many files there must be: all of a few, which may be numbered, and nearly all of many."""
    return max(number if number <= FEW_FILES else number - number // 20, 1)


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
