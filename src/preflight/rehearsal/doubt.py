"""Whether a failure may come of the rehearsal itself: the program was shown less data than it counts on."""

from __future__ import annotations

from preflight.rehearsal.forecasts import main_loaders
from preflight.rehearsal.passes import Loader
from preflight.rehearsal.program import Rehearsed


def places_to_show_whole(done: Rehearsed, seconds: float) -> list[str]:
    """Return the loaders, as `file:line`, that another run must show whole before its failure is believed.

    Who collects what a pass gives and compares it with the whole data set (as many predictions as labels) fails after
    a pass that was cut, and not on a batch. Of such passes as many are named as fit into `seconds`, short ones first.
    """
    raised = [event for event in done.of("raised") if event["how"] != "worker"]
    if not done.code or done.code < 0 or not raised or any(event["batch"] for event in raised):
        return []
    places: dict[str, list[Loader]] = {}
    for loader in main_loaders(done.events):
        if loader.facts["place"]:
            at = f"{loader.facts['place']['file']}:{loader.facts['place']['line']}"
            places.setdefault(at, []).append(loader)
    costs = {at: sum(map(_cost, loaders)) for at, loaders in places.items() if any(map(_is_cut, loaders))}
    left, chosen = seconds - done.seconds, []
    for at in sorted(costs, key=lambda at: costs[at]):
        left -= costs[at]
        if left > 0:
            chosen.append(at)
    return chosen


def _is_cut(loader: Loader) -> bool:
    length = loader.length
    return any(each.ended is not None and (length is None or len(each.batches) < length) for each in loader.passes)


def _cost(loader: Loader) -> float:
    """Return the seconds that were left out; a stream that has no length may have no end."""
    if loader.length is None:
        return float("inf")
    return max(loader.times(), default=0.0) * (loader.length * len(loader.passes) - loader.shown())
