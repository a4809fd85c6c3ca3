"""What is said of how a program learns, from what its standard rehearsal shows of losses, labels and gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from preflight.model import Finding
from preflight.phrases import counted, in_a_row
from preflight.rehearsal.events import Event, where
from preflight.rehearsal.program import Rehearsed
from preflight.words import error, warning

# A loss at the start is told where it is above so many times what chance gives, and above that by as much.
_TIMES, _ABOVE = 3.0, 3.0


def not_finite(done: Rehearsed) -> Iterator[Finding]:
    """Yield a finding where a loss that gradients are computed from is NaN or infinite."""
    for pid in _pids(done, "loss"):
        losses = [each for each in done.of("loss") if each["pid"] == pid]
        # In half precision an overflow belongs to the search for a scale.
        wrong = next((each for each in losses if _is_wrong(each)), None)
        if wrong is None:
            continue
        before = [each["value"] for each in losses[: losses.index(wrong)] if each["place"] == wrong["place"]]
        grows = len(before) > 1 and before[-1] > 2 * before[0]
        were = in_a_row([f"{each:.3g}" for each in before[-3:]])
        yield error(
            f"the loss is {wrong['value']} in backward pass {wrong['number']}",
            id="learning.not-finite",
            wanted="a finite number",
            cause=f"the training diverges: the loss was {were} before"
            if grows
            else "something gives a value that is not finite: a log or a root of 0, a division by "
            "0, or a missing value in the data",
            fix="Lower the learning rate, or clip the gradients"
            if grows
            else "Find the first operation that gives it:\n    torch.autograd.set_detect_anomaly(True)",
            evidence={"losses": before[-10:], **_batch(wrong)},
            **where(wrong["place"]),
        )
        return


def without_gradient(done: Rehearsed) -> Iterator[Finding]:
    """Yield a finding for each optimizer that has parameters which cannot learn."""
    told = set()
    for each in done.of("optimizer"):
        key = str(each["place"]), str(each["unreached"])
        if not each["steps"] or not each["parameters"] or key in told:
            continue
        told.add(key)
        if each["unreached"] is None and each["parameters"] == 1 and _learns(done, each["pid"]):
            continue
        many = counted(each["parameters"], "parameter")
        if each["unreached"] is None:
            yield error(
                f"{each['optimizer']} learns nothing: none of its {many} ever gets a gradient",
                id="learning.no-gradient",
                cause="it was made with the parameters of another model, or the loss does not depend on them",
                fix="Make the optimizer from the parameters of the model that is trained, once it is built:\n"
                f"    torch.optim.{each['optimizer']}(model.parameters())",
                evidence={"steps": each["steps"]},
                **where(each["place"]),
            )
        elif each["zero"]:
            yield error(
                f"{each['optimizer']} learns nothing: all gradients of its {many} are 0",
                id="learning.no-gradient",
                cause="the loss rests whatever they are, as where it is multiplied by 0 or all units are dead",
                fix="Look at what lies between the parameters and the loss",
                evidence={"steps": each["steps"]},
                **where(each["place"]),
            )
        elif each["left"] and each["strays"]:
            yield error(
                f"no optimizer steps {in_a_row(each['strays'])}, and {each['optimizer']} holds "
                f"{counted(each['left'], 'parameter')} of no module",
                id="learning.no-gradient",
                cause="a layer was replaced after the optimizer had been made: the optimizer has the parameters of the "
                "old one, and the new one never learns",
                fix="Make the optimizer once the model is built:\n"
                f"    torch.optim.{each['optimizer']}(model.parameters())",
                evidence={"strays": each["strays"][:50], "steps": each["steps"]},
                **where(each["place"]),
            )
        elif each["unreached"]:
            yield warning(
                f"{counted(len(each['unreached']), 'parameter')} of {each['parameters']:,} never get a gradient: "
                f"{in_a_row(each['unreached'])}",
                id="learning.no-gradient",
                cause="their modules are called in training, and the loss does not depend on what they give: the graph "
                "is cut (`detach`, `no_grad`, `.data`, `argmax`), or the result is not used",
                fix="Use what they compute, or take them out of the optimizer",
                evidence={"unreached": each["unreached"][:50], "steps": each["steps"]},
                **where(each["place"]),
            )


def _learns(done: Rehearsed, pid: int) -> bool:
    """Tell whether something learns: beside it, an optimizer of one number may stand for a learning rate alone."""
    return any(each["pid"] == pid and each["steps"] and each["unreached"] is not None for each in done.of("optimizer"))


def rests(done: Rehearsed) -> Iterator[Finding]:
    """Yield a finding for each optimizer whose learning rate is 0 in all of its steps."""
    for each in done.of("optimizer"):
        if each["steps"] > 2 and each["rates"] == [0.0]:
            yield warning(
                f"{each['optimizer']} moves nothing: its learning rate is 0 in all {each['steps']} steps",
                id="learning.no-rate",
                cause="a scheduler or a setting gives 0",
                fix="Correct the learning rate, or how the scheduler is stepped",
                **where(each["place"]),
            )


def ends_early(done: Rehearsed) -> Iterator[Finding]:
    """Yield a finding for a schedule that ends before the program does, since it leaves incomplete batches out.

    Only where that explains the number of its steps: a program may also end after a number of steps, or leave passes.
    """
    loaders = {(each["pid"], each["loader"]): each for each in done.of("loader")}
    shown = {(each["pid"], each["loader"], each["number"]): each["shown"] for each in done.of("pass")}
    for each in done.of("schedule"):
        pid, passes = each["pid"], each["passes"]
        given = [loaders.get((pid, loader), {}) for loader, _, _ in passes]
        are_stepped = all(count == shown.get((pid, loader, number)) for loader, number, count in passes)
        is_each = each["steps"] == sum(count for _, _, count in passes) > 0
        if each["asked"] or not are_stepped or not is_each or not all(one.get("length") for one in given):
            continue
        incomplete = [one for one in given if one["last"] and one["last"] < (one["batch_size"] or 0)]
        makes = sum(one["length"] for one in given)
        if not makes - len(incomplete) <= each["total"] < makes:
            continue
        one = incomplete[0]
        yield error(
            f"{each['schedule']} ends after {each['total']:,} steps, and the program makes {makes:,}: it raises in the "
            "last pass",
            id="learning.schedule-ends",
            found=f"total_steps {each['total']:,}",
            wanted=f"{makes:,}",
            cause="its steps are counted without the incomplete last batch: "
            f"{one['samples'] or 0:,} samples in batches of {one['batch_size']} are {one['length']:,} batches",
            fix="Count them by the loader:\n    total_steps=epochs * len(loader)",
            **where(each["place"]),
        )


def one_class(done: Rehearsed) -> Iterator[Finding]:
    """Yield a finding where all labels that training sees are of one class, or each batch is of one class.

    Targets that are not the labels of the data are left alone: those of a contrastive loss (as many classes as
    samples), and those that tell real from generated samples.
    """
    for pid in _pids(done, "loss"):
        losses = [each for each in done.of("loss") if each["pid"] == pid and each["batch"] and each.get("classes")]
        if len(losses) < 3 or any(len(each["labels"]) != 1 for each in losses):
            continue
        if 2 * losses[0]["classes"] > max(each["samples"] for each in losses):
            continue
        batches = [(each["batch"]["loader"], each["batch"]["pass"], each["batch"]["index"]) for each in losses]
        numbers = [each["labels"][0] for each in losses]
        first_pass = [number for number, batch in zip(numbers, batches, strict=True) if batch[:2] == batches[0][:2]]
        if len({*numbers}) == 1:
            yield from _one_class(done, losses[0])
        elif len(batches) == len({*batches}) and first_pass in (sorted(first_pass), sorted(first_pass)[::-1]):
            yield warning(
                f"each batch of the training holds one class: {in_a_row(list(dict.fromkeys(numbers)))}",
                id="learning.sorted-labels",
                cause="the data is sorted by class and not shuffled, so each step unlearns the one before",
                fix="Shuffle the training set:\n    DataLoader(..., shuffle=True)",
                **where(losses[0]["place"]),
            )


def _one_class(done: Rehearsed, loss: Event) -> Iterator[Finding]:
    """Yield the finding where the dataset itself, looked at all over, has that one label."""
    label = loss["labels"][0]
    for told in done.of("labels"):
        if told["pid"] == loss["pid"] and told["loader"] == loss["batch"]["loader"] and told["labels"] == [label]:
            yield warning(
                f"all labels of the training are {label}, in {counted(told['sampled'], 'sample')} from all over it",
                id="learning.one-class",
                cause="the labels are read wrongly, or the data was filtered down to one class",
                fix="Look at where the labels are read",
                **where(loss["place"]),
            )


def far_from_chance(done: Rehearsed) -> Iterator[Finding]:
    """Yield a finding where the first loss is far above that of a model which knows nothing."""
    first = next((each for each in done.of("loss") if each.get("classes", 0) > 1), None)
    if first is None or first["number"] > 1 or isinstance(first["mean"], str):
        return
    chance = math.log(first["classes"])
    if first["mean"] > max(_TIMES * chance, chance + _ABOVE):
        yield warning(
            f"the loss begins at {first['mean']:.3g}; chance gives {chance:.3g} for {first['classes']} classes",
            id="learning.start-loss",
            found=f"{first['mean']:.3g}",
            wanted=f"about {chance:.3g}",
            cause="the model begins sure of what it cannot know: inputs are not scaled (0 to 255), weights are too "
            "large, or labels are in another order than those a checkpoint was trained for",
            fix="Scale the inputs to about 0 mean and 1 variance, and look at how the last layer is initialized",
            evidence=_batch(first),
            **where(first["place"]),
        )


def _pids(done: Rehearsed, kind: str) -> list[int]:
    return list(dict.fromkeys(each["pid"] for each in done.of(kind)))


def _is_wrong(loss: Event) -> bool:
    return loss["value"] == "nan" or (isinstance(loss["value"], str) and loss["dtype"] in {"float32", "float64"})


def _batch(loss: Event) -> dict[str, Any]:
    return {"batch": {key: loss["batch"][key] for key in ("pass", "index", "size")}} if loss["batch"] else {}
