"""A copy of the experiment's config file in which its output paths lead to scratch, for where there is no view."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from preflight import writing
from preflight.config import Config
from preflight.rehearsal.command import Command
from preflight.system.readers import composed


def led_elsewhere(config: Config, command: Command, folder: Path) -> Command | None:
    """Return the command with a copy of its config file in `folder`, all that `paths:` wants to write to below it.

    None where it names no such file, or where one of those paths does not stand in the experiment's part of it.
    """
    outputs = [entry.path for entry in config.paths if "write" in entry.access]
    text = config.text
    led: set[str] = set()
    for start, end, value in sorted(_scalars(config.text), reverse=True):
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


def _scalars(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and value of each scalar of the experiment's part of a config file."""
    import yaml

    root = composed(text)
    unseen = [value for key, value in root.value if key.value != "preflight"] if root else []
    while unseen:
        node = unseen.pop()
        if isinstance(node, yaml.ScalarNode):
            yield node.start_mark.index, node.end_mark.index, node.value
        elif isinstance(node, yaml.MappingNode):
            unseen += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            unseen += node.value


def _renamed(word: str, config: Config, copy: str) -> str:
    option, equals, path = word.rpartition("=")
    if not config.source or not path:
        return word
    is_it = os.path.realpath(config.root / path) == os.path.realpath(config.source)
    return option + equals + copy if is_it else word
