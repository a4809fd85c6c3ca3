"""NVML asked in a child, question by question: one that is missing, refused or never answered costs only itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from preflight.system.gpu.asking import Asking, Died, Silent, Tell
from preflight.system.gpu.facts import Device, Driver, read
from preflight.system.gpu.host import NVML, has_nvml
from preflight.system.gpu.questions import COMPOUND, QUESTIONS, text_of

# Seconds that an answer may take. Without persistence mode the driver wakes each device at the start, which takes
# seconds; every other question is answered in milliseconds (at most 3 on an H100 with driver 580).
LIMIT = 3.0
START_LIMIT = 20.0
# Beyond so many silent devices the others are not asked any more.
_MOST_SILENT = 2
_STARTS = {"nvmlInit", "nvmlDeviceGetHandleByIndex"}


def ask_all(limit: float = LIMIT, start_limit: float = START_LIMIT) -> tuple[dict[str, Any], tuple[Device, ...]]:
    """Return what NVML says of the driver, as fields of `Gpus`, and of every device; limits are in seconds."""
    if not has_nvml():
        return {"driver": Driver.ABSENT, "error": f"{NVML} is not found"}, ()
    interview = _Interview(limit, start_limit)
    while interview.silent < _MOST_SILENT and not interview.hear():
        pass
    count = interview.driver.pop("count", 0)
    for index in range(len(interview.devices), count):
        interview.devices[index] = {"index": index, "error": "not asked any more, since others do not answer"}
    return interview.driver, tuple(read(Device, facts) for facts in interview.devices.values())


class _Interview:
    """What was heard so far, and how many devices fell silent."""

    def __init__(self, limit: float, start_limit: float) -> None:
        self.driver: dict[str, Any] = {}
        self.devices: dict[int, dict[str, Any]] = {}
        self.silent = 0
        self._limits = (limit, start_limit)

    def hear(self) -> bool:
        """Hear a child that begins with the first device not heard of; return whether there is no more to hear."""
        first = len(self.devices)
        question, index = "nvmlInit", None
        with Asking(lambda tell: _ask(first, tell)) as child:
            try:
                while told := child.hear(self._limits[question in _STARTS]):
                    if "question" in told:
                        question, index = told["question"], told["device"]
                    elif "device" in told:
                        self._device(told["device"]).update(told["facts"])
                    else:
                        self.driver.update(told)
            except (Silent, Died) as problem:
                self._note(question, index, died=isinstance(problem, Died))
                return index is None
        return True

    def _device(self, index: int) -> dict[str, Any]:
        return self.devices.setdefault(index, {"index": index})

    def _note(self, question: str, index: int | None, *, died: bool) -> None:
        if index is not None:
            self._device(index)["silent"] = [question]
            self.silent += 1
        elif died:
            self.driver |= {"driver": Driver.FAILED, "error": f"{question} ends the asking process"}
        else:
            self.driver |= {"driver": Driver.SILENT, "error": f"{question} does not answer"}


def _ask(first: int, tell: Tell) -> None:
    """Be the child."""
    import pynvml as nvml

    try:
        nvml.nvmlInit()
    except nvml.NVMLError as problem:
        tell(driver=_state(problem.value), error=_words(problem))
        return
    version = _asked(nvml.nvmlSystemGetDriverVersion)
    cuda = _asked(nvml.nvmlSystemGetCudaDriverVersion)
    count = _asked(nvml.nvmlDeviceGetCount) or 0
    newest = [cuda // 1000, cuda % 1000 // 10] if cuda else None
    tell(driver=Driver.ANSWERS, version=text_of(version), cuda=newest, count=count)
    for index in range(first, count):
        tell(question="nvmlDeviceGetHandleByIndex", device=index)
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as problem:
            tell(device=index, facts={"error": _words(problem)})
            continue
        tell(device=index, facts={})
        _ask_device(nvml, handle, index, tell)


def _ask_device(nvml: Any, handle: Any, index: int, tell: Tell) -> None:
    for question in QUESTIONS:
        tell(question=question.function, device=index)
        with suppress(nvml.NVMLError, AttributeError):
            answer = getattr(nvml, question.function)(handle, *question.arguments)
            tell(device=index, facts=question.facts(answer))
    for name, ask in COMPOUND.items():
        tell(question=name, device=index)
        with suppress(nvml.NVMLError, AttributeError):
            tell(device=index, facts={name: ask(nvml, handle)})


def _asked(function: Callable[[], Any]) -> Any:
    """Return what NVML answers, None where this driver has no answer."""
    import pynvml

    try:
        return function()
    except pynvml.NVMLError:
        return None


def _words(problem: Any) -> str:
    """Return what the library calls an error, as nvidia-smi shows it; the binding has words of its own."""
    import pynvml

    try:
        return text_of(pynvml.nvmlErrorString(problem.value))
    except (pynvml.NVMLError, AttributeError):
        return str(problem)


def _state(code: int) -> Driver:
    import pynvml

    return {
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: Driver.MISMATCH,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: Driver.NOT_LOADED,
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: Driver.ABSENT,
        pynvml.NVML_ERROR_NO_PERMISSION: Driver.REFUSED,
    }.get(code, Driver.FAILED)
