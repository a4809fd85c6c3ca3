"""The rehearsal: whether the experiment's own program comes to its end.

See it by hand:

    preflight run --config foo.yaml --only rehearsal
    python train.py

Mend it:

    Correct the line that the finding names, as after a run that really failed there.
"""

from collections.abc import Iterator

from preflight import Finding, check
from preflight.causes.endings import came_through, ending_of
from preflight.causes.modes import wrong_modes
from preflight.config import Config, Rehearsal
from preflight.rehearsal.program import Rehearsed


@check(when="rehearsal", at="node")
def check_program_comes_to_its_end(config: Config, rehearsed: Rehearsed) -> Iterator[Finding]:
    """The real program runs to its end on a few batches of each pass, everything written that it writes.

    `rehearsal.command` runs for at most `rehearsal.time`, in a copy-on-write view of all folders where the kernel
    allows one: its checkpoints, logs and plots are really written, and gone afterwards. Where `rehearsal.resume` is
    given, that command is run after it and finds what it wrote.

        rehearsal.raises              an exception ends it
        rehearsal.exits               it ends with an exit code other than 0
        rehearsal.dies                a signal ends it
        rehearsal.out-of-memory       the kernel kills it for want of memory
        rehearsal.hangs               it does nothing any more, and does not end
        rehearsal.asks                it asks for input
        rehearsal.no-command          it cannot be started
        rehearsal.too-many-processes  it starts processes without end
        rehearsal.leaves-processes    it ends, and what it started goes on without it
        rehearsal.floods              it prints so much that a disk fills up
        rehearsal.not-shortened       its passes over the data could not be cut short; it lived for the time it had
        rehearsal.unended             it was still at work when its time was up
        rehearsal.ran                 it came to its end, and where its writes went

    What an exception is told as where its true cause is known:

        rehearsal.last-batch-of-one   a last batch of one sample, which batch norm cannot normalize
        rehearsal.last-batch-size     a shape that is written for full batches
        rehearsal.label-range         a label that the model has no class for
        rehearsal.index-range         a token or category that an embedding has no row for
        rehearsal.shape               shapes that do not go together
        rehearsal.unequal-samples     samples of unequal shape are to be one batch
        rehearsal.not-a-batch         samples of a type that no batch is made of
        rehearsal.empty-data          a dataset without samples
        rehearsal.dtype               dtypes that do not go together
        rehearsal.devices             tensors of two devices meet
        rehearsal.no-pad-token        a tokenizer has no pad token
        rehearsal.no-padding          texts of unequal length are made into one tensor
        rehearsal.unpicklable         an object in a checkpoint, or for a worker, that pickle cannot hold
        rehearsal.not-importable      a pickle names what its module does not have
        rehearsal.worker-dies         a worker dies without an exception
        rehearsal.weights-only        a checkpoint that torch.load refuses by default
        rehearsal.state-prefix        a checkpoint from inside, or outside, of a wrapper
        rehearsal.state-mismatch      a checkpoint of another model or optimizer
        rehearsal.cuda-checkpoint     a checkpoint from a GPU is loaded without one
        rehearsal.numpy-objects       a .npy file of Python objects
        rehearsal.shared-tensors      two names of one tensor, for safetensors
        rehearsal.not-json            a value that JSON has not
        rehearsal.not-yaml            a value that YAML has no form for
        rehearsal.closed-file         a file or logger that is used after it was closed
        rehearsal.no-folder           a folder to save into that is not there
        rehearsal.missing-file        a file to read that is not there
        rehearsal.name-too-long       a name of a file or folder that is too long for the file system
        rehearsal.moved               a relative path that is looked for after the program has changed its folder
        rehearsal.no-permission       a file that may not be written or read
        rehearsal.missing-module      a module to import that is not installed
        rehearsal.usage               options that the program does not accept
        rehearsal.no-display          a window is to be opened without a display
        rehearsal.disk-full           no space is left
        rehearsal.memory              no memory is left
        rehearsal.gpu-memory          no memory of a GPU is left
        rehearsal.shared-memory       no shared memory is left
        rehearsal.open-files          too many files are open
        rehearsal.address-in-use      a port that another process has
        rehearsal.asks-input          it asks for input
        rehearsal.no-main-guard       workers that are spawned by the import of the program
        rehearsal.cuda-fork           CUDA in a forked worker
        rehearsal.no-cuda             a GPU is asked for, and there is none
        rehearsal.deterministic       an operation without a deterministic version
        rehearsal.no-launcher         a rank that no launcher has started
        rehearsal.no-nccl             NCCL is asked for, and there is no GPU
        rehearsal.no-graph            a loss without a graph
        rehearsal.graph-twice         backward through one graph for the second time
        rehearsal.in-place            a tensor that backward needs was changed
        rehearsal.needs-detach        an array is made of a tensor with a gradient
        rehearsal.unused-parameters   parameters that DistributedDataParallel waits for in vain
        rehearsal.not-finite          a NaN where none can be used
        rehearsal.too-few             maybe only too few batches
    """
    section = config.rehearsal or Rehearsal()
    yield from ending_of(config, rehearsed, section.command)
    if rehearsed.resumed:
        yield from ending_of(config, rehearsed.resumed, section.resume)
    if rehearsed.code == 0:
        yield came_through(rehearsed, section.command, section.resume)


@check(when="rehearsal", at="node")
def check_model_is_in_the_right_mode(rehearsed: Rehearsed) -> Iterator[Finding]:
    """The model is in eval mode where the program evaluates it, and in training mode where it learns.

    Dropout and batch norm work in two ways. In which of them they run, and whether gradients are on, is seen in each
    pass over a DataLoader.

        rehearsal.evaluated-in-training     a whole pass without gradients runs in training mode
        rehearsal.trained-in-evaluation     after an evaluation the training goes on in eval mode
    """
    yield from wrong_modes(rehearsed)
