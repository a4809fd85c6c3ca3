"""What the rehearsal foretells, and how memory and the time of a batch went while it ran."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from preflight.model import Finding, Result
from preflight.quantities import format_duration, format_size
from preflight.reports.html.markup import Markup, joined, tag

_WIDTH, _HEIGHT = 600, 80


def section(results: Sequence[Result]) -> Markup:
    """Return the forecasts, and a plot of what was measured at each batch where the report has it."""
    found = [each for result in results for each in result.findings if result.family in ("forecasts", "rehearsal")]
    if not found:
        return joined()
    return tag(
        "section",
        {"aria-labelledby": "rehearsal"},
        tag("h2", {"id": "rehearsal"}, "Rehearsal"),
        tag("ul", {"class": "lines"}, *(tag("li", None, each.message) for each in found)),
        *_plots(found),
    )


def _plots(found: Sequence[Finding]) -> Iterator[Markup]:
    for finding in found:
        curve = _points(finding.evidence.get("curve"))
        if len(curve) < 2:
            continue
        moments = [each[0] for each in curve]
        yield tag(
            "div",
            {"class": "plots"},
            _plot("memory of the process", moments, [each[1] for each in curve], format_size),
            _plot("seconds of a batch", moments, [each[2] for each in curve], format_duration),
        )


def _points(curve: object) -> list[tuple[float, float, float]]:
    """Return (seconds since the first batch, bytes, seconds that the batch took), those that are numbers."""
    found = []
    for each in curve if isinstance(curve, list | tuple) else ():
        match each:
            case [int() | float() as at, int() | float() as size, int() | float() as took]:
                found.append((float(at), float(size), float(took)))
    return found


def _plot(name: str, moments: Sequence[float], values: Sequence[float], words: object) -> Markup:
    assert callable(words)
    top, span = max(values) or 1.0, (moments[-1] - moments[0]) or 1.0
    places = [
        f"{(at - moments[0]) / span * _WIDTH:.1f},{_HEIGHT - value / top * (_HEIGHT - 6):.1f}"
        for at, value in zip(moments, values, strict=True)
    ]
    line = tag("path", {"d": f"M{' L'.join(places)}", "fill": "none"})
    floor = tag("line", {"x1": 0, "y1": _HEIGHT, "x2": _WIDTH, "y2": _HEIGHT})
    note = f"{name}: at most {words(top)}, over {format_duration(span)}"
    view = {"viewBox": f"0 0 {_WIDTH} {_HEIGHT}", "role": "img", "aria-label": note, "preserveAspectRatio": "none"}
    return tag("figure", None, tag("svg", view, floor, line), tag("figcaption", None, note))
