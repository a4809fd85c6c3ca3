"""The single values of an experiment's own config, and which of them a program means by a key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from preflight.config.document import Node, child_key
from preflight.config.references import References

Key = tuple[str, ...]

_KEY = re.compile(r"[\w-]+")
# What a config may be called where the code hands it around: `self.hparams.data`, `args.cfg["data"]`.
_HOLDERS = frozenset({"hparams", "args", "cfg", "config", "conf", "opt", "opts", "options", "params", "settings"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One single value of the experiment's own config; `reference` is empty where none can be written to it."""

    steps: tuple[str, ...]
    value: Any
    reference: str

    @property
    def name(self) -> str:
        """The last word of the key that is no index."""
        return next((step.lower() for step in reversed(self.steps) if not step.isdecimal()), "")


def read_settings(root: Node, references: References) -> list[Setting]:
    """Return the single values of a config, `preflight:` left out, resolved where they can be."""
    experiment = {key: child for key, child in root.value.items() if key != "preflight"}
    return list(_settings(references.resolve(Node(experiment, 1), "", strict=False), (), ""))


def _settings(node: Node, steps: tuple[str, ...], reference: str) -> Iterator[Setting]:
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            name = str(key)
            is_usable = _KEY.fullmatch(name) and (reference or not steps)
            yield from _settings(child, (*steps, name), child_key(reference, name) if is_usable else "")
    elif isinstance(node.value, list):
        for index, child in enumerate(node.value):
            below = child_key(reference, index, index=True) if reference else ""
            yield from _settings(child, (*steps, str(index)), below)
    else:
        yield Setting(steps, node.value, f"${{{reference}}}" if reference else "")


def matches(key: Key, steps: Key) -> bool:
    """Tell whether a key of the config is, or ends with, what the code calls it."""
    return bool(key) and steps[-len(key) :] == key


def named(key: tuple[str, ...], settings: Sequence[Setting]) -> list[Setting]:
    """Return the settings that the code means by a key: that one, the only one that ends so, or the items of a list."""
    while len(key) > 1 and key[0] in _HOLDERS and not any(matches(key, setting.steps) for setting in settings):
        key = key[1:]
    exact = [setting for setting in settings if setting.steps == key]
    items = [setting for setting in settings if setting.steps[-1].isdecimal() and setting.steps[:-1] == key]
    ending = [setting for setting in settings if matches(key, setting.steps)]
    return exact or items or (ending if len(ending) == 1 else [])
