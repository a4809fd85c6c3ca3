"""The config file: what is valid YAML and surely not what was meant.

See it by hand:

    python -c 'import pprint, yaml; pprint.pp(yaml.safe_load(open("foo.yaml")))'
    env | sort

Mend it:

    Write the value as YAML reads it, or the key as the program reads it, at the line that the finding names.
"""

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from preflight import Finding, check, error, info, warning
from preflight.config import Config
from preflight.config.document import Node, child_key, parse
from preflight.system.keys import Key, Reading, read_keys, value_at
from preflight.system.nodes import composed, scalars
from preflight.system.programs import read_scripts, scripts_of
from preflight.system.readers import Readers
from preflight.system.spelling import is_misspelling

# Numbers to everybody, and to YAML 1.2, but text to YAML 1.1 (PyYAML), which wants a dot and a signed exponent.
NUMBER = re.compile(r"(?P<mantissa>[-+]?\d{1,6}(?:\.\d*)?|[-+]?\.\d+)[eE](?P<exponent>[-+]?\d{1,3})")
BOOLEAN = re.compile(r"\b(?:no|off|on|yes)\b", re.IGNORECASE)
OF_PLACES = re.compile(r"(?:countr(?:y|ies)|lang|langs|languages?|locales?)$", re.IGNORECASE)
CODE = re.compile(r"[a-z]{2,3}(?:[-_][a-z]{2,4})?", re.IGNORECASE)
OF_SHELL = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
OF_OMEGACONF = re.compile(r"\$\{oc\.env:([A-Za-z_]\w*)()\}")
PATH = re.compile(r"(?![/~$])[\w. -]*(?:/[\w. -]+)+|[\w -]+\.\w{1,8}")
NAMES = re.compile(r"(?:^|_)(?:id|name|version|tag|commit|hash|sha\d*|revision)$", re.IGNORECASE)


@check(at="launch")
def check_numbers_are_numbers(config: Config, root: Path) -> Iterator[Finding]:
    """What looks like a number in the experiment's part of the config is read as one.

    PyYAML follows YAML 1.1, where `1e-6` is a string: the program finds out when it first computes with it. It is an
    error where the project is seen to read YAML so and to convert nothing. Quoted values are meant as they are.

        config.number-as-text    a value that looks like a number is read as a string
    """
    if not config.text or "e" not in config.text.lower():
        return
    found = [
        (_dotted(key), node)
        for key, node in scalars(config.text)
        if _is_number_as_text(node) and "!!" not in _written(node, config.text)
    ]
    readers = Readers.in_folder(root) if found else Readers(())
    for key, node in found:
        above, _, name = re.sub(r"(\[\d+\])+$", "", key).rpartition(".")
        if readers.converts(name, above.rpartition(".")[2]) or NAMES.search(name):
            continue
        meant = _with_dot(node.value)
        yield (error if readers.plain else info)(
            f"{key}: {node.value} is read as a string by PyYAML, not as a number",
            id="config.number-as-text",
            found=f"the string '{node.value}'",
            wanted=f"the number {meant}",
            cause="in YAML 1.1 a number with an exponent needs a dot and a sign",
            fix=f"Write {meant}",
            file=config.source,
            line=node.start_mark.line + 1,
        )


@check(at="launch")
def check_keys_are_read(config: Config, root: Path) -> Iterator[Finding]:
    """No key is misspelled or misplaced, so that the program goes on without it.

    Told from the program's code, where it loads this one YAML file and every use of it can be followed. A key that
    nothing reads is no mistake by itself: the code must read another one, very much like it, that the file lacks.

        config.unread-key       no code has the key, and the code reads one that is spelled almost so
        config.misplaced-key    the code reads the key in another section of the file
    """
    if not config.experiment:
        return
    program = read_scripts(scripts_of(config.commands, (entry.name for entry in config.imports), root), root)
    reading = read_keys(program.sources, config.experiment, config.source)
    if reading is None:
        return
    project, lines = Readers.in_folder(root), parse(config.text, config.source)
    for key in _keys(config.experiment, ()):
        if reading.knows(key) or f"{{{'.'.join(key)}}}" in config.text:
            continue
        twin = _twin(key, reading, config.experiment, project)
        if twin:
            file, line = reading.places[twin]
            reads = f"{os.path.relpath(file, root)}:{line} reads {'.'.join(twin)}, which the file lacks"
            yield _unread(key, twin, reads, file=config.source, line=_line(lines, key))


def check_variables_are_set(config: Config, root: Path) -> Iterator[Finding]:
    """The environment variables that values of the config name are set.

    Looked at where the code expands them: by `os.path.expandvars`, or by OmegaConf for `${oc.env:NAME}`.

        config.unset-variable    a value names a variable that is not set, so that the path stays as it is written
    """
    project = Readers.in_folder(root) if "$" in config.text else Readers(())
    expands = project.mentions("expandvars")
    resolves = project.mentions("omegaconf") or project.mentions("hydra")
    lines = parse(config.text, config.source) if expands or resolves else Node({}, 0)
    for key, value in _texts(config.experiment, ()):
        pattern = OF_SHELL if expands else OF_OMEGACONF if resolves else None
        names = [match[1] or match[2] for match in pattern.finditer(value)] if pattern else []
        unset = [name for name in names if name not in os.environ and not _is_there(config.experiment, (name,))]
        if unset and project.mentions(key[-1]):
            yield error(
                f"{'.'.join(key)}: the environment variable {unset[0]} is not set",
                id="config.unset-variable",
                found=value,
                cause="the program expands it, and a variable that is not set stays as it is written or raises",
                fix=f"Set {unset[0]} where the job is started, or write what it stands for",
                file=config.source,
                line=_line(lines, key),
            )


@check(at="launch")
def check_words_are_words(config: Config, root: Path) -> Iterator[Finding]:
    """What is meant as a word is not read as true or false.

    PyYAML follows YAML 1.1, where `no`, `off`, `on` and `yes` are booleans: Norway is false, and a key `on` is `True`.

        config.boolean-word    a word among words, the name of a language or country, or a key is read as a boolean
    """
    project = Readers.in_folder(root) if BOOLEAN.search(config.text) else Readers(())
    if not project.plain:
        return
    for key, node in _boolean_words(composed(config.text), "", set()):
        is_code = key.endswith("]") and _is_among_codes(config.experiment, key)
        yield (error if is_code and project.mentions(key.rpartition("[")[0].rpartition(".")[2]) else warning)(
            f"{key}: {node.value} is read as a boolean by PyYAML, not as a word",
            id="config.boolean-word",
            found=str(node.value.lower() in ("yes", "on")),
            wanted=f"the word '{node.value}'",
            cause="YAML 1.1 has more names for true and false than people know",
            fix=f"Write '{node.value}', in quotes",
            file=config.source,
            line=node.start_mark.line + 1,
        )


@check(at="launch")
def check_paths_start_from_here(config: Config, root: Path) -> Iterator[Finding]:
    """No path of the config is meant from another folder than the one that the job starts in.

    config.other-folder    a path does not exist from here, and does from the folder of the config or of the program
    """
    scripts = scripts_of(config.commands, (), root)
    folders = {Path(root, config.source).resolve().parent, *(script.resolve().parent for script in scripts)}
    folders.discard(root.resolve())
    paths = [(key, value) for key, value in _texts(config.experiment, ()) if PATH.fullmatch(value)] if folders else []
    project = Readers.in_folder(root) if paths else Readers(())
    # Code that asks where it lies, or moves, may well start from another folder.
    if any(map(project.mentions, ("__file__", "chdir", "dirname", "parent", "to_absolute_path", "hydra"))):
        return
    for key, value in paths:
        there = next((folder for folder in sorted(folders) if (folder / value).exists()), None)
        if there and not (root / value).exists() and project.mentions(key[-1]):
            yield warning(
                f"{'.'.join(key)}: {value} does not exist in {root}, and does in {there}",
                id="config.other-folder",
                found=str(root),
                wanted=str(there),
                cause="a relative path starts from the folder in which the job is started",
                fix=f"Start the job in {there}, or write {os.path.relpath(there / value, root)}",
                file=config.source,
                line=_line(parse(config.text, config.source), key),
            )


def _texts(section: Mapping[str, Any], above: Key) -> Iterator[tuple[Key, str]]:
    for name, value in section.items():
        if isinstance(name, str) and isinstance(value, Mapping):
            yield from _texts(value, (*above, name))
        elif isinstance(name, str) and isinstance(value, str):
            yield (*above, name), value


def _is_number_as_text(node: yaml.ScalarNode) -> bool:
    is_text = node.style is None and node.tag.endswith(":str")
    return is_text and NUMBER.fullmatch(node.value) is not None and math.isfinite(float(node.value))


def _dotted(key: tuple[str | int, ...]) -> str:
    dotted = ""
    for step in key:
        dotted = child_key(dotted, step, index=isinstance(step, int))
    return dotted


def _boolean_words(node: yaml.Node | None, key: str, seen: set[int]) -> Iterator[tuple[str, yaml.ScalarNode]]:
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            below = child_key(key, name.value)
            if _is_boolean_word(name):
                yield below, name
            if _is_boolean_word(value) and OF_PLACES.search(str(name.value)):
                yield below, value
            elif key or name.value != "preflight":
                yield from _boolean_words(value, below, seen)
    elif isinstance(node, yaml.SequenceNode):
        words = [each for each in node.value if _is_boolean_word(each)]
        others = [each for each in node.value if each not in words]
        if others and all(each.tag.endswith(":str") for each in others):
            yield from ((child_key(key, node.value.index(each), index=True), each) for each in words)
        for index, each in enumerate(node.value):
            yield from _boolean_words(each, child_key(key, index, index=True), seen)


def _is_among_codes(experiment: Mapping[str, Any], key: str) -> bool:
    """Say whether an item of a list stands among codes of languages or countries, where false can be no other."""
    path = key.rpartition("[")[0].split(".")
    codes = value_at(experiment, path)
    others = [each for each in codes if isinstance(each, str)] if isinstance(codes, list) else []
    return bool(OF_PLACES.search(path[-1])) and bool(others) and all(map(CODE.fullmatch, others))


def _is_boolean_word(node: yaml.Node) -> bool:
    is_plain = isinstance(node, yaml.ScalarNode) and node.style is None and node.tag.endswith(":bool")
    return is_plain and BOOLEAN.fullmatch(node.value) is not None


def _keys(section: Mapping[str, Any], above: Key) -> Iterator[Key]:
    for name, value in section.items():
        if isinstance(name, str):
            yield (*above, name)
            if isinstance(value, Mapping):
                yield from _keys(value, (*above, name))


def _twin(key: Key, reading: Reading, experiment: Mapping[str, Any], project: Readers) -> Key:
    """Return the key that the code reads and the file lacks, where `key` is surely meant to be that one."""
    name = key[-1]
    lacking = [read for read in reading.places if read and not _is_there(experiment, read)]
    if not project.mentions(name):
        return next((read for read in lacking if read[:-1] == key[:-1] and is_misspelling(name, read[-1])), ())
    elsewhere = [read for read in lacking if read[-1] == name and _is_there(experiment, read[:-1])]
    if len(elsewhere) == 1 and project.count_as_key(name) == reading.counts[elsewhere[0]]:
        return elsewhere[0]
    return ()


def _is_there(experiment: Mapping[str, Any], key: Key) -> bool:
    value: Any = experiment
    for step in key:
        if not isinstance(value, Mapping) or step not in value:
            return False
        value = value[step]
    return True


def _unread(key: Key, twin: Key, reads: str, **at: Any) -> Finding:
    written, wanted = ".".join(key), ".".join(twin)
    if key[-1] == twin[-1]:
        return error(
            f"{written} is read by no code; {reads}",
            id="config.misplaced-key",
            found=written,
            wanted=wanted,
            cause="the key stands in another section than the one that is read",
            fix=f"Move {written} to {wanted}",
            **at,
        )
    return error(
        f"{written} is read by no code, it is unknown; {reads}: did you mean {twin[-1]}?",
        id="config.unread-key",
        found=written,
        wanted=wanted,
        cause=f"the key is misspelled, so {wanted} is not set: its default counts, or the program fails",
        fix=f"Write {twin[-1]} in place of {key[-1]}",
        **at,
    )


def _line(root: Node, key: Key) -> int:
    node = root
    for step in key:
        node = node.value[step]
    return node.line


def _written(node: yaml.ScalarNode, text: str) -> str:
    return text[node.start_mark.index : node.end_mark.index]


def _with_dot(number: str) -> str:
    """Return the number as every version of YAML reads it: `1.0e-6` for `1e-6`."""
    match = NUMBER.fullmatch(number)
    assert match is not None
    mantissa, exponent = match["mantissa"], match["exponent"]
    if "." not in mantissa:
        mantissa += ".0"
    return f"{mantissa}e{exponent if exponent[0] in '+-' else '+' + exponent}"
