"""What programs compute with: tokens, batches, gradients."""

from preflight.causes.known.exception import Known

TENSORS = (
    # Text and tokenizers.
    Known(
        "no-pad-token",
        r"tokenizer does not have a padding token|batch sizes > 1 if no padding token is defined",
        "the tokenizer has no pad token, and batches are to be padded",
        "tokenizers made for generation, such as that of GPT-2, define no padding token",
        "Set one after the tokenizer is loaded, and tell the model of it:\n"
        "    tokenizer.pad_token = tokenizer.eos_token\n"
        "    model.config.pad_token_id = tokenizer.pad_token_id",
    ),
    Known(
        "no-padding",
        r"Unable to create tensor, you should probably activate truncation and/or padding",
        "texts of unequal length are made into one tensor without padding",
        "the samples of the batch have unequal numbers of tokens",
        "Pad in the tokenizer call or in the collator:\n    tokenizer(texts, padding=True, truncation=True)",
    ),
    # Gradients.
    Known(
        "no-graph",
        r"element 0 of tensors does not require grad and does not have a grad_fn",
        "the loss depends on no parameter that is to be learned",
        "the graph is cut before the loss: by no_grad, detach, item, argmax, or since all parameters are frozen",
        "Compute the loss from the model's output with gradients on",
    ),
    Known(
        "graph-twice",
        r"Trying to backward through the graph a second time",
        "backward goes through one graph for the second time",
        "something from an earlier step (a hidden state, a running loss) still carries its graph",
        "Cut it between the steps:\n    state = state.detach()",
    ),
    Known(
        "in-place",
        r"modified by an inplace operation",
        "a tensor that backward needs was changed in place",
        "an operation such as `+=`, `relu_` or an assignment to a slice overwrites what the gradient is computed from",
        "Make a new tensor there in place of changing the old one",
    ),
    Known(
        "needs-detach",
        r"Can't call numpy\(\) on Tensor that requires grad",
        "a tensor with a gradient is made into an array",
        "numpy cannot carry a graph",
        "Cut it first:\n    tensor.detach().cpu().numpy()",
    ),
    Known(
        "unused-parameters",
        r"Expected to have finished reduction in the prior iteration before starting a new one",
        "DistributedDataParallel waits for gradients that never come",
        "some parameters take no part in the loss",
        "Freeze or remove them, or have DDP look for them:\n"
        "    DistributedDataParallel(model, find_unused_parameters=True)",
    ),
    # Data.
    Known(
        "empty-data",
        r"num_samples should be a positive integer value, but got num_samples=0",
        "the dataset is empty",
        "nothing was found where its samples are looked for",
        "Correct the path or the filter that it is made with",
    ),
    Known(
        "not-a-batch",
        r"batch must contain tensors, numpy arrays, numbers, dicts or lists; found <class '(?P<kind>[\w.]+)'>",
        "a sample holds a {kind}, of which the default collate_fn makes no batch",
        "`__getitem__` returns it, or returns nothing at all (NoneType)",
        "Return tensors, arrays or numbers from the dataset, or collate them in a function of your own:\n"
        "    DataLoader(..., collate_fn=collate)",
    ),
    Known(
        "dtype",
        r"expected target dtype to be Long or Byte, but got (?P<found>\w+)",
        "the labels of a cross entropy are {found}, and class numbers are whole",
        "the labels were read as numbers with a fraction",
        "Convert them where they are read:\n    labels.long()",
    ),
    Known(
        "dtype",
        r"expected scalar type (?P<wanted>\w+) but found (?P<found>\w+)|expected m1 and m2 to have the same dtype, but "
        r"got: (?P<one>\w+) != (?P<two>\w+)|mat1 and mat2 must have the same dtype, but got (?P<a>\w+) and (?P<b>\w+)",
        "two dtypes meet in one operation: {found}{one}{a} and {wanted}{two}{b}",
        "numpy computes in float64 and torch's modules in float32, and labels are to be int64",
        "Convert the data where it is read:\n    tensor.float()",
    ),
    Known(
        "not-finite",
        r"returned nan values in its (?P<which>\w+) output|Input (?:\w+ )?contains NaN|contains NaN, infinity|"
        r"cannot convert float NaN to integer",
        "a value that is not finite (NaN) reaches where it cannot be used",
        "the data holds one, or the training diverges in its first steps",
        "Look for it where the data is read, and lower the learning rate",
    ),
)
