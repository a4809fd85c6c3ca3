"""What GPUs compute: each device, in each format that the job uses, beside the same on the CPU.

See it by hand:

    python -c 'import torch; a = torch.rand(999, 999); print((a @ a - (a.cuda() @ a.cuda()).cpu()).abs().max())'
    env | grep -E 'TF32|CUBLAS|CUDA_'

Mend it:

    Run on another device, and report the one that computes wrongly; where only a format is missing, take another.
"""

import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from preflight import ChildFailed, Finding, check, error, info, warning
from preflight.config import Config, Gpu
from preflight.phrases import counted
from preflight.system.experiment import cpu_setting
from preflight.system.gpu import arithmetic, turns
from preflight.system.gpu.arithmetic import Computed, Outcome, Step
from preflight.system.gpu.facts import Gpus
from preflight.system.gpu.refusals import Refusal
from preflight.system.gpu.selection import called, why_not_usable
from preflight.system.readers import is_used

TEST_IT = "Run on another device, and have this one tested:\n    nvidia-smi -q -d ECC,ROW_REMAPPER"
KERNEL_LOG = "Read what the kernel says of the device, and have it reset:\n    sudo dmesg | grep -i xid | tail"
ARCHITECTURES = "import torch; print(torch.cuda.get_device_capability(), torch.cuda.get_arch_list())"
LIBRARY_PATH = "\n    echo $LD_LIBRARY_PATH; ldconfig -p | grep libcuda.so"
# How a result is not what it should be: the id, what is said, why.
NOT_RIGHT = {
    Outcome.WRONG: (
        "wrong-result",
        "gives a wrong result",
        "rounding does not explain it: the device, its memory or its driver is faulty",
    ),
    Outcome.UNWRITTEN: (
        "unwritten-result",
        "leaves a part of a result unwritten",
        "the operation ended without an error, and memory still holds what was there before",
    ),
    Outcome.DIFFERS: (
        "not-repeatable",
        "gives two results for the same operation",
        "it does the same in the same order each time: the device or its memory corrupts what it computes in silence",
    ),
}
# Why the device refuses: the id, what is said, why, and what to do.
REFUSED = {
    Refusal.NO_KERNEL: (
        "no-code",
        "cannot run what torch was built for",
        "{text}: the build holds no code for this device's compute capability",
        f"Install a build of torch that has it; compare:\n    {sys.executable} -c '{ARCHITECTURES}'",
    ),
    Refusal.OUT_OF_MEMORY: (
        "out-of-memory",
        "has no memory left",
        "{text}",
        "See who holds it, and wait or choose another device:\n    nvidia-smi",
    ),
    Refusal.ILLEGAL_ACCESS: ("illegal-access", "fails at work", "{text}", KERNEL_LOG),
    Refusal.ASSERTION: ("assertion", "stops at an assertion", "{text}, in an operation whose input is right", TEST_IT),
    Refusal.MEMORY_FAULT: ("memory-fault", "has faulty memory", "{text}", TEST_IT),
    Refusal.BUSY: (
        "taken",
        "is taken by another process",
        "{text}: the device is in exclusive mode",
        "Wait for the other process, or choose another device:\n    nvidia-smi",
    ),
    Refusal.NOT_READY: (
        "no-fabric-manager",
        "is not ready",
        "{text}: on machines with NVSwitch the Fabric Manager must run, in the driver's version",
        "Start it:\n    sudo systemctl start nvidia-fabricmanager",
    ),
    Refusal.OTHER_LIBRARY: (
        "mixed-versions",
        "has a driver that the library does not fit",
        "{text}: libcuda.so.1 is of another version than the kernel module, often a container's own copy",
        f"Take the library's folder out of the search path, so that the driver's own is found:{LIBRARY_PATH}",
    ),
    Refusal.NO_FORWARD_COMPATIBILITY: (
        "compatibility",
        "cannot use the forward compatible driver library",
        "{text}: only data centre devices can",
        f"Take the `compat` folder out of the search path, or upgrade the driver:{LIBRARY_PATH}",
    ),
    Refusal.LIBRARY: (
        "library-fails",
        "fails in cuBLAS or cuDNN",
        "{text}; loaded: {libraries}",
        "Have only the libraries that torch brings be found, and see that memory is free:\n    echo $LD_LIBRARY_PATH",
    ),
    Refusal.OTHER: ("operation-fails", "fails", "{text}", TEST_IT),
}


@check(per="gpu", needs="torch", at="node")
def check_device_computes_rightly(
    device: int, config: Config, gpus: Gpus, fresh: Callable[..., Any], scratch: Path
) -> Iterator[Finding]:
    """The device computes what the CPU computes in double precision, and the same bits each time.

    In each format of `gpu.dtypes` (float32, where none is named): products of matrices, large ones too, convolution,
    sum, softmax, attention, look-ups, a step of autograd; besides copies, pinned ones too, and random numbers. How far
    a result may be off follows from the format and the number of additions. Each device has a process of its own.

        gpu.wrong-result       a result is further from the right one than rounding explains
        gpu.not-repeatable     the same operation gave other bits when it was repeated
        gpu.unwritten-result   a part of a result was never written
        gpu.no-answer          the device hangs: an operation does not end
        gpu.process-dies       the process that uses the device dies
        gpu.no-code            torch has no code for this device
        gpu.out-of-memory      the device has no memory for it
        gpu.illegal-access     illegal access, misaligned address, a launch that fails
        gpu.assertion          an assertion fails on the device
        gpu.memory-fault       an error of the device's memory that cannot be corrected
        gpu.taken              another process has the device, which is in exclusive mode
        gpu.no-fabric-manager  the system is not initialised (802): the Fabric Manager does not run
        gpu.mixed-versions     libcuda does not fit the driver (803)
        gpu.compatibility      a forward compatible libcuda on a device that cannot use it (804)
        gpu.library-fails      cuBLAS or cuDNN fails
        gpu.unsupported-dtype  the device, or this torch, cannot compute in a format that the config names
        gpu.operation-fails    another error
        gpu.not-computed       the experiment does not use torch, which this is done with
        gpu.pcie               its PCIe link, while it copies, is narrower or slower than card and slot allow
    """
    if cpu_setting(config.experiment):
        return
    if gpus.build is None or not is_used("torch", config.import_seconds, config.root):
        yield info(
            f"nothing is computed on {called(gpus, device)}: the experiment does not use torch", id="gpu.not-computed"
        )
        return
    if reason := why_not_usable(gpus):
        pytest.skip(reason)
    need = config.gpu or Gpu()
    notes = scratch / f"device-{device}"
    with turns.alone_on([device], scratch.parent, 0.3 * config.deadline) as alone:
        if not alone:
            pytest.skip("another check is still at work on the device")
        try:
            facts = in_child(fresh, f"cuda:{device}", need.dtypes or ("float32",), notes)
        except ChildFailed as failure:
            yield _gone(need, called(gpus, device), failure, _lines(notes))
            return
    computed = Computed.from_facts(facts)
    if computed.refusal == Refusal.NO_DEVICE:
        pytest.skip(f"no device to compute on: {computed.text}")
    yield from judge(need, computed, called(gpus, device))
    yield from judge_link(need, computed, called(gpus, device))


def in_child(fresh: Callable[..., Any], device: str, words: Sequence[str], notes: Path) -> dict[str, Any]:
    """Compute in a process of its own, which writes to `notes` what it does next."""
    import torch

    def note(line: str) -> None:
        with notes.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    seed = secrets.randbelow(2**31)
    if torch.cuda.is_initialized():
        # An import has made a context, which no fork can use. Then this process, a child as well, has to do.
        return arithmetic.compute(device, words, seed, note)
    facts: dict[str, Any] = fresh(arithmetic.compute, device, words, seed, note)
    return facts


def judge(need: Gpu, computed: Computed, name: str) -> Iterator[Finding]:
    """Say what a device did wrongly, each kind of it once."""
    at = {"file": need.at.file, "line": need.at.line}
    if computed.refusal:
        yield _refused(Refusal(computed.refusal), computed.text, name, computed, at)
    for outcome in NOT_RIGHT:
        if steps := [step for step in computed.steps if step.outcome is outcome]:
            yield _not_right(steps, name, computed, at)
    refused = [step for step in computed.steps if step.refusal and step.refusal != Refusal.UNSUPPORTED]
    for refusal in dict.fromkeys(step.refusal for step in refused):
        step = next(step for step in refused if step.refusal == refusal)
        yield _refused(Refusal(refusal), f"{_named(step)}: {step.text}", name, computed, at)
    # A format without products of matrices is none to compute in; single operations may be missing.
    lacking = {step.word: step.text for step in computed.steps if step.refusal and step.operation == "matmul"}
    lacking |= {step.word: step.text for step in computed.steps if step.refusal and step.word == "int8"}
    unsupported = {step.word for step in computed.steps if step.refusal == Refusal.UNSUPPORTED} & lacking.keys()
    for word in [*sorted(unsupported), *computed.unknown]:
        cause = lacking.get(word, "no format of numbers has that name")
        fix = "Correct `dtypes`, or choose a device and a torch that can"
        yield error(f"{name} cannot compute in {word}", id="gpu.unsupported-dtype", cause=cause, fix=fix, **at)


def judge_link(need: Gpu, computed: Computed, name: str) -> Iterator[Finding]:
    """Say that a link which was at work is narrower or slower than card and slot allow."""
    link, at = computed.link, {"file": need.at.file, "line": need.at.line}
    for key, unit in (("width", "lanes"), ("generation", "generation")):
        found, most = link.get(key, 0), link.get(f"{key}_most", 0)
        if 0 < found < most:
            shown = [f"{each} lanes" if unit == "lanes" else f"generation {each}" for each in (found, most)]
            yield warning(
                f"{name} has a PCIe link of {shown[0]} at work, {shown[1]} is possible",
                id="gpu.pcie",
                found=shown[0],
                wanted=shown[1],
                cause="the card sits badly, its riser or a lane is damaged, or the firmware limits the slot",
                fix="Have it looked at; copies to and from the device are slower until then:\n    nvidia-smi -q -d PCI",
                **at,
            )


def _not_right(steps: Sequence[Step], name: str, computed: Computed, at: dict[str, Any]) -> Finding:
    first = steps[0]
    kind, said, cause = NOT_RIGHT[first.outcome]
    more = f" (and {counted(len(steps) - 1, 'more operation')})" if len(steps) > 1 else ""
    found = f"{counted(first.elements, 'element')} of it"
    wanted = ""
    if first.outcome is Outcome.WRONG:
        found = f"{first.found:g} at place {first.first:,}, {counted(first.elements, 'wrong element')}"
        wanted = f"{first.wanted:g}, at most {first.allowed:.1e} off"
    return error(
        f"{name} {said}: {_named(first)}{more}",
        id=f"gpu.{kind}",
        found=found,
        wanted=wanted,
        cause=cause,
        fix=TEST_IT,
        evidence={"seed": computed.seed, "operations": [_named(step) for step in steps[:50]]},
        **at,
    )


def _refused(refusal: Refusal, text: str, name: str, computed: Computed, at: dict[str, Any]) -> Finding:
    kind, said, cause, fix = REFUSED.get(refusal, REFUSED[Refusal.OTHER])
    cause = cause.format(text=text, libraries=", ".join(computed.libraries) or "none")
    evidence = {"untried": list(computed.untried)} if computed.untried else {}
    return error(f"{name} {said}", id=f"gpu.{kind}", cause=cause, fix=fix, evidence=evidence, **at)


def _gone(need: Gpu, name: str, failure: ChildFailed, notes: Sequence[str]) -> Finding:
    doing = notes[-1] if len(notes) > 1 else "making its context"
    first, _, stack = str(failure).partition("\n")
    message = f"{name} hangs" if failure.hung else f"the process that uses {name} dies"
    cause = (
        "the device or its driver is wedged" if failure.hung else "the driver or a library that torch brings crashed"
    )
    return error(
        f"{message}: {doing}",
        id="gpu.no-answer" if failure.hung else "gpu.process-dies",
        found=first,
        cause=cause,
        fix=KERNEL_LOG,
        evidence={"stack": stack} if stack.strip() else {},
        file=need.at.file,
        line=need.at.line,
    )


def _named(step: Step) -> str:
    return f"{step.operation} in {step.word}" if step.word else step.operation


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
