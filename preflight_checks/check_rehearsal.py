"""The rehearsal: whether the experiment's own program comes to its end."""

from collections.abc import Iterator

from preflight import Finding, check
from preflight.causes.endings import came_through, ending_of
from preflight.causes.modes import wrong_modes
from preflight.causes.streams import explain_streams
from preflight.config import Config, Rehearsal
from preflight.rehearsal.program import Rehearsed


@check(when="rehearsal")
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

    Where what it fails of is known, the finding has a name of its own:

        rehearsal.last-batch-of-one   the last batch holds one sample, which BatchNorm refuses
        rehearsal.last-batch-size     the last batch is smaller than what the program expects
        rehearsal.unequal-samples     samples of unequal shape are to be one batch
        rehearsal.label-range         a label is beyond the classes of the model
        rehearsal.index-range         an index is beyond the rows of a table
        rehearsal.shape               a layer is given values of another shape
        rehearsal.dtype               two dtypes meet in one operation
        rehearsal.devices             tensors of two devices meet in one operation
        rehearsal.empty-data          the dataset is empty
        rehearsal.too-few             a metric has too few samples; in the rehearsal, perhaps not in the run
        rehearsal.not-finite          a NaN reaches where it cannot be used
        rehearsal.no-pad-token        the tokenizer has no pad token
        rehearsal.no-padding          texts of unequal length are not padded
        rehearsal.no-graph            the loss depends on no parameter
        rehearsal.graph-twice         backward goes through one graph twice
        rehearsal.in-place            a tensor that backward needs was changed
        rehearsal.needs-detach        a tensor with a gradient is made into an array
        rehearsal.unused-parameters   parameters of DistributedDataParallel get no gradient
        rehearsal.deterministic       an operation has no deterministic version
        rehearsal.unpicklable         an object cannot be pickled: in a save, or on the way to a worker
        rehearsal.no-main-guard       spawned workers start the program again
        rehearsal.cuda-fork           CUDA is used in a forked worker
        rehearsal.no-cuda             there is no GPU that torch can use
        rehearsal.gpu-memory          the GPU is out of memory
        rehearsal.memory              the program is out of memory
        rehearsal.shared-memory       the workers are out of shared memory
        rehearsal.open-files          too many files are open
        rehearsal.disk-full           the disk is full
        rehearsal.weights-only        torch.load refuses what the checkpoint holds
        rehearsal.state-prefix        the names in a checkpoint have a prefix that the model's have not
        rehearsal.state-mismatch      a checkpoint does not fit the model or the optimizer
        rehearsal.cuda-checkpoint     a checkpoint of a GPU is loaded where there is none
        rehearsal.numpy-objects       a .npy file holds Python objects
        rehearsal.shared-tensors      safetensors cannot save one tensor under two names
        rehearsal.not-json            JSON has no such value
        rehearsal.closed-file         a file is written to that was closed before
        rehearsal.no-display          a window or a plot needs a display
        rehearsal.no-folder           the folder that is saved into is not there
        rehearsal.missing-file        a file is not there
        rehearsal.missing-module      a module is not there
        rehearsal.no-permission       a file may not be read or written
        rehearsal.address-in-use      the port is in use
        rehearsal.asks-input          the program asks for input
        rehearsal.usage               its command line is wrong
    """
    section = config.rehearsal or Rehearsal()
    yield from ending_of(config, rehearsed, section.command)
    if rehearsed.resumed:
        yield from ending_of(config, rehearsed.resumed, section.resume)
    if rehearsed.code == 0:
        yield came_through(rehearsed, section.command, section.resume)


@check(when="rehearsal")
def check_model_is_in_the_right_mode(rehearsed: Rehearsed) -> Iterator[Finding]:
    """The model is in eval mode where the program evaluates it, and in training mode where it learns.

    Dropout and batch norm work in two ways. In which of them they run, and whether gradients are on, is seen in each
    pass over a DataLoader.

        rehearsal.evaluated-in-training     a whole pass without gradients runs in training mode
        rehearsal.trained-in-evaluation     after an evaluation the training goes on in eval mode
    """
    yield from wrong_modes(rehearsed)


@check(when="rehearsal")
def check_workers_draw_their_own_numbers(config: Config, rehearsed: Rehearsed) -> Iterator[Finding]:
    """The workers of a DataLoader draw other random numbers than each other, and others in each epoch.

    Whatever generator they draw from, the global ones and those of the dataset, its transforms and the program's
    modules, its state is looked at around the first fetches of each worker. Loaders that are not trained on may repeat
    themselves. Where there is a `seeds.command`, seeds.program-repeats-itself looks at this in its place.

        seeds.workers-repeat     workers draw the same random numbers
    """
    if not (config.seeds and config.seeds.command):
        yield from explain_streams(rehearsed.events)
