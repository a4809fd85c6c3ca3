"""What is said of the answers that a program gives to the questions of `rehearsal.learning`."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean

from preflight.model import Finding
from preflight.phrases import counted
from preflight.rehearsal.events import where
from preflight.rehearsal.program import Rehearsed
from preflight.words import error

# One batch counts as learned where its loss fell below this part of what it was.
_FALLEN = 0.7
_ENDS = 5
# So many shared samples may be twins that a dataset truly has.
_TWINS = 2
_PART = 0.01


def judge(question: str, done: Rehearsed) -> Iterator[Finding]:
    """Yield what there is to say of the answer to one question."""
    yield from {"overfit": _overfit, "repeatable": _repeatable, "independent": _independent, "disjoint": _disjoint}[
        question
    ](done)


def is_answered(question: str, done: Rehearsed) -> bool:
    """Tell whether a run has come to what a question is about."""
    return bool(done.of(question))


def _overfit(done: Rehearsed) -> Iterator[Finding]:
    losses = done.of("overfit")[0]["losses"]
    first, last = mean(losses[:_ENDS]), mean(losses[-_ENDS:])
    if last < _FALLEN * first or last < 1e-3:
        return
    yield error(
        f"one batch cannot be learned: its loss is {first:.3g} at first and {last:.3g} after {len(losses)} steps",
        id="learning.cannot-overfit",
        found=f"{last:.3g}",
        wanted=f"less than {_FALLEN * first:.3g}",
        cause="a model that can learn knows one batch by heart soon: the graph is cut, the labels do not go with the "
        "inputs, or the learning rate is far too small or large (a warm-up that is longer than this counts as small)",
        fix="Look at the gradients and at the learning rate of the first steps",
        evidence={"losses": losses},
    )


def _repeatable(done: Rehearsed) -> Iterator[Finding]:
    told = done.of("repeatable")[0]
    if not told["equal"]:
        yield error(
            f"{told['model']} in eval mode gives two results for one batch",
            id="learning.not-repeatable",
            found=f"differences up to {told['far']:.3g}",
            cause="something in it is left to chance in eval mode too, such as `functional.dropout` without "
            "`training=self.training`, or a layer that is not registered as a module",
            fix="Make it depend on the mode:\n    functional.dropout(x, p, training=self.training)",
            **where(told["place"]),
        )


def _independent(done: Rehearsed) -> Iterator[Finding]:
    told = done.of("independent")[0]
    if told["constant"]:
        yield error(
            f"{told['model']} gives the same for every sample of a batch",
            id="learning.ignores-input",
            cause="its output does not depend on its input: the path through it is cut, or all units are dead",
            fix="Look at what each layer gives for two samples",
            **where(told["place"]),
        )
    elif not told["others"]:
        yield error(
            f"{told['model']} mixes the samples of a batch: one was exchanged, and others change by {told['far']:.3g}",
            id="learning.mixes-samples",
            cause="an operation goes over the batch where it should go over a sample: a `view` or `transpose` that "
            "mixes up dimensions, a softmax or a norm over dimension 0, attention without batch_first",
            fix="Look at the dimensions that the reshaping and the reductions in `forward` are over",
            **where(told["place"]),
        )


def _disjoint(done: Rehearsed) -> Iterator[Finding]:
    for told in done.of("disjoint"):
        if told["shared"] > max(_TWINS, _PART * told["looked"]):
            yield error(
                f"{told['shared']:,} of {counted(told['looked'], 'sample')} that are not to be learned from are in the "
                "training set",
                id="learning.shared-samples",
                found=f"{told['shared']:,} shared",
                wanted="none",
                cause="the sets are cut from one whole with an overlap, or hold copies of the same examples",
                fix="Split by example before anything is copied or augmented, and by person or document where there "
                "are several of one",
                evidence={"hashed in the training set": told["known"]},
                **where(told["place"]),
            )
