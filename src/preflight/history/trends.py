"""How the times of checks and the figures of GPUs went from run to run, for each host."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from preflight.history.runs import History, report_of
from preflight.model import LOCAL, Report, Status
from preflight.records.folder import Run

RUNS = 200  # the latest, which are looked at
MOST = 5_000  # measured values that are taken of one report

# What a device tells that changes from run to run, with its unit.
_FIGURES = {"temperature": "°C", "utilization": "%", "uncorrected": "errors"}


@dataclass(frozen=True, slots=True)
class Measured:
    """One value: the host it is of, `check` or `GPU`, what it is of, and its unit."""

    host: str
    kind: str
    name: str
    unit: str
    value: float


@dataclass(slots=True)
class Series:
    """What one thing measured at one host, the earliest first: the names of runs, and a value of each."""

    kind: str
    name: str
    unit: str
    runs: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Trends:
    """The series of each host by its name; `looked_at` runs had a report, and `flawed` could not be read."""

    hosts: Mapping[str, list[Series]]
    looked_at: int
    flawed: tuple[str, ...]


def trends(history: History, count: int = RUNS) -> Trends:
    """Return what the reports of the last `count` runs have measured."""
    found: dict[str, dict[tuple[str, str, str], Series]] = {}
    flawed, looked_at = [], 0
    for name, run in history.reports(count):
        measured = _measured(run)
        looked_at += 1
        if measured is None:
            flawed.append(name)
        for each in measured or ():
            key = each.kind, each.name, each.unit
            series = found.setdefault(each.host, {}).setdefault(key, Series(*key))
            series.runs.append(name)
            series.values.append(each.value)
    ordered = {host: [found[host][key] for key in sorted(found[host])] for host in sorted(found)}
    return Trends(hosts=ordered, looked_at=looked_at, flawed=tuple(flawed))


class _File(NamedTuple):
    """A report as it was at one time: its run's folder, when it was written and its size."""

    folder: str
    modified: int
    size: int


def _measured(run: Run) -> tuple[Measured, ...] | None:
    try:
        facts = os.stat(run.report)
    except OSError:
        return None
    return _of_file(_File(os.fspath(run.folder), facts.st_mtime_ns, facts.st_size))


@lru_cache(maxsize=2 * RUNS)
def _of_file(file: _File) -> tuple[Measured, ...] | None:
    """Return what a report has measured; kept, since a page is asked for often and a report changes seldom."""
    report, _ = report_of(Run(Path(file.folder)))
    if report is None:
        return None
    try:
        return tuple(islice(_of_report(report), MOST))
    except (TypeError, AttributeError, ValueError):
        return None


def _of_report(report: Report) -> Iterator[Measured]:
    own = str(report.facts.get("host") or "an unknown host")
    yield from _of_devices(own, report.facts)
    for place in report.places:
        yield from _of_devices(place.name, place.facts)
    for result in report.results:
        host = own if result.place == LOCAL else result.place
        if result.status in (Status.PASSED, Status.FAILED) and _is_number(result.seconds):
            yield Measured(host, "check", result.check, "s", float(result.seconds))
        for finding in result.findings:
            if finding.id == "gpu.speed":
                device = finding.message.partition(":")[0]
                for name, value in finding.evidence.items():
                    if _is_number(value):
                        yield Measured(host, "GPU", f"{device}: {name}", "", float(value))


def _of_devices(host: str, facts: Mapping[str, Any]) -> Iterator[Measured]:
    for number, device in enumerate(facts.get("gpus") or ()):
        told = f"GPU {device.get('index', number)} {device.get('name', '')}".rstrip()
        for name, unit in _FIGURES.items():
            if _is_number(value := device.get(name)):
                yield Measured(host, "GPU", f"{told}: {name}", unit, float(value))
        memory, free = device.get("memory"), device.get("free")
        if _is_number(memory) and _is_number(free):
            yield Measured(host, "GPU", f"{told}: memory in use", "GiB", (memory - free) / 2**30)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
