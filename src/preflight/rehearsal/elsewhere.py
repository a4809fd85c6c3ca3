"""A copy of the experiment's config file in which its output paths lead to scratch, for where there is no view."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from preflight import writing
from preflight.config import Config
from preflight.rehearsal.command import Command
from preflight.system.nodes import scalars


def led_elsewhere(config: Config, command: Command, folder: Path) -> Command | None:
    """Return the command with a copy of its config file in `folder`, all that `paths:` wants to write to below it.

    None where it names no such file, or where one of those paths does not stand in the experiment's part of it.
    """
    outputs = [entry.path for entry in config.paths if "write" in entry.access]
    text = config.text
    led: set[str] = set()
    values = [(node.start_mark.index, node.end_mark.index, node.value) for _, node in scalars(config.text)]
    for start, end, value in sorted(values, reverse=True):
        for path in outputs:
            if value == path or value.startswith(path.rstrip("/") + "/"):
                place = folder / "outputs" / value.lstrip("/").replace("..", "_")
                place.mkdir(parents=True, exist_ok=True)
                text, led = text[:start] + json.dumps(str(place)) + text[end:], led | {path}
    copy = folder / os.path.basename(config.source or "config.yaml")
    words = [_renamed(word, config, str(copy)) for word in command.words]
    if not outputs or led != set(outputs) or words == list(command.words):
        return None
    writing.replace({copy: text.encode()})
    return replace(command, words=tuple(words))


def _renamed(word: str, config: Config, copy: str) -> str:
    option, equals, path = word.rpartition("=")
    if not config.source or not path:
        return word
    is_it = os.path.realpath(config.root / path) == os.path.realpath(config.source)
    return option + equals + copy if is_it else word
