"""What is said of a model that is in training mode where it is evaluated, or in eval mode where it learns."""

from __future__ import annotations

from collections.abc import Iterator

from preflight.model import Finding
from preflight.phrases import counted
from preflight.rehearsal.events import Event, where
from preflight.rehearsal.program import Rehearsed
from preflight.words import warning


def wrong_modes(done: Rehearsed) -> Iterator[Finding]:
    """Yield a finding for each place where the mode does not go with what the program does there.

    A pass over data counts as evaluation where its loader is never learned from. What samples with dropout on purpose
    leaves the whole model in eval mode, and passes without gradients over the training set only renew statistics.
    """
    told = set()
    for pid in dict.fromkeys(each["pid"] for each in done.of("trained")):
        events = [each for each in done.of("mode", "trained") if each["pid"] == pid]
        for found in (*_evaluated_in_training(events), *_trained_in_evaluation(events)):
            if (found.id, found.file, found.line) not in told:
                told.add((found.id, found.file, found.line))
                yield found


def _evaluated_in_training(events: list[Event]) -> Iterator[Finding]:
    learned = {each["loader"] for each in events if each["kind"] == "trained" or each["grad"]}
    wrong = [
        each
        for each in events
        if each["kind"] == "mode" and each["loader"] not in learned and each["whole"] and each["training"]
    ]
    for place in {
        (each["place"].get("file", ""), each["place"].get("line", 0)): each["place"] for each in wrong
    }.values():
        here = [each for each in wrong if each["place"] == place]
        active = ", ".join(dict.fromkeys(each["active"] for each in here))
        yield warning(
            f"{here[0]['model']} is evaluated in training mode: {active} runs as in training",
            id="rehearsal.evaluated-in-training",
            cause="gradients are off in this pass and its loader is never learned from, but nothing calls `eval()`: "
            "the result depends on chance and on the other samples of a batch",
            fix="Put the model into eval mode before the pass, and back after it:\n    model.eval()",
            evidence={"passes": len({(each["loader"], each["pass"]) for each in here})},
            **where(place),
        )


def _trained_in_evaluation(events: list[Event]) -> Iterator[Finding]:
    for loader in dict.fromkeys(each["loader"] for each in events):
        steps = [each for each in events if each["kind"] == "trained" and each["loader"] == loader]
        first = next((each for each in steps if not each["whole"]), None)
        if first is None or not steps[0]["whole"]:
            continue
        layers = [
            each
            for each in events
            if each["kind"] == "mode"
            and (each["loader"], each["pass"]) == (loader, first["pass"])
            and each["grad"]
            and not each["whole"]
        ]
        if not layers:
            continue
        active, place = layers[0]["active"], layers[0]["place"]
        passes = len({each["pass"] for each in steps if not each["whole"]})
        yield warning(
            f"{layers[0]['model']} stays in eval mode where it is trained from pass {first['pass']} on: {active} rests",
            id="rehearsal.trained-in-evaluation",
            cause="an evaluation calls `eval()`, and nothing calls `train()` before the training goes on",
            fix="Put the model back into training mode at the beginning of each epoch:\n    model.train()",
            evidence={"in eval mode": counted(passes, "pass", "passes")},
            **where(place),
        )
