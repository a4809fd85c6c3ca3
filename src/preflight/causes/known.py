"""Failures of programs that the text of one exception tells: the pattern, and what is said of it."""

from __future__ import annotations

import re
from typing import NamedTuple


class Known(NamedTuple):
    """One failure; in `message`, `cause` and `fix` stand the pattern's groups as `{name}`."""

    name: str
    pattern: str
    message: str
    cause: str
    fix: str
    weight: str = "error"

    def said_of(self, text: str) -> dict[str, str]:
        """Return the words of a finding; nothing where the text is of something else."""
        found = re.search(self.pattern, text, re.DOTALL)
        if found is None:
            return {}
        groups = {name: value or "" for name, value in found.groupdict().items()}
        words = {part: getattr(self, part).format_map(groups) for part in ("message", "cause", "fix")}
        return {"name": self.name, "weight": self.weight, **words}


KNOWN = (
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
    # What cannot be pickled.
    Known(
        "no-main-guard",
        r"before the current process has finished its bootstrapping phase",
        "the program starts processes while it is imported by them",
        "workers that are spawned import the program's file, and its code at the top level starts workers again",
        'Put what the program does below this line:\n    if __name__ == "__main__":',
    ),
    Known(
        "not-importable",
        r"Can't get attribute '(?P<object>[\w.]+)' on <module '(?P<module>[\w.]+)'",
        "{object} was pickled by its name in {module}, and is not there",
        "a pickle names a class or function by its module: this one is defined in a program's own file, or only below "
        '`if __name__ == "__main__":`, or has moved',
        "Define it at the top level of a module that both sides import",
    ),
    Known(
        "worker-dies",
        r"DataLoader worker \(pid[^)]*\)[^)]*\) exited unexpectedly|killed by signal: (?:Aborted|Segmentation fault)",
        "a worker of the DataLoader dies without an exception",
        "compiled code crashed in it, or it was killed, most often for want of memory",
        "See it happen in the program itself:\n    DataLoader(..., num_workers=0)",
    ),
    # Loading checkpoints.
    Known(
        "weights-only",
        r"Weights only load failed.*?(?:GLOBAL )?(?P<object>[\w.]+) was not an allowed global",
        "the checkpoint holds {object}, which torch.load refuses: weights_only is True by default",
        "what was saved is more than tensors, and since torch 2.6 only what is allowed by name is loaded",
        "Save plain values in its place, load with weights_only=False where the file is to be trusted, or allow the "
        "type:\n"
        "    torch.serialization.add_safe_globals([{object}])",
    ),
    Known(
        "weights-only",
        r"Weights only load failed",
        "the checkpoint holds Python objects, which torch.load refuses: weights_only is True by default",
        "what was saved is more than tensors",
        "Save plain values and tensors alone, or load where the file is to be trusted with\n"
        "    torch.load(path, weights_only=False)",
    ),
    Known(
        "state-prefix",
        r"Error\(s\) in loading state_dict for (?P<model>\w+).*(?P<prefix>\bmodule\.|_orig_mod\.)",
        "the checkpoint does not fit {model}: one of the two has the prefix {prefix} in its names",
        "it was saved from a model inside a wrapper (DistributedDataParallel, torch.compile) and is loaded into one "
        "without it, or the other way round",
        "Save what is inside of the wrapper:\n    torch.save(model.{prefix}state_dict(), path)",
    ),
    Known(
        "state-mismatch",
        r"Error\(s\) in loading state_dict for (?P<model>\w+):\s*(?P<first>[^\n]+)",
        "the checkpoint does not fit {model}: {first}",
        "the model is built otherwise than it was when the checkpoint was saved",
        "Build the model from the settings that the checkpoint was saved with",
    ),
    Known(
        "state-mismatch",
        r"loaded state dict (?:contains a parameter group that|has a different number of parameter groups)",
        "the saved state of the optimizer does not fit the optimizer",
        "it was saved for other parameters, or for another number of groups of them",
        "Build the optimizer over the same parameters in the same order before its state is loaded",
    ),
    Known(
        "cuda-checkpoint",
        r"Attempting to deserialize object on a CUDA device but torch\.cuda\.is_available\(\) is False",
        "the checkpoint was saved on a GPU and is loaded where there is none",
        "torch.load puts tensors where they were saved from",
        'Say where they are to go:\n    torch.load(path, map_location="cpu")',
    ),
    Known(
        "numpy-objects",
        r"Object arrays cannot be loaded when allow_pickle=False",
        "the .npy file holds Python objects, which numpy.load refuses",
        "an array of objects (rows of unequal length, dicts) was saved, which is a pickle",
        "Save plain arrays, or load where the file is to be trusted:\n    numpy.load(path, allow_pickle=True)",
    ),
    Known(
        "shared-tensors",
        r"Some tensors share memory",
        "safetensors cannot save two names for one tensor",
        "the model ties weights, and a file of safetensors holds each tensor once",
        "Save through the function that leaves the second name out:\n    safetensors.torch.save_model(model, path)",
    ),
    # Writing results.
    Known(
        "not-json",
        r"Object of type (?P<kind>\w+) is not JSON serializable",
        "a {kind} is written as JSON, which has no such value",
        "the results hold arrays, tensors or numbers of numpy",
        "Make plain values of them first: `.item()` of one number, `.tolist()` of an array, `str()` of a path",
    ),
    Known(
        "not-yaml",
        r"cannot represent an object', <?(?P<kind>[\w.]+)",
        "a {kind} is written as YAML, which has no such value",
        "the results hold arrays, tensors, paths or numbers of numpy, which yaml.safe_dump cannot represent",
        "Make plain values of them first: `.item()` of one number, `.tolist()` of an array, `str()` of a path",
    ),
    Known(
        "closed-file",
        r"I/O operation on closed file|write to closed file|I/O operation on closed",
        "the program writes to a file that it has closed before",
        "a `close()` or the end of a `with` block comes before the last use, as where a logger is closed twice",
        "Close it once, after the last line that writes to it",
    ),
    Known(
        "closed-file",
        r"(?P<what>[Rr]un[^\n]*is finished|already (?:been )?closed|[Ww]riter (?:is|has been) closed|"
        r"is already finished|must call wandb\.init\(\) before)",
        "the program logs to what it has closed before: {what}",
        "the logger is finished or closed before its last use",
        "Close it once, after the last line that logs",
    ),
    Known(
        "no-display",
        r"Cannot load backend '(?P<backend>\w+)' which requires the '\w+' interactive framework, as 'headless'",
        "matplotlib's backend {backend} needs a display, and this machine is headless",
        "the backend is chosen in the code, in matplotlibrc or by MPLBACKEND, and can only draw into a window",
        "Choose the one that draws into files, in the code as well where it calls matplotlib.use:\n"
        "    export MPLBACKEND=Agg",
    ),
    Known(
        "no-display",
        r"no display name and no \$DISPLAY|could not connect to display|cannot open display|can't open display|"
        r"[Qq]t platform plugin|Missing X server or \$DISPLAY|The function is not implemented. Rebuild the library",
        "the program opens a window, and this machine has no display",
        "a backend for screens is used where there is none (headless)",
        "Draw into files: for matplotlib\n    export MPLBACKEND=Agg\nand leave calls such as cv2.imshow out",
    ),
    # Room.
    Known(
        "name-too-long",
        r"File name too long: '(?P<start>[^']{1,60})",
        "a name is longer than file systems take: {start}…",
        "a name of a file or folder may have 255 bytes (on some file systems 143), and this one is put together from "
        "settings",
        "Shorten it, or take a hash of the settings in place of them",
    ),
    Known(
        "disk-full",
        r"No space left on device(?!.*(?:/dev/shm|/torch_))|Disk quota exceeded|PytorchStreamWriter failed|"
        r"basic_ios::clear: iostream error|unexpected pos \d+ vs \d+",
        "the disk is full while the program writes",
        "there is not enough free space (or quota) for what it saves",
        "Free space, write elsewhere, or keep fewer checkpoints:\n    df -h .",
    ),
    Known(
        "shared-memory",
        r"insufficient shared memory|unable to (?:open|mmap|write to|resize)[^\n]*(?:shared memory|/torch_)|"
        r"No space left on device.*(?:/dev/shm|/torch_)|killed by signal: Bus error",
        "the workers of the DataLoader run out of shared memory (/dev/shm)",
        "they hand batches over through /dev/shm, which is smaller than the batches on their way",
        "Enlarge it (in a container: `--shm-size=8g` or `--ipc=host`), use fewer workers, or in the program\n"
        '    torch.multiprocessing.set_sharing_strategy("file_system")',
    ),
    Known(
        "open-files",
        r"Too many open files|received 0 items of ancdata|received (?P<some>\d+) items of ancdata",
        "the program has more files open than it may",
        "batches from workers are handed over as open files, or files are opened and never closed",
        "Raise the limit, close what is opened, or share tensors by name:\n    ulimit -n 65536",
    ),
    Known(
        "gpu-memory",
        r"CUDA out of memory. Tried to allocate (?P<size>[\d.]+ \w+). GPU (?P<gpu>\d+) has a total capacity of "
        r"(?P<total>[\d.]+ \w+) of which (?P<free>[\d.]+ \w+) is free",
        "GPU {gpu} is out of memory: {size} more are needed, {free} of {total} are free",
        "model, gradients, optimizer state and the activations of one batch do not fit together",
        "Make the batch smaller and accumulate gradients, use a lower precision, or recompute activations",
    ),
    Known(
        "gpu-memory",
        r"CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED",
        "the GPU is out of memory",
        "model, gradients, optimizer state and the activations of one batch do not fit together",
        "Make the batch smaller and accumulate gradients, use a lower precision, or recompute activations",
    ),
    Known(
        "memory",
        r"DefaultCPUAllocator: (?:can't|not enough)[^\n]*?allocate (?P<size>\d+ bytes)",
        "the program asks for {size} of memory at once, which are not to be had",
        "the tensor is too large for this machine, or for what the job may use of it",
        "Work on smaller pieces, or ask for more memory",
    ),
    Known(
        "memory",
        r"(?:^|\n)MemoryError|Unable to allocate (?P<size>[\d.]+ \w+) for an array|killed by signal: Killed",
        "the program is out of memory",
        "it asks for more than this machine has, or than the job may use",
        "Use fewer workers or smaller batches, do not hold all data at once, or ask for more memory",
    ),
    # CUDA.
    Known(
        "cuda-fork",
        r"Cannot re-initialize CUDA in forked subprocess",
        "CUDA is used in a forked worker",
        "CUDA has been started in the parent, and does not survive a fork",
        "Keep the GPU out of the dataset (move batches in the training loop), or spawn the workers:\n"
        '    torch.multiprocessing.set_start_method("spawn")',
    ),
    Known(
        "no-cuda",
        r"Torch not compiled with CUDA enabled|Found no NVIDIA driver|No CUDA GPUs are available",
        "the program asks for a GPU, and torch can use none here",
        "this torch has no CUDA, or this machine no GPU that is shown to the job",
        'Run where there is one, or choose the device by\n    "cuda" if torch.cuda.is_available() else "cpu"',
    ),
    Known(
        "deterministic",
        r"(?P<operation>\w+) does not have a deterministic implementation, but you set",
        "{operation} has no deterministic version on this device, and torch.use_deterministic_algorithms(True) is set",
        "the operation adds up in no fixed order, so torch refuses it",
        "Use another operation, move it to the CPU, or have torch warn in place of refusing:\n"
        "    torch.use_deterministic_algorithms(True, warn_only=True)",
    ),
    Known(
        "deterministic",
        r"Deterministic behavior was enabled.*CUBLAS_WORKSPACE_CONFIG",
        "deterministic algorithms are asked for, and cuBLAS is not told to be so",
        "cuBLAS needs CUBLAS_WORKSPACE_CONFIG in the environment before CUDA starts",
        "Set it for the job:\n    export CUBLAS_WORKSPACE_CONFIG=:4096:8",
    ),
    Known(
        "devices",
        r"Expected all tensors to be on the same device, but found at least two devices, (?P<one>[\w:]+) and "
        r"(?P<two>[\w:]+)",
        "one operation is given tensors on {one} and on {two}",
        "a batch, a buffer or a newly made tensor was not moved to the model's device",
        "Move it there, and register constants of modules with register_buffer",
    ),
    Known(
        "devices",
        r"can't convert cuda:\d+ device type tensor to numpy",
        "a tensor on the GPU is made into an array",
        "numpy knows the CPU's memory alone",
        "Fetch it first:\n    tensor.detach().cpu().numpy()",
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
    # Ranks.
    Known(
        "no-launcher",
        r"env:// rendezvous: environment variable (?P<name>\w+) expected, but not set",
        "the program is a rank of several, and {name} is not set: nobody has started it as one",
        "init_process_group asks the environment for RANK, WORLD_SIZE and MASTER_ADDR, which a launcher sets and a "
        "plain `python` does not",
        "Start it by a launcher such as torchrun, and name that command under `rehearsal:` as well",
    ),
    Known(
        "no-nccl",
        r"Distributed package doesn't have NCCL built in|ProcessGroupNCCL is only supported with GPUs",
        "the ranks are to talk by NCCL, which needs GPUs, and torch can use none here",
        "the backend is nccl, and this torch is built without it or this machine has no GPU",
        'Run where there is one, or choose the backend by\n    "nccl" if torch.cuda.is_available() else "gloo"',
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
    # Surroundings.
    Known(
        "asks-input",
        r"EOFError: EOF when reading a line",
        "the program asks for input, and a job has nobody to answer",
        "it reads from its standard input",
        "Take the answer from an option or the config",
    ),
    Known(
        "address-in-use",
        r"[Aa]ddress already in use|EADDRINUSE",
        "the port that the program wants is in use",
        "another process of this machine listens there",
        "Choose another port:\n    export MASTER_PORT=29501",
    ),
    Known(
        "no-folder",
        r"Parent directory (?P<folder>.+?) does not exist",
        "the folder {folder} is not there, and the program saves into it",
        "nothing makes it before the first save",
        "Make it in the program:\n    os.makedirs(folder, exist_ok=True)",
    ),
    Known(
        "too-few",
        r"Only one class (?:is )?present in y_true|(?:y_true|y) has only one class|greater than one; got 1 class",
        "the metric needs samples of two classes, and the few batches of the rehearsal hold one",
        "the evaluation sees a part of its data here: the program itself may be right",
        "Let the rehearsal see more of it, by a larger `batches` under `rehearsal:`",
        "warning",
    ),
)
