"""What a device computes, beside the same on the CPU in double precision, and whether it computes the same twice."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from preflight.system.gpu.link import link_at_work
from preflight.system.gpu.operation import Operation, as_bits
from preflight.system.gpu.operations import operations
from preflight.system.gpu.refusals import first_line, refusal_of
from preflight.system.gpu.rounding import formats_of
from preflight.system.gpu.transfers import transfers

Note = Callable[[str], None]

# A setting that torch has functions for, and no attribute.
_MATMUL = "float32_matmul_precision"


class Outcome(StrEnum):
    """What came of one operation."""

    RIGHT = "right"
    WRONG = "wrong"
    UNWRITTEN = "unwritten"
    DIFFERS = "differs"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation in one format (empty: it has none), and what came of it.

    `elements` are wrong, unwritten or other than before; the first is number `first` of the flattened result, where
    `found` stands, `wanted` and at most `allowed` off. `refusal` and `text` say why the device refused.
    """

    operation: str
    word: str = ""
    outcome: Outcome = Outcome.RIGHT
    seconds: float = 0.0
    elements: int = 0
    first: int = 0
    found: float = 0.0
    wanted: float = 0.0
    allowed: float = 0.0
    refusal: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What a device was, and what it did; `refusal` and `text` say why it could not be used at all.

    `context` is the seconds until the device did its first work, `unknown` the words that no format is known by,
    `untried` the operations that were left out because the device had failed for good, `libraries` the files of
    cuBLAS and cuDNN that were loaded, `link` what its PCIe link was while it copied.
    """

    device: str
    name: str = ""
    address: str = ""
    context: float = 0.0
    seconds: float = 0.0
    seed: int = 0
    refusal: str = ""
    text: str = ""
    steps: tuple[Step, ...] = ()
    unknown: tuple[str, ...] = ()
    untried: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    link: Mapping[str, int] = field(default_factory=dict)

    def to_facts(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @staticmethod
    def from_facts(facts: Mapping[str, Any]) -> Computed:
        """Return what `to_facts` wrote."""
        steps = tuple(Step(**{**each, "outcome": Outcome(each["outcome"])}) for each in facts["steps"])
        listed = {name: tuple(facts[name]) for name in ("unknown", "untried", "libraries")}
        rest = {each.name: facts[each.name] for each in fields(Computed)}
        return Computed(**{**rest, **listed, "steps": steps})


def compute(device: str, words: Sequence[str], seed: int, note: Note = lambda _: None) -> dict[str, Any]:
    """Try a device (`cuda:0`, `cpu`) in each format that `words` name and return `Computed` as plain values.

    `note` is told what comes next, so that one who kills this process knows where it hung. No flag of torch's is
    left changed.
    """
    began = time.perf_counter()
    computed = open_device(device)
    known: dict[str, Any] = {**computed.to_facts(), "seed": seed}
    if not computed.refusal:
        note(label(computed))
        with one_thread():
            steps, untried = _try_all(device, words, seed, note)
            link = {} if untried else link_at_work(device, computed.address)
        known |= {"steps": [asdict(each) for each in steps], "untried": untried, "libraries": loaded_libraries()}
        known |= {"link": link}
    unknown = [word for word in words if not formats_of(word)]
    return {**known, "unknown": unknown, "seconds": time.perf_counter() - began}


def label(computed: Computed) -> str:
    """Return `NVIDIA H100 80GB HBM3, 0000:00:06.0`: what a device is called beside its number."""
    return ", ".join(part for part in (computed.name, computed.address) if part)


def open_device(device: str) -> Computed:
    """Have a device do its first work, which makes its context, and return what it is or why it refuses."""
    began = time.perf_counter()
    try:
        first_work(device)
        name, address = properties_of(device)
    except Exception as problem:  # noqa: BLE001 - whatever is raised is the answer
        return Computed(device=device, refusal=refusal_of(problem), text=first_line(problem))
    return Computed(device=device, name=name, address=address, context=time.perf_counter() - began)


def first_work(device: str) -> None:
    """Add one number on a device and wait for it; raises what torch raises."""
    import torch

    if device != "cpu":
        torch.cuda.init()
    if float(torch.ones(1, device=device).add(1).cpu()) != 2.0:
        raise RuntimeError("1 + 1 is not 2")


def properties_of(device: str) -> tuple[str, str]:
    """Return the name of a device and its address on the PCI bus, empty where torch does not tell."""
    import torch

    if device == "cpu":
        return "", ""
    facts = torch.cuda.get_device_properties(device)
    address = ""
    if hasattr(facts, "pci_bus_id"):
        address = f"{facts.pci_domain_id:04x}:{facts.pci_bus_id:02x}:{facts.pci_device_id:02x}.0"
    return str(facts.name), address


def loaded_libraries() -> list[str]:
    """Return the files of cuBLAS and cuDNN that this process has loaded; nothing where the system does not tell."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return sorted(set(re.findall(r"/\S*lib(?:cublas|cudnn)\w*\.so[.\d]*", maps)))


def _try_all(device: str, words: Sequence[str], seed: int, note: Note) -> tuple[list[Step], list[str]]:
    formats = {each.word: each for word in words for each in formats_of(word)}
    kind = device.partition(":")[0]
    sources: Iterable[tuple[str, Iterable[Operation]]] = [
        ("", transfers(device, seed)),
        *((name, operations(each, kind, seed)) for name, each in formats.items()),
    ]
    steps: list[Step] = []
    for word, source in sources:
        with precision(tf32=word == "tf32"):
            for operation in source:
                note(f"{operation.name} {word}".strip())
                steps.append(attempt(operation, word, device))
                if steps[-1].refusal and not lives(device):
                    rest = [name for name in formats if name not in {step.word for step in steps}]
                    return steps, rest
    return steps, []


def attempt(operation: Operation, word: str, device: str) -> Step:
    """Do one operation on the device as often as it says, and return what came of it."""
    began = time.perf_counter()
    try:
        facts = _compared(operation, device)
    except Exception as problem:  # noqa: BLE001 - whatever is raised is the answer
        facts = {"outcome": Outcome.REFUSED, "refusal": str(refusal_of(problem)), "text": first_line(problem)}
    return Step(operation=operation.name, word=word, seconds=time.perf_counter() - began, **facts)


def _compared(operation: Operation, device: str) -> dict[str, Any]:
    inputs = [each.to(device) for each in operation.inputs]
    first = once(operation, inputs, device)
    last, other = first, 0
    for _ in range(operation.times - 1):
        leave_marks(first)
        last = once(operation, inputs, device)
        differing = as_bits(last) != as_bits(first)
        other = max(other, int(differing.sum()))
    found = fetch(last)
    # All bits set are what the memory held before; in a whole number they may be right.
    if found.is_floating_point() and (unwritten := int((as_bits(found) == -1).sum())):
        return {"outcome": Outcome.UNWRITTEN, "elements": unwritten}
    if (difference := operation.judge(found)) is not None:
        return {"outcome": Outcome.WRONG, **asdict(difference)}
    if other:
        return {"outcome": Outcome.DIFFERS, "elements": other}
    return {}


def once(operation: Operation, inputs: Sequence[Any], device: str) -> Any:
    """Compute once, into memory all of whose bits are set: as a floating-point number, that is none."""
    import torch

    into = {}
    if operation.shape:
        out = torch.empty(operation.shape, dtype=getattr(torch, operation.dtype), device=device)
        as_bits(out).fill_(-1)
        into["out"] = out
    return operation.compute(*inputs, **into)


def leave_marks(like: Any) -> None:
    """Set all bits of memory that the next results of this size are likely to be given."""
    import torch

    number = 3 if like.numel() < 1 << 20 else 1
    for block in [torch.empty_like(like) for _ in range(number)]:
        as_bits(block).fill_(-1)


def fetch(result: Any) -> Any:
    """Bring a result to the CPU, which waits until the device is done."""
    return result.detach().cpu()


def lives(device: str) -> bool:
    """Tell whether a device still works in this process after it has refused: most errors of CUDA stay for good."""
    try:
        first_work(device)
    except Exception:  # noqa: BLE001 - whatever is raised is the answer
        return False
    return True


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on the CPU in one thread: a pool of threads that an import has made does not survive a fork."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def precision(*, tf32: bool) -> Iterator[None]:
    """Compute float32 in TF32, or do not; add up halves in float32; let cuDNN choose what repeats itself."""
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    word = "tf32" if tf32 else "ieee"
    wanted: list[tuple[Any, str, Any]] = [
        (matmul, "allow_fp16_reduced_precision_reduction", False),
        (matmul, "allow_bf16_reduced_precision_reduction", False),
        (matmul, "allow_fp16_accumulation", False),
        (cudnn, "deterministic", True),
        (cudnn, "benchmark", False),
        # The names until torch 2.8 also set those since 2.9, which come last, so that both say the same.
        (torch, _MATMUL, "high" if tf32 else "highest"),
        (cudnn, "allow_tf32", tf32),
        (matmul, "fp32_precision", word),
        *((getattr(cudnn, part, None), "fp32_precision", word) for part in ("conv", "rnn")),
        (getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision", word),
    ]
    before = [(place, name, value) for place, name, _ in wanted if (value := _read(place, name)) is not None]
    known = {(id(place), name) for place, name, _ in before}
    try:
        _write(each for each in wanted if (id(each[0]), each[1]) in known)
        yield
    finally:
        _write(before)


def _read(place: Any, name: str) -> Any:
    """Return a setting of torch's, None where this release has none of that name, or it cannot be read.

    It cannot where a program has set the precision by old and by new names.
    """
    with warnings.catch_warnings(), suppress(AttributeError, AssertionError, RuntimeError):
        warnings.simplefilter("ignore")
        return place.get_float32_matmul_precision() if name == _MATMUL else getattr(place, name)
    return None


def _write(settings: Iterable[tuple[Any, str, Any]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place, name, value in settings:
            if name == _MATMUL:
                place.set_float32_matmul_precision(value)
            else:
                setattr(place, name, value)
