"""Why a device refuses work, told from the words of the error that torch raises."""

from __future__ import annotations

import re
from enum import StrEnum


class Refusal(StrEnum):
    """The reasons that are told apart."""

    NO_DEVICE = "no device"
    NO_KERNEL = "no kernel"
    OUT_OF_MEMORY = "out of memory"
    ILLEGAL_ACCESS = "illegal access"
    ASSERTION = "assertion"
    MEMORY_FAULT = "memory fault"
    BUSY = "busy"
    NOT_READY = "not ready"
    OTHER_LIBRARY = "other library"
    NO_FORWARD_COMPATIBILITY = "no forward compatibility"
    LIBRARY = "library"
    UNSUPPORTED = "unsupported"
    OTHER = "other"


# The texts are those of cudaGetErrorString, cublasGetStatusString, cudnnGetErrorString and torch itself, in the order
# in which they are looked for: an error of cuBLAS may name the CUDA error behind it.
_WORDS = {
    Refusal.OUT_OF_MEMORY: r"out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED",
    Refusal.NO_KERNEL: r"no kernel image|device kernel image is invalid|PTX .*unsupported toolchain|PTX JIT",
    Refusal.MEMORY_FAULT: r"uncorrectable|hardware stack error|NVLink error|row remap",
    Refusal.ASSERTION: r"device-side assert",
    Refusal.ILLEGAL_ACCESS: (
        r"illegal memory access|misaligned address|illegal instruction|invalid program counter|invalid address space"
        r"|unspecified launch failure|launch timed out"
    ),
    Refusal.BUSY: r"busy or unavailable|exclusive",
    Refusal.NOT_READY: r"system not yet initialized|Error 802",
    Refusal.OTHER_LIBRARY: r"unsupported display driver / cuda driver combination|Error 803",
    Refusal.NO_FORWARD_COMPATIBILITY: r"forward compatibility was attempted|Error 804",
    Refusal.NO_DEVICE: (
        r"No CUDA GPUs|no CUDA-capable device|invalid device ordinal|no NVIDIA driver|not compiled with CUDA"
        r"|driver version is insufficient"
    ),
    Refusal.UNSUPPORTED: (
        r"not implemented|not supported|NOT_SUPPORTED|ARCH_MISMATCH|[Uu]nsupported|only supported|not compiled"
        r"|has no attribute|[Cc]annot access accelerator|[Ee]xpected .*dtype|[Cc]annot pin|Could not run 'aten"
    ),
    Refusal.LIBRARY: r"CUBLAS_STATUS|CUDNN_STATUS|cuDNN|libcudnn|libcublas|CUSOLVER|CURAND",
}


def refusal_of(problem: BaseException) -> Refusal:
    """Return why an operation on a device raised `problem`."""
    text = f"{type(problem).__name__}: {problem}"
    return next((kind for kind, words in _WORDS.items() if re.search(words, text)), Refusal.OTHER)


def first_line(problem: BaseException) -> str:
    """Return the first line of what `problem` says, cut where long; the name of its type where it says nothing."""
    line = str(problem).strip().partition("\n")[0] or type(problem).__name__
    return line if len(line) <= 300 else line[:299] + "…"
