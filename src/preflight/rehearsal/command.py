"""The command line of the experiment as the words of a process and its environment."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_PYTHON = re.compile(r"python(3(\.\d+)?)?")
# Words that only a shell understands; `shlex` gives them as words of their own.
_SHELL = re.compile(r"[();<>|&]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The words of a process, and what stands before them as `NAME=value`."""

    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the environment of the job, in which this interpreter's own programs (`torchrun`) come first."""
        folder = os.path.dirname(sys.executable)
        path = os.environ.get("PATH", os.defpath)
        first = path if folder in path.split(os.pathsep) else os.pathsep.join([folder, path])
        return {**os.environ, "PATH": first, **self.variables}


def read_command(text: str) -> Command:
    """Return the process that a command line means; `python` is the interpreter that runs this.

    What needs a shell (`a && b`, `a > b`) is handed to `sh` as it is written.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    if any(_SHELL.fullmatch(word) for word in words):
        return Command(words=("sh", "-c", text))
    words = shlex.split(text)
    variables = {}
    while words and _ASSIGNMENT.match(words[0]):
        name, _, variables[name] = words.pop(0).partition("=")
    if words and _PYTHON.fullmatch(words[0]):
        words[0] = sys.executable
    return Command(words=tuple(words), variables=variables)
