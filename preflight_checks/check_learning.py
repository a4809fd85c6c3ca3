"""Learning: whether the program can learn from what it does, as far as a few batches show that.

See it by hand:

    preflight run --config foo.yaml --only rehearsal learning

Mend it:

    Change the program where the finding points: its labels, its loss, what it optimizes, the mode that it evaluates in.
"""

from collections.abc import Callable, Iterator

import pytest

from preflight import Finding, check
from preflight.causes import answers, learning
from preflight.causes.rehearsals import why
from preflight.rehearsal.program import Rehearsed


@check(when="rehearsal", at="node")
def check_loss_is_finite(rehearsed: Rehearsed) -> Iterator[Finding]:
    """Each loss that gradients are computed from is a finite number.

    learning.not-finite     a loss is NaN or infinite
    """
    yield from learning.not_finite(rehearsed)


@check(when="rehearsal", at="node")
def check_every_parameter_can_learn(rehearsed: Rehearsed) -> Iterator[Finding]:
    """What an optimizer has to step gets gradients, and a learning rate above 0.

    Parameters whose modules are not called, and those inside of a library's model, may rest.

        learning.no-gradient    parameters of an optimizer never get a gradient, or only 0
        learning.no-rate        the learning rate is 0 in all steps
    """
    yield from learning.without_gradient(rehearsed)
    yield from learning.rests(rehearsed)


@check(when="rehearsal", at="node")
def check_schedule_lasts(rehearsed: Rehearsed) -> Iterator[Finding]:
    """A schedule of learning rates that raises after its last step (OneCycleLR) has one for each batch of the real run.

    learning.schedule-ends      its steps are counted without the incomplete last batches
    """
    yield from learning.ends_early(rehearsed)


@check(when="rehearsal", at="node")
def check_labels_are_of_several_classes(rehearsed: Rehearsed) -> Iterator[Finding]:
    """What the training compares with is of more than one class, within a batch too.

    learning.one-class      all labels are the same
    learning.sorted-labels  each batch holds one class: the data is not shuffled
    """
    yield from learning.one_class(rehearsed)


@check(when="rehearsal", at="node")
def check_loss_begins_near_chance(rehearsed: Rehearsed) -> Iterator[Finding]:
    """The first cross entropy is not far above that of a model which knows nothing.

    learning.start-loss     it is more than three times what chance gives
    """
    yield from learning.far_from_chance(rehearsed)


@check(per="rehearsal.learning", runs=1, at="node")
def check_answer_is_right(entry: str, questioned: Callable[..., Rehearsed]) -> Iterator[Finding]:
    """What `rehearsal.learning` asks has a good answer, each in a run of its own.

    `overfit`: one batch, given again and again, can be learned. `repeatable`: in eval mode the model gives the same
    for one batch twice. `independent`: what it gives for a sample depends on that sample, and on no other of the batch.
    `disjoint`: samples of the sets that are not learned from do not lie in the training set; the first 3,000 of each
    are compared by their content.

        learning.cannot-overfit     the loss of one batch does not fall
        learning.not-repeatable     two results for one batch
        learning.mixes-samples      another sample of the batch makes a difference
        learning.ignores-input      the output is the same for every sample
        learning.shared-samples     a set shares samples with the training set
    """
    done = questioned(entry)
    if not answers.is_answered(entry, done):
        failed = why(done)
        pytest.skip(f"the run does not come to what {entry} asks" + (f": {failed.message}" if failed else ""))
    yield from answers.judge(entry, done)
