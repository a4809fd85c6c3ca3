"""What the installed torch was built for, by its files: it is not imported."""

from __future__ import annotations

import ast
import mmap
import re
import sys
from pathlib import Path
from typing import Any

from preflight.system.gpu.facts import Build
from preflight.system.origins import SearchPath, Source

OTHER_FRAMEWORKS = ("jax", "tensorflow", "cupy", "paddle", "mxnet")

# The list that `torch.cuda.get_arch_list()` splits, as it stands in the compiled library.
_ARCHITECTURES = re.compile(rb"(?:(?:sm|compute)_\d+[af]? ?)+")


def read_build(path: SearchPath) -> Build | None:
    """Return what the files of the torch that the job would import say, None where there is none."""
    spec = path.find("torch", *Source)
    if spec is None or not spec.origin:
        return None
    file = Path(spec.origin).with_name("version.py")
    facts = _constants(file)
    cuda = str(facts.get("cuda") or "")
    return Build(
        version=str(facts.get("__version__") or ""),
        cuda=cuda,
        hip=str(facts.get("hip") or ""),
        file=str(file),
        from_conda=any(Path(sys.prefix, "conda-meta").glob("pytorch-*.json")),
        architectures=_architectures(file.with_name("lib") / "libtorch_python.so") if cuda else (),
    )


def other_framework(path: SearchPath) -> str:
    """Return the name of an installed framework, other than torch, that uses GPUs; empty where there is none."""
    return next((name for name in OTHER_FRAMEWORKS if path.find(name, *Source)), "")


def deprecated_binding() -> str:
    """Return the version of the distribution `pynvml`, which shadows `nvidia-ml-py`; empty where it is not installed.

    Since its version 12 it holds no module `pynvml` of its own any more, and is harmless.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("pynvml")
    except PackageNotFoundError:
        return ""
    return found if int(found.partition(".")[0] or 0) < 12 else ""


def _architectures(library: Path) -> tuple[str, ...]:
    """Return the longest list of architectures in a compiled file, found by search and not by a scan of its 30 MB."""
    best = b""
    try:
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for word in (b"sm_", b"compute_"):
                place = data.find(word)
                while place >= 0:
                    match = _ARCHITECTURES.match(data, place)
                    best = max(best, match[0] if match else b"", key=lambda text: text.count(b"_"))
                    place = data.find(word, match.end() if match else place + 1)
    except (OSError, ValueError):
        return ()
    return tuple(best.decode().split())


def _constants(file: Path) -> dict[str, Any]:
    """Return the names that a Python file sets to plain values, without running it."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    found = {}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        if targets and isinstance(targets[0], ast.Name) and isinstance(value, ast.Constant):
            found[targets[0].id] = value.value
    return found
