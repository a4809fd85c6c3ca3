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

# The variable by which each tracker is told to keep to the disk, and the values that say so already.
_OFFLINE = {
    "WANDB_MODE": ("offline", "disabled", "dryrun"),
    "NEPTUNE_MODE": ("offline", "disabled", "debug", "read-only"),
    "SWANLAB_MODE": ("offline", "disabled", "local"),
    "CLEARML_OFFLINE_MODE": ("1",),
    "COMET_START_ONLINE": ("0",),
    # Files are the one local store that each of its versions has; later ones want to be asked for it.
    "MLFLOW_ALLOW_FILE_STORE": ("true",),
}
_OURS = {"PREFLIGHT_WORKER", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_CURRENT_TEST", "PYTEST_VERSION"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The words of a process, and what stands before them as `NAME=value`."""

    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the environment of the job, in which this interpreter's own programs (`torchrun`) come first.

        Besides, trackers stay offline (`inside/offline.py` sees to what a program itself says to them), and a
        segmentation fault is told with its place.
        """
        folder = os.path.dirname(sys.executable)
        path = os.environ.get("PATH", os.defpath)
        first = path if folder in path.split(os.pathsep) else os.pathsep.join([folder, path])
        job = {name: value for name, value in {**os.environ, **self.variables}.items() if name not in _OURS}
        if job.get("MLFLOW_TRACKING_URI", "").startswith(("http:", "https:", "databricks")):
            job["MLFLOW_TRACKING_URI"] = "mlruns"
        return {**job, "PATH": self.variables.get("PATH", first), **_offline(job), "PYTHONFAULTHANDLER": "1"}


def _offline(job: Mapping[str, str]) -> dict[str, str]:
    return {name: values[0] for name, values in _OFFLINE.items() if job.get(name) not in values}


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
