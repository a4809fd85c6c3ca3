"""What the machine gives to programs: room, GPUs, other ranks, a terminal, a network."""

from preflight.causes.known.exception import Known

MACHINE = (
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
