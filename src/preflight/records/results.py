"""The results of a run's checks as they come, on its record, so that others see how far it is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from preflight.model import LOCAL, Result
from preflight.records.folder import Run

FILE = "results.jsonl"


class Results:
    """Watches the checks of a run and writes down each result; what cannot be written is left out.

    Nothing waits for the disk: the report, which is written when all have ended, is what counts.
    """

    def __init__(self, run: Run) -> None:
        self._descriptor = -1
        with suppress(OSError):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._descriptor = os.open(run.folder / FILE, flags, 0o644)
        self._write(begun=time.time())

    def planned(self, ids: Sequence[str], place: str = LOCAL) -> None:
        """Note which checks there will be."""
        self._write(planned=list(ids), **_of(place))

    def started(self, check: str, place: str = LOCAL) -> None:
        """Note that a check runs."""
        self._write(started=check, **_of(place))

    def ended(self, result: Result) -> None:
        """Note how a check ended."""
        self._write(result=result.to_json())

    def tick(self) -> None:
        """Do nothing: time that passes is no news."""

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, **told: Any) -> None:
        if self._descriptor >= 0:
            with suppress(OSError, ValueError, TypeError):
                os.write(self._descriptor, json.dumps(told, default=str).encode() + b"\n")


@dataclass(slots=True)
class Partial:
    """What has been written of checks that have not all ended.

    `running` are those that have begun and not ended; `begun` is in seconds since 1970, 0 where nothing is known;
    `results` have their `started` in seconds from then on. On many nodes `planned` holds a check once for each, and
    `running` says at which.
    """

    begun: float = 0.0
    planned: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)


def read_results(run: Run) -> Partial | None:
    """Return what is there of a run whose report is older or not there; None where there is no such thing.

    A line that is cut off or damaged is passed over.
    """
    try:
        if _time(run.folder / FILE) <= _time(run.report):
            return None
        lines = (run.folder / FILE).read_bytes().splitlines()
    except OSError:
        return None
    partial = Partial()
    for line in lines:
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            _take(json.loads(line), partial)
    return partial


def _take(told: Mapping[str, Any], partial: Partial) -> None:
    match told:
        case {"begun": int() | float() as begun}:
            partial.begun = begun
        case {"planned": [*ids]}:
            partial.planned += [str(each) for each in ids]
        case {"started": str(check)}:
            partial.running.append(_at(check, str(told.get("place", LOCAL))))
        case {"result": Mapping() as data}:
            result = Result.from_json(data)
            result = replace(result, started=max(0.0, result.started - partial.begun))
            partial.results.append(result)
            with suppress(ValueError):
                partial.running.remove(_at(result.check, result.place))


def _of(place: str) -> dict[str, str]:
    return {} if place == LOCAL else {"place": place}


def _at(check: str, place: str) -> str:
    return check if place == LOCAL else f"{check} at {place}"


def _time(file: os.PathLike[str]) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except FileNotFoundError:
        return -1
