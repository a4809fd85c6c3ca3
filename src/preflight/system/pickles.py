"""What a pickle would import, read from its opcodes: nothing of it is ever loaded."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from typing import IO, Any

MOST_BYTES = 256 << 20
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# What `torch.load(weights_only=True)` takes; of torch itself it refuses only whole modules and optimizers.
_ALLOWED = {
    *("collections.OrderedDict", "collections.Counter", "_codecs.encode"),
    *("builtins.bytearray", "builtins.set", "builtins.complex"),
}
_REFUSED_OF_TORCH = re.compile(r"torch\.(nn\.(?!parameter\.)|optim\.|utils\.data\.|jit\.|fx\.)")
_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class NotAPickle(Exception):
    """The bytes are no pickle that can be followed."""


def blocked_in_checkpoint(path: str) -> tuple[str, ...]:
    """Return the classes and functions in a file of `torch.save` that `torch.load(weights_only=True)` refuses.

    Raises NotAPickle where the file is none of `torch.save`, OSError where it cannot be read.
    """
    names = {name for stream in _pickles_of(path) for name in imports_of(stream)}
    return tuple(sorted(name for name in names if _is_blocked(name)))


def devices_in_checkpoint(path: str) -> tuple[str, ...]:
    """Return the devices that the tensors in a file of `torch.save` were saved from, such as `cuda:0`.

    Raises NotAPickle where the file is none of `torch.save`, OSError where it cannot be read.
    """
    return tuple(sorted({device for stream in _pickles_of(path) for device in _read(stream)[1]}))


def imports_of(stream: IO[bytes]) -> set[str]:
    """Return the full names of what one pickle imports; raises NotAPickle where it breaks off."""
    return _read(stream)[0]


def _read(stream: IO[bytes]) -> tuple[set[str], set[str]]:
    """Return what a pickle imports, and the last text of each of its persistent ids: the device of a storage."""
    import pickletools

    names: set[str] = set()
    devices: set[str] = set()
    texts: list[str] = []
    memo: dict[int, str] = {}
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            _follow(opcode.name, argument, names, texts, memo)
            if opcode.name == "BINPERSID":
                devices.update(texts[-1:])
    except Exception as problem:  # noqa: BLE001 - whatever a broken pickle makes it raise
        raise NotAPickle(str(problem)) from None
    return names, devices


def _follow(name: str, argument: Any, names: set[str], texts: list[str], memo: dict[int, str]) -> None:
    """Note what one opcode imports; `texts` are the last two texts on the stack, all that STACK_GLOBAL needs."""
    match name:
        case "GLOBAL" | "INST":
            module, _, attribute = argument.partition(" ")
            names.add(_named(module, attribute))
        case "STACK_GLOBAL":
            if len(texts) == 2:
                names.add(_named(*texts))
        case "MEMOIZE":
            memo[len(memo)] = texts[-1] if texts else ""
        case "PUT" | "BINPUT" | "LONG_BINPUT":
            memo[argument] = texts[-1] if texts else ""
        case "GET" | "BINGET" | "LONG_BINGET":
            texts.append(memo.get(argument, ""))
        case "SHORT_BINUNICODE" | "BINUNICODE" | "BINUNICODE8" | "UNICODE":
            texts.append(argument)
    del texts[:-2]


def _named(module: str, attribute: str) -> str:
    name = f"{_OLD_MODULES.get(module, module)}.{attribute}"
    return "builtins.int" if name == "builtins.long" else name


def _is_blocked(name: str) -> bool:
    if name.startswith("torch."):
        return _REFUSED_OF_TORCH.match(name) is not None
    return name not in _ALLOWED


def _pickles_of(path: str) -> Iterator[IO[bytes]]:
    """Give the pickles of a checkpoint: the one in the archive, or what older versions wrote in a row."""
    with open(path, "rb") as file:
        start = file.read(4)
        file.seek(0)
        if start.startswith(b"PK"):
            yield _pickle_in_archive(path)
        elif start.startswith(b"\x80"):
            # The number of the format, its version, facts of the system, then the object itself.
            if _first_number(file) != _LEGACY_MAGIC:
                raise NotAPickle("not written by torch.save")
            for _ in range(2):
                imports_of(file)
            yield file
        else:
            raise NotAPickle("not written by torch.save")


def _pickle_in_archive(path: str) -> IO[bytes]:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            names = {os.path.basename(each.filename): each for each in archive.infolist()}
            member = names.get("data.pkl")
            if member is None or "constants.pkl" in names or member.file_size > MOST_BYTES:
                raise NotAPickle("not written by torch.save")  # but perhaps by torch.jit.save
            with archive.open(member) as stream:
                return io.BytesIO(stream.read(MOST_BYTES))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as problem:
        raise NotAPickle(str(problem)) from None


def _first_number(stream: IO[bytes]) -> int:
    import pickletools

    numbers: list[int] = []
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "LONG1" and isinstance(argument, int):
                numbers.append(argument)
    except Exception as problem:  # noqa: BLE001 - whatever a broken pickle makes it raise
        raise NotAPickle(str(problem)) from None
    return numbers[0] if len(numbers) == 1 else 0
