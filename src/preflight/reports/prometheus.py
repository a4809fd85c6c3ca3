"""The report as metrics, in the text format that node_exporter's textfile collector reads.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from preflight.model import Report, Result, Severity, Status
from preflight.reports.text import clipped
from preflight.verdict import Verdict, Word, refuses, unignored

_ORDER = (Status.PASSED, Status.SKIPPED, Status.FAILED, Status.BROKEN)

Sample = tuple[Mapping[str, str], float]


def render(report: Report, verdict: Verdict) -> str:
    """Return the metrics; every name begins with `preflight_`, every time is in seconds.

    Several results of one check at one place (one for each entry of the config has a name of its own) are one sample:
    the worst status, and the longest time.
    """
    config = {"config": report.config}
    results = _worst(report.results)
    lines = [
        _metric("verdict", "1 for the verdict of the last run, 0 for the others", _words(verdict, config)),
        _metric("exit_code", "Exit code of the last run", [(config, verdict.exit_code)]),
        _metric("start_time_seconds", "When the last run began, since the epoch", _moment(report, config)),
        _metric("duration_seconds", "How long the last run took", [(config, report.seconds)]),
        _metric(
            "results", "Results of the last run by status", [({**config, "status": n}, c) for n, c in _counts(verdict)]
        ),
        _metric(
            "nodes", "Nodes of the last run, 1 where there is only this machine", [(config, len(report.places) or 1)]
        ),
        _metric(
            "check_status",
            "0 passed, 1 skipped, 2 failed, 3 broken",
            [(_labels(each, config), _ORDER.index(_status(each))) for each in results],
        ),
        _metric("check_duration_seconds", "How long a check took", [(_labels(r, config), r.seconds) for r in results]),
        _metric(
            "check_warnings",
            "Warnings of a check that no entry of the config ignores",
            [(_labels(each, config), len(unignored(each, Severity.WARNING))) for each in results],
        ),
    ]
    return "".join(lines)


def _metric(name: str, what: str, samples: Iterable[Sample]) -> str:
    lines = [f"preflight_{name}{_told(labels)} {value:.10g}\n" for labels, value in samples]
    return "".join([f"# HELP preflight_{name} {what}\n# TYPE preflight_{name} gauge\n", *lines])


def _told(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return clipped(value).replace("\\", "\\\\").replace('"', '\\"')


def _words(verdict: Verdict, config: Mapping[str, str]) -> Iterator[Sample]:
    for word in Word:
        yield {**config, "verdict": word}, float(word is verdict.word)


def _moment(report: Report, config: Mapping[str, str]) -> Iterator[Sample]:
    try:
        yield config, datetime.fromisoformat(report.started).timestamp()
    except (ValueError, OverflowError):
        return


def _counts(verdict: Verdict) -> Sequence[tuple[str, int]]:
    return [(name, verdict.counts[name]) for name in ("passed", "failed", "skipped", "broken")]


def _labels(result: Result, config: Mapping[str, str]) -> dict[str, str]:
    return {**config, "check": result.check, "family": result.family, "place": result.place}


def _status(result: Result) -> Status:
    return Status.FAILED if refuses(result) and result.status is not Status.BROKEN else result.status


def _worst(results: Iterable[Result]) -> list[Result]:
    found: dict[tuple[str, str], Result] = {}
    for result in results:
        key = clipped(result.check), clipped(result.place)
        other = found.get(key)
        if other is None or _ORDER.index(_status(result)) > _ORDER.index(_status(other)):
            found[key] = result
    return list(found.values())
