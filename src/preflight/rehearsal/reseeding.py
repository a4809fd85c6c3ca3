"""How a program is told another seed: in its command, or in the config file of the experiment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from preflight.rehearsal.command import Command, read_command

MARK = "{seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reseeded:
    """The command under another seed, and the files that it finds changed, by absolute path."""

    command: Command
    seed: int
    files: Mapping[str, str] = field(default_factory=dict)


def read_seeded(text: str, seed: int) -> Command:
    """Return the process that a command line means, the seed in place of `{seed}`."""
    return read_command(text.replace(MARK, str(seed)))


def reseed(text: str, seed: int, config: tuple[str, str] | None) -> Reseeded | None:
    """Return the command under the next seed, None where nothing shows how the program gets its own.

    `config` is the absolute path and the text of the experiment's file.
    """
    other = seed + 1
    if MARK in text:
        return Reseeded(command=read_seeded(text, other), seed=other)
    command = read_command(text)
    if words := _with_argument(command.words, seed, other):
        return Reseeded(command=replace(command, words=words), seed=other)
    if config is not None and (changed := _with_key(config[1], seed, other)):
        return Reseeded(command=command, seed=other, files={config[0]: changed})
    return None


def _with_argument(words: tuple[str, ...], seed: int, other: int) -> tuple[str, ...]:
    """Return the words with the seed after `--seed`, in `seed=17`, or where one word is nothing but the seed."""
    changed = list(words)
    for index, word in enumerate(words):
        if re.fullmatch(rf"(?i)[-+\w./]*seed\w*=['\"]?{seed}['\"]?", word):
            changed[index] = re.sub(rf"{seed}(['\"]?)$", rf"{other}\1", word)
        elif word == str(seed) and index and re.fullmatch(r"(?i)-+[\w-]*seed[\w-]*|-s", words[index - 1]):
            changed[index] = str(other)
    if changed == list(words) and seed > 9 and words.count(str(seed)) == 1:
        changed[words.index(str(seed))] = str(other)
    return tuple(changed) if changed != list(words) else ()


def _with_key(text: str, seed: int, other: int) -> str:
    """Return the text of a config with the seed changed at the keys that are called so; empty where none is."""
    key = re.compile(rf"(?im)((?:^|[\s{{,])[\"']?[\w.-]*seed[\w-]*[\"']?\s*:\s*[\"']?){seed}\b")
    changed, count = key.subn(rf"\g<1>{other}", text)
    return changed if count else ""
