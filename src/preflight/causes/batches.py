"""Failures of programs that come from a batch which does not go with the model: its size, its labels, its shape."""

from __future__ import annotations

import re

from preflight.causes.failure import Failure, Said
from preflight.phrases import counted

_SHAPES = re.compile(
    r"shapes? cannot be multiplied|must match the size of tensor|must match the existing size|is invalid for input of "
    r"size|Expected hidden|Expected input batch_size|Expected batch size|size mismatch|Sizes of tensors must match|"
    r"shape mismatch|could not broadcast|size of tensor|inconsistent numbers of samples|expanded size"
)
# What models call their table of positions.
_POSITIONS = re.compile(r"(^|[._])(wpe|pe|pos\w*)(\.|_|$)")
_LEAVE_OUT = "DataLoader(..., drop_last=True)"


def explain_batch(failure: Failure) -> Said | None:
    """Return what there is to say where the batch in hand and the model do not go together."""
    explanations = (_one_value, _label, _token, _unequal, _hard_coded_size, _multiplied, _channels, _other_shapes)
    return next((said for explain in explanations if (said := explain(failure))), None)


def _one_value(failure: Failure) -> Said | None:
    if "Expected more than 1 value per channel when training" not in failure.text:
        return None
    norm = failure.layer or "BatchNorm"
    said = {
        "name": "last-batch-of-one",
        "message": f"a batch of one sample reaches {norm} in training",
        "cause": "it normalizes over the batch in training, and one sample has nothing to be normalized by",
        "fix": "Leave out batches of one sample, most often the last, incomplete one, or choose another batch size:\n"
        f"    {_LEAVE_OUT}",
    }
    if _is_evaluated(failure):
        said["message"] = f"the evaluation runs in training mode, and {norm} fails on a batch of one sample"
        said["cause"] = "the model is not put into eval mode, so the last batch of one is normalized by itself"
        said["fix"] = "Put the model into eval mode before the evaluation:\n    model.eval()"
    elif failure.batch.get("size") == 1 and failure.loader.get("batch_size") == 1:
        said["message"] = f"the batch size is 1, on which {norm} fails in training"
        said["fix"] = "Use a larger batch size, or a norm that does not need a batch: GroupNorm, LayerNorm"
    elif failure.batch.get("size") == 1 and failure.batch["last"]:
        said["message"] = f"the last batch {_of_how_many(failure)}holds one sample, on which {norm} fails in training"
        said["fix"] = f"Leave the last, incomplete batch out, or choose another batch size:\n    {_LEAVE_OUT}"
    return said


def _is_evaluated(failure: Failure) -> bool:
    """Tell whether the pass that the batch is of computes without gradients."""
    batch = failure.batch
    return any(
        (each["loader"], each["pass"]) == (batch.get("loader"), batch.get("pass")) and not each["grad"]
        for each in failure.done.of("mode")
    )


def _of_how_many(failure: Failure) -> str:
    loader = failure.loader
    if not loader.get("samples") or not loader.get("batch_size"):
        return ""
    return f"of {loader['samples']:,} samples with batch size {loader['batch_size']} "


def _label(failure: Failure) -> Said | None:
    found = re.search(r"Target (-?\d+) is out of bounds", failure.text)
    on_device = "device-side assert" in failure.text and re.search(r"t >= 0 && t < n_classes", failure.done.output)
    if not found and not on_device:
        return None
    value = int(found[1]) if found else None
    shapes = [each["shape"] for each in failure.tensors if "low" not in each and len(each["shape"]) > 1]
    labels = [each for each in failure.tensors if each.get("high") == value or each.get("low") == value]
    classes = shapes[0][1] if shapes else None
    range_of = f"labels run from {labels[0]['low']} to {labels[0]['high']} in this batch" if labels else ""
    allowed = f"the model gives {classes} classes (0..{classes - 1})" if classes else "the model has fewer classes"
    starts_at_one = classes is not None and value == classes and bool(labels) and labels[0]["low"] >= 1
    fix = "Correct the labels where they are read, or the number of classes of the model"
    if starts_at_one:
        fix = "Count the labels from 0, by subtracting 1 where they are read"
    if value is not None and value < 0:
        fix = "Take such samples out, or name the value to the loss as its ignore_index"
    return {
        "name": "label-range",
        "message": f"label {'' if value is None else f'{value} '}is out of range: {allowed}",
        "cause": range_of or "a label lies outside of what the last layer has outputs for",
        "fix": fix,
    }


def _token(failure: Failure) -> Said | None:
    on_device = "device-side assert" in failure.text and "srcIndex < srcSelectDimSize" in failure.done.output
    if "index out of range in self" not in failure.text and not on_device:
        return None
    ids = next((each for each in failure.tensors if "high" in each), None)
    table = re.search(r"Embedding\((\d+), ", failure.module.get("shown", ""))
    has = f"{failure.layer} has {int(table[1]):,} rows" if table else "the embedding has fewer rows"
    if table and _POSITIONS.search(failure.module["name"]):
        return {
            "name": "index-range",
            "message": f"a sequence is longer than the model has positions: {has}",
            "cause": "each position of a sequence has a row in that table, and texts are cut or padded to more than it",
            "fix": f"Cut them to {int(table[1]):,} where they are made, or build the model for longer ones "
            "(n_positions, max_position_embeddings)",
        }
    return {
        "name": "index-range",
        "message": f"index {ids['high'] if ids else ''} is out of range: {has}".replace("  ", " "),
        "cause": "a token, a position or a category has a number that the table was not made for, as where tokens were "
        "added to a tokenizer or a text is longer than the model's longest",
        "fix": "Make the table as large as the vocabulary, or cut and map the indices:\n"
        "    model.resize_token_embeddings(len(tokenizer))",
    }


def _unequal(failure: Failure) -> Said | None:
    pattern = r"stack expects each tensor to be equal size, but got (\[.*?\]) at entry 0 and (\[.*?\]) at entry (\d+)"
    found = re.search(pattern, failure.text)
    if not found and "each element in list of batch should be of equal size" not in failure.text:
        return None
    shapes = f": {found[1]} and {found[2]}" if found else ""
    return {
        "name": "unequal-samples",
        "message": f"samples of unequal shape are to be one batch{shapes}",
        "cause": "the dataset gives samples of different sizes, and the default collate_fn can only stack equal ones",
        "fix": "Bring them to one size in the dataset, or pad them in a function of your own:\n"
        "    DataLoader(..., collate_fn=pad)",
    }


def _hard_coded_size(failure: Failure) -> Said | None:
    """Explain a shape that fits full batches alone: it names the batch size, and this batch is smaller."""
    full, size = failure.loader.get("batch_size"), failure.batch.get("size")
    if not _SHAPES.search(failure.text) or not full or not size or not failure.batch["last"] or size >= full:
        return None
    numbers = [int(each) for each in re.findall(r"\d+", failure.text.partition("\n")[0])]
    if full not in numbers:
        return None
    return {
        "name": "last-batch-size",
        "message": f"the last batch {_of_how_many(failure)}holds {counted(size, 'sample')}, the program expects {full}",
        "cause": f"a shape is written for full batches: {failure.headline}",
        "fix": "Take the size from the batch itself (`len(x)`, `x.size(0)`), or leave the incomplete batch out:\n"
        f"    {_LEAVE_OUT}",
    }


def _multiplied(failure: Failure) -> Said | None:
    found = re.search(r"mat1 and mat2 shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)", failure.text)
    if not found:
        return None
    layer = f"{failure.layer} takes" if failure.layer else "a product of matrices takes"
    return {
        "name": "shape",
        "message": f"{layer} {found[2]} values of a sample and is given {found[1]}",
        "cause": "the layer before gives another number, as where the size of the input or of a layer was changed",
        "fix": f"Make the layer for {found[1]} inputs, or bring its input to {found[2]}",
    }


def _channels(failure: Failure) -> Said | None:
    found = re.search(r"expected input(\[.*?\]) to have (\d+) channels, but got (\d+) channels", failure.text)
    if not found:
        return None
    return {
        "name": "shape",
        "message": f"{failure.layer or 'a convolution'} takes {found[2]} channels and is given {found[3]}",
        "cause": f"the input has the shape {found[1]}: grey and colour images, or an order of dimensions, are mixed up",
        "fix": f'Convert where the images are read (`image.convert("RGB")`), or make the layer for {found[3]} channels',
    }


def _other_shapes(failure: Failure) -> Said | None:
    if not _SHAPES.search(failure.text) or not (failure.tensors or failure.is_in("torch", "numpy")):
        return None
    held = [f"{each['name']} {tuple(each['shape'])}" for each in failure.tensors[:6]]
    return {
        "name": "shape",
        "message": f"shapes do not go together: {failure.headline}",
        "cause": f"at work were {', '.join(held)}" if held else "the two have different shapes",
        "fix": "Bring the two to one shape in this line",
    }
