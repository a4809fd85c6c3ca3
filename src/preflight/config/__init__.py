"""foo.yaml as a `Config`, each mistake told with file, line and key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from preflight.config.document import Location, Node, parse, plain, read_text
from preflight.config.nodes import Nodes
from preflight.config.references import References
from preflight.config.schema import nearest, read_entry
from preflight.config.sections import (
    Code,
    Config,
    Data,
    Files,
    Gpu,
    Ignore,
    Import,
    Launch,
    Packages,
    PathEntry,
    Rehearsal,
    Rows,
    Seeds,
    Ssh,
    System,
    Values,
)
from preflight.errors import UserError
from preflight.phrases import without_secrets

__all__ = [
    "Code",
    "Config",
    "Data",
    "Files",
    "Gpu",
    "Ignore",
    "Import",
    "Launch",
    "Location",
    "Nodes",
    "Packages",
    "PathEntry",
    "Rehearsal",
    "Rows",
    "Seeds",
    "Ssh",
    "System",
    "Values",
    "asked",
    "entries",
    "label",
    "load",
]

DEFAULT_SOURCE = Path("preflight.yaml")


def load(source: Path | None, *, text: str | None = None, root: Path | None = None) -> Config:
    """Return what the file says; without `source` that is `preflight.yaml`, or an empty Config where there is none.

    `text` is parsed instead of reading the file; `root` is what a relative `root:` is relative to, by default the
    working directory. Raises UserError for every mistake in the file.
    """
    start = root or _working_directory()
    if source is None and text is None:
        source = DEFAULT_SOURCE
        if not os.path.lexists(source):
            return Config(root=start)
    if text is None:
        text = read_text(source or DEFAULT_SOURCE)
    return _from_text(str(source or ""), text, start)


def asked(config: Config, key: str) -> bool:
    """Tell whether the config has something under a dotted key such as `seeds.step` or `system.ports`."""
    value = _value(config, key)
    return value is not None and value is not False and not (hasattr(value, "__len__") and len(value) == 0)


def entries(config: Config, key: str) -> tuple[Any, ...]:
    """Return the entries under the dotted key of a list: all `data`, or of them those with a `data.hub`."""
    value = _value(config, key)
    if value is None:
        return ()
    return tuple(value) if isinstance(value, tuple | list | frozenset | Mapping) else (value,)


def label(entry: object) -> str:
    """Return what an entry is called in the id of a check; what is secret in a URL is left out."""
    if isinstance(entry, Import):
        return entry.name
    if isinstance(entry, Data):
        return without_secrets(entry.path or entry.manifest or entry.hub)
    return without_secrets(entry.path) if isinstance(entry, PathEntry) else str(entry)


def _from_text(source: str, text: str, start: Path) -> Config:
    root = parse(text, source)
    references = References(root, source, os.environ)
    written = root.value.get("preflight", Node(None, 0))
    experiment = {key: child for key, child in root.value.items() if key != "preflight"}
    section = references.resolve(written, "preflight")
    config: Config = read_entry(
        Config,
        section if section.value is not None else Node({}, written.line),
        Location(source, written.line, "preflight"),
    )
    rest = plain(references.resolve(Node(experiment, 1), "", strict=False))
    python = "" if config.python == "python" else config.python
    gpu = config.gpu if config.gpu and config.gpu.is_asked else None
    root_folder = _folder(config.root, start)
    return replace(config, source=source, text=text, root=root_folder, python=python, gpu=gpu, experiment=rest)


def _folder(root: Path, start: Path) -> Path:
    return Path(os.path.normpath(start / os.path.expanduser(root)))


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UserError("the working directory does not exist any more", fix="Change to another folder.") from None


def _value(config: Config, key: str) -> Any:
    """Return what stands under a dotted key, None where a section is not there."""
    value: Any = config
    for step in key.split("."):
        if value is None:
            return None
        if isinstance(value, Mapping):
            value = value.get(step)
            continue
        if isinstance(value, tuple) and all(hasattr(entry, step) for entry in value):
            value = tuple(entry for entry in value if getattr(entry, step))
            continue
        if not hasattr(value, step):
            close = nearest(step, getattr(value, "__slots__", ()))
            raise UserError(f"the config has no key `{key}`" + (f"; did you mean `{close}`?" if close else ""))
        value = getattr(value, step)
    return value
