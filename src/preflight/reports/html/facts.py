"""The facts of a report: the host, its GPUs as tiles, limits, variables, packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from preflight.model import Report
from preflight.quantities import format_size
from preflight.reports.html.markup import Markup, joined, tag

_SIZES = frozenset({"ram", "shm", "stack"})
_HOST = ("host", "system", "processors", "python", "interpreter", "commit", "branch", "driver_version", "on")
_FOLDED = ("limits", "variables", "mounts", "data", "locks", "packages")
_MOST = 2_000


def section(report: Report) -> Markup:
    """Return what was seen of the machine, and where several nodes share it, what they share."""
    facts = report.facts
    rows = [(name.replace("_", " "), str(facts[name])) for name in _HOST if facts.get(name)]
    tiles = [_tile(each) for each in facts.get("gpus") or () if isinstance(each, Mapping)]
    folded = [_folded(name, facts[name]) for name in _FOLDED if isinstance(facts.get(name), Mapping) and facts[name]]
    if not (rows or tiles or folded):
        return joined()
    heading = "What all nodes share" if report.places else "The machine"
    return tag(
        "section",
        {"aria-labelledby": "facts"},
        tag("h2", {"id": "facts"}, heading),
        tag("ul", {"class": "tiles"}, *tiles) if tiles else "",
        _list(rows),
        *folded,
    )


def _tile(device: Mapping[str, Any]) -> Markup:
    memory = device.get("memory")
    words = [
        format_size(memory) if isinstance(memory, int | float) else "",
        f"capability {_version(device['capability'])}" if device.get("capability") else "",
        str(device.get("pci") or ""),
    ]
    return tag(
        "li",
        None,
        tag("strong", None, f"GPU {device.get('index', '')}"),
        tag("span", None, str(device.get("name", ""))),
        *(tag("span", {"class": "quiet"}, each) for each in words if each),
    )


def _version(capability: object) -> str:
    return ".".join(map(str, capability)) if isinstance(capability, list | tuple) else str(capability)


def _folded(name: str, values: Mapping[str, Any]) -> Markup:
    count = f" ({len(values):,})"
    summary = tag("summary", None, tag("strong", None, name), tag("span", {"class": "quiet"}, count))
    rows = [(str(key), _word(str(key), value)) for key, value in islice(values.items(), _MOST)]
    return tag("details", {"class": "family"}, summary, _list(rows))


def _word(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(_parts(value))
    if isinstance(value, int) and value < 0:
        return "no limit"
    if name in _SIZES and isinstance(value, int):
        return format_size(value)
    return str(value)


def _parts(outline: Mapping[str, Any]) -> Iterator[str]:
    """Yield an outline of data in words, without its time in nanoseconds."""
    for key, value in outline.items():
        if key == "size" and isinstance(value, int):
            yield format_size(value)
        elif key == "sha256":
            yield f"SHA-256 {str(value)[:12]}"
        elif key != "modified":
            yield f"{value:,} {key}" if isinstance(value, int) and not isinstance(value, bool) else f"{key}: {value}"


def _list(rows: list[tuple[str, str]]) -> Markup:
    pairs = (tag("div", None, tag("dt", None, name), tag("dd", None, value)) for name, value in rows)
    return tag("dl", {"class": "facts"}, *pairs) if rows else joined()
