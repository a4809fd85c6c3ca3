"""How the program of an experiment is told another seed: in its command, or in the config file that the command names."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from preflight import writing
from preflight.rehearsal.command import Command, read_command

MARK = "{seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reseeded:
    """The command under another seed, and in a word where that stands: `command`, `argument` or `config`."""

    command: Command
    seed: int
    how: str


def read_seeded(text: str, seed: int) -> Command:
    """Return the process that a command line means, the seed in place of `{seed}`."""
    return read_command(text.replace(MARK, str(seed)))


def reseed(text: str, seed: int, config: Path | None, *, root: Path, folder: Path) -> Reseeded | None:
    """Return the command under the next seed, None where nothing shows how the program gets its own.

    A config file is not changed: a changed copy is put into `folder`, and the command names that one.
    """
    other = seed + 1
    if MARK in text:
        return Reseeded(command=read_seeded(text, other), seed=other, how="command")
    command = read_command(text)
    if words := _with_argument(command.words, seed, other):
        return Reseeded(command=replace(command, words=words), seed=other, how="argument")
    if config is not None and (words := _with_config(command.words, config, root, folder, seed)):
        return Reseeded(command=replace(command, words=words), seed=other, how="config")
    return None


def _with_argument(words: tuple[str, ...], seed: int, other: int) -> tuple[str, ...]:
    """Return the words with the seed after `--seed`, in `seed=17`, or where one word is nothing but the seed."""
    changed = list(words)
    for index, word in enumerate(words):
        if re.fullmatch(rf"(?i)[-+\w./]*seed\w*=['\"]?{seed}['\"]?", word):
            changed[index] = re.sub(rf"{seed}(['\"]?)$", rf"{other}\1", word)
        elif word == str(seed) and index and re.fullmatch(r"(?i)-+[\w-]*seed[\w-]*|-s", words[index - 1]):
            changed[index] = str(other)
    if changed == list(words) and seed > 9 and words.count(str(seed)) == 1:  # noqa: PLR2004 - one digit says little
        changed[words.index(str(seed))] = str(other)
    return tuple(changed) if changed != list(words) else ()


def _with_config(words: tuple[str, ...], config: Path, root: Path, folder: Path, seed: int) -> tuple[str, ...]:
    key = re.compile(rf"(?im)((?:^|[\s{{,])[\"']?[\w.-]*seed[\w-]*[\"']?\s*:\s*[\"']?){seed}\b")
    text, count = key.subn(rf"\g<1>{seed + 1}", Path(root, config).read_text(encoding="utf-8"))
    if not count:
        return ()
    copy = folder / config.name
    changed = tuple(_naming(word, config, root, copy) for word in words)
    if changed == words:
        return ()
    folder.mkdir(parents=True, exist_ok=True)
    writing.replace({copy: text.encode()})
    return changed


def _naming(word: str, config: Path, root: Path, copy: Path) -> str:
    before, sign, name = word.rpartition("=")
    is_it = bool(name) and Path(root, name).resolve() == Path(root, config).resolve()
    return f"{before}{sign}{copy}" if is_it else word
