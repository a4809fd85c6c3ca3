"""What is remembered of plain runs: the world of the last GO and that of the last run, for each config of a user."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from preflight import writing
from preflight.model import Report
from preflight.records.differences import compare, suspects_of
from preflight.records.world import World, world_of
from preflight.verdict import Word, decide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.config import Config

_VERSION = 1
GO, LAST = "go", "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """The world that a run met, when that was (ISO 8601) and what came of it."""

    at: str
    verdict: str
    world: World


def remember(report: Report, config: Config, *, whole: bool = True, side: str = "") -> Report:
    """Note the world of a run, and return its report: one that is no GO with what has changed since the last GO.

    A run that is not `whole`, or was broken off, is compared and not noted. `side` is the side of a launch that all of
    its checks belong to: each side has a memory of its own. Where nothing can be noted or read, as in a home that is
    full or not there, nothing is.
    """
    verdict = decide(report)
    world = world_of(report.facts, config.text, config.source)
    last_go = recall(config, GO, side)
    if whole and not report.interrupted:
        met = Met(at=report.started, verdict=verdict.word, world=world)
        _note(_folder(config, side), met, *((GO, LAST) if verdict.word is Word.GO else (LAST,)))
    if verdict.word is Word.GO or last_go is None:
        return report
    try:
        differences = compare(last_go.world, world, suspects_of(report))
    except (TypeError, AttributeError, ValueError):  # a damaged memory, or one of another version
        return report
    since = {"at": last_go.at, "differences": [asdict(each) for each in differences]}
    return replace(report, facts={**report.facts, "since": since})


def recall(config: Config, which: str, side: str = "") -> Met | None:
    """Return the world of the last GO, or of the last run, with this config; None where nothing is known of one."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        data = json.loads((_folder(config, side) / f"{which}.json").read_bytes())
        if data["version"] == _VERSION:
            world = {str(kind): dict(values) for kind, values in data["world"].items()}
            return Met(at=str(data["at"]), verdict=str(data["verdict"]), world=world)
    return None


def _note(folder: Path, met: Met, *names: str) -> None:
    text = json.dumps({"version": _VERSION, "at": met.at, "verdict": met.verdict, "world": met.world}, default=str)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        writing.replace({folder / f"{name}.json": text.encode() for name in names}, mode=0o600, durable=False)


def _folder(config: Config, side: str) -> Path:
    """Return the folder of one config, or of a project without any, below what the XDG specification has for state."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    whose = os.path.realpath(config.source or config.root)
    name = hashlib.blake2b(os.fsencode(f"{whose}\0{side}"), digest_size=16).hexdigest()
    return Path(state, "preflight", "worlds", name)
