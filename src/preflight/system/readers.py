"""How the project's own code reads YAML, as far as its text shows."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

_MOST_FOLDERS = 2000
_MOST_FILES = 1000
_MOST_BYTES = 1_000_000
_SKIPPED = {"node_modules", "site-packages", "__pycache__"}
_PLAIN = re.compile(r"\byaml\.(?:\w+_)?load(?:_all)?\(|from yaml import")
# What a program calls its whole config.
_CONFIGS = "args|cfg|conf|config|hparams|opts|options|params|settings"
# These read numbers as YAML 1.2 has them, or turn text into numbers where a number is declared.
_LENIENT = re.compile(
    r"\b(?:omegaconf|hydra|ruamel|strictyaml|pydantic|dacite|cattrs|jsonargparse|tyro|pyrallis|draccus)\b"
)


@dataclass(frozen=True, slots=True)
class Readers:
    """The text of the project's Python files."""

    texts: tuple[str, ...]

    @classmethod
    def in_folder(cls, root: Path) -> Readers:
        """Read the Python files below `root`, environments and hidden folders left out."""
        texts: list[str] = []
        for folder, subfolders, names in islice(os.walk(root), _MOST_FOLDERS):
            subfolders[:] = sorted(name for name in subfolders if not _is_foreign(folder, name))
            files = [os.path.join(folder, name) for name in sorted(names) if name.endswith(".py")]
            texts += [_text(file) for file in files[: _MOST_FILES - len(texts)]]
        return cls(tuple(texts))

    @property
    def plain(self) -> bool:
        """True where PyYAML alone reads YAML here, and nothing is seen that would mend what it reads."""
        return any(map(_PLAIN.search, self.texts)) and not any(map(_LENIENT.search, self.texts))

    def asks_version(self, distribution: str) -> bool:
        """Say whether some line asks for the version of an installed distribution."""
        name = re.escape(distribution).replace(r"\-", "[-_.]")
        pattern = rf"\b(?:version|distribution|metadata|require_version|get_distribution|require)\(\s*f?['\"]{name}\b"
        return any(re.search(pattern, text, re.IGNORECASE) for text in self.texts)

    def mentions(self, name: str) -> bool:
        """Say whether the word is anywhere in the code."""
        word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
        return any(map(word.search, self.texts))

    def count_as_key(self, name: str) -> int:
        """Return how often the name stands in quotes or as an attribute."""
        word = re.compile(rf"(?<=[\"']){re.escape(name)}(?=[\"'])|\.{re.escape(name)}(?!\w)")
        return sum(len(word.findall(text)) for text in self.texts)

    def converts(self, key: str, section: str = "") -> bool:
        """Say whether some line turns the value of `key`, or all values of its section, into numbers."""
        name = rf"(?<!\w)(?<!\w-){re.escape(key).replace('_', '[-_]')}(?!\w)"
        patterns = [rf"\b(?:float|int|Decimal)\([^\n]*{name}", rf"{name}[^\n]*type\s*=\s*float", rf"{name}\s*:\s*float"]
        # `for key, value in section.items(): … float(value)`, in either order
        mapping = rf"[^\n]*\b(?:{re.escape(section) or 'config'}|{_CONFIGS})\b[^\n]*\.(?:items|values)\(\)"
        loop = r"\bfor (?:\w+, ?)?{} in " + mapping
        patterns += [
            loop.format(r"(?P<value>\w+)") + r"(?:[^\n]*\n){1,6}?[^\n]*\b(?:float|int)\((?P=value)\)",
            r"\b(?:float|int)\((?P<value>\w+)\)[^\n]* " + loop.format("(?P=value)"),
        ]
        return any(re.search(pattern, text) for pattern in patterns for text in self.texts)

    def spreads(self, section: str) -> bool:
        """Say whether some line gives all values of a section to a call: `make(**config["section"])`."""
        spread = re.compile(rf"\*\*[^\n]*\b(?:{re.escape(section) or _CONFIGS})\b")
        return any(map(spread.search, self.texts))

    def has_text(self, text: str) -> bool:
        """Say whether a text stands in quotes somewhere, in large or small letters."""
        quoted = re.compile(rf"([\"']){re.escape(text)}\1", re.IGNORECASE)
        return any(map(quoted.search, self.texts))

    def takes_none(self, key: str) -> bool:
        """Say whether some line compares the value of `key` with None, or declares that it may be None."""
        name = rf"(?<![\w-]){re.escape(key)}(?!\w)"
        patterns = (
            rf"{name}[\"']?[\])]?\s+is\s+(?:not\s+)?None",
            rf"{name}\s*:\s*(?:\w+\.)?Optional\[",
            rf"{name}\s*:\s*[^\n=,]*\|\s*None",
            rf"{name}\s*(?::[^\n=,]*)?=\s*None",
        )
        return any(re.search(pattern, text) for pattern in patterns for text in self.texts)


def is_used(module: str, imported: Collection[str], root: Path) -> bool:
    """Say whether a program uses a module: unless its imports are known, and neither they nor its code speak of it."""
    tops = {name.partition(".")[0] for name in imported}
    return not tops or module in tops or Readers.in_folder(root).mentions(module)


def _is_foreign(folder: str, name: str) -> bool:
    return name in _SKIPPED or name.startswith(".") or os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))


def _text(file: str) -> str:
    try:
        with open(file, encoding="utf-8", errors="replace") as stream:
            return stream.read(_MOST_BYTES)
    except OSError:
        return ""
