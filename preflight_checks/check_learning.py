"""Learning: whether the program can learn from what it does, as far as a few batches show that."""

from collections.abc import Iterator

from preflight import Finding, check
from preflight.causes import learning
from preflight.rehearsal.program import Rehearsed


@check(when="rehearsal", runs=2)
def check_loss_is_finite(rehearsed: Rehearsed) -> Iterator[Finding]:
    """Each loss that gradients are computed from is a finite number.

    learning.not-finite     a loss is NaN or infinite
    """
    yield from learning.not_finite(rehearsed)


@check(when="rehearsal", runs=2)
def check_every_parameter_can_learn(rehearsed: Rehearsed) -> Iterator[Finding]:
    """What an optimizer has to step gets gradients, and a learning rate above 0.

    Parameters whose modules are not called, and those inside of a library's model, may rest.

        learning.no-gradient    parameters of an optimizer never get a gradient, or only 0
        learning.no-rate        the learning rate is 0 in all steps
    """
    yield from learning.without_gradient(rehearsed)
    yield from learning.rests(rehearsed)


@check(when="rehearsal", runs=2)
def check_labels_are_of_several_classes(rehearsed: Rehearsed) -> Iterator[Finding]:
    """What the training compares with is of more than one class, within a batch too.

    learning.one-class      all labels are the same
    learning.sorted-labels  each batch holds one class: the data is not shuffled
    """
    yield from learning.one_class(rehearsed)


@check(when="rehearsal", runs=2)
def check_loss_begins_near_chance(rehearsed: Rehearsed) -> Iterator[Finding]:
    """The first cross entropy is not far above that of a model which knows nothing.

    learning.start-loss     it is more than three times what chance gives
    """
    yield from learning.far_from_chance(rehearsed)
