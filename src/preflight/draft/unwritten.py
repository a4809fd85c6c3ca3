"""A config without a section of its own, as if `preflight init` had written one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from preflight.config import Config, load
from preflight.config.document import parse
from preflight.draft import append, draft, write
from preflight.errors import UserError


def with_section(config: Config) -> Config:
    """Return `config` with a section read from the project's code where its file has none, else as it is.

    Nothing is written. Where the code cannot be read either, the config stays empty.
    """
    if "preflight" in parse(config.text, config.source).value:
        return config
    source = Path(config.source) if config.source else None
    try:
        section = write(draft(config.text, source, (), config.root))
        text = config.text + append(config.text, section, config.source)
        return replace(load(source, text=text), root=config.root, drafted=True)
    except UserError:
        return config
