"""What the dynamic loader says of a compiled module that it cannot load, in parts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

_MOST_BYTES = 64_000_000


class Lack(StrEnum):
    """What a binary needs and does not get."""

    SYMBOL = "symbol"
    LIBRARY = "library"
    LIBRARY_VERSION = "library version"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFailure:
    """One refusal of the loader.

    `binary` is the file that could not be loaded (empty where the loader does not say), `name` the symbol, library or
    version that it needs; `library` is the one that was loaded where its version is too old.
    """

    lack: Lack
    name: str
    binary: str = ""
    library: str = ""


_WORDS = (
    (Lack.SYMBOL, re.compile(r"(?P<binary>/[^\n:]*): undefined symbol: (?P<name>[^\s,]+)")),
    (
        Lack.LIBRARY_VERSION,
        re.compile(
            r"(?P<library>/[^\n:]*): version [`'](?P<name>[^'\n]+)' not found \(required by (?P<binary>[^\n)]+)\)"
        ),
    ),
    (Lack.LIBRARY, re.compile(r"(?P<name>[^\s:/]+\.so[.\d]*): cannot open shared object file")),
)


def link_failure(error: str) -> LinkFailure | None:
    """Read the loader's words in the text of an ImportError or OSError, None where there are none."""
    for lack, words in _WORDS:
        if found := words.search(error):
            return LinkFailure(lack=lack, **found.groupdict())
    return None


def readable_symbol(symbol: str) -> str:
    """Return a C++ symbol as it stands in the source: `c10::cuda::SetDevice(int)` of `_ZN3c104cuda9SetDeviceEi`."""
    if not symbol.startswith("_Z"):
        return symbol
    if program := shutil.which("c++filt"):
        try:
            done = subprocess.run([program, symbol], capture_output=True, text=True, timeout=5, check=False)
        except (OSError, subprocess.TimeoutExpired):
            done = None
        if done is not None and done.returncode == 0:
            return done.stdout.strip()
    return "::".join(symbol_names(symbol)) or symbol


def symbol_names(symbol: str) -> list[str]:
    """Return the names of a nested C++ symbol, the outermost namespace first; none where it is not a nested one."""
    start = re.match(r"_Z(?:T[VIS])?N[rVK]*[RO]?", symbol)
    names, rest = [], symbol[start.end() :] if start else ""
    while length := re.match(r"\d+", rest):
        end = length.end() + int(length[0])
        names.append(rest[length.end() : end])
        rest = rest[end:]
    return names


def copies_of(library: str, folders: Iterable[str]) -> list[str]:
    """Return the files of installed packages that have the name of `library`, then other versions of it."""
    stem = library.partition(".so")[0] + ".so"
    found = []
    for folder in folders:
        for package in _subfolders(folder):
            for place in (package, *_subfolders(package)):
                found += [
                    os.path.join(place, "lib", name)
                    for name in _names(os.path.join(place, "lib"))
                    if name.startswith(stem)
                ]
    return sorted(found, key=lambda file: (os.path.basename(file) != library, file))


def newest_version(library: str, wanted: str) -> str:
    """Return the newest version of the kind of `wanted` (`GLIBCXX_3.4.29`) that a library defines, empty if unknown."""
    kind = wanted.rpartition("_")[0]
    found = re.findall(rf"\0{re.escape(kind)}_(\d+(?:\.\d+)*)(?=\0)".encode(), _bytes(library))
    newest = max(found, key=lambda version: [int(part) for part in version.split(b".")], default=b"")
    return f"{kind}_{newest.decode()}" if newest else ""


def copy_with(version: str, library: str) -> str:
    """Return another copy of `library`, in this environment or of the system, that defines a version; empty if none."""
    folders = (os.path.join(sys.prefix, "lib"), "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64")
    for folder in folders:
        file = os.path.join(folder, os.path.basename(library))
        is_other = os.path.realpath(file) != os.path.realpath(library)
        if is_other and b"\0" + version.encode() + b"\0" in _bytes(file):
            return file
    return ""


def named_folders() -> list[str]:
    """Return the folders that LD_LIBRARY_PATH names."""
    return [folder.rstrip("/") for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if folder]


def _bytes(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read(_MOST_BYTES)
    except OSError:
        return b""


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir()]
    except OSError:
        return []
