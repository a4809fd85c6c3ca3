"""What programs load and save: pickles, checkpoints, results."""

from preflight.causes.known.exception import Known

STORAGE = (
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
)
