"""The config file: what is valid YAML and surely not what was meant."""

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from preflight import Finding, error, info
from preflight.config import Config
from preflight.config.document import Node, child_key, parse
from preflight.system.keys import Key, Reading, read_keys
from preflight.system.programs import read_scripts, scripts_of
from preflight.system.readers import Readers
from preflight.system.spelling import is_misspelling

# Numbers to everybody, and to YAML 1.2, but text to YAML 1.1 (PyYAML), which wants a dot and a signed exponent.
NUMBER = re.compile(r"(?P<mantissa>[-+]?\d{1,6}(?:\.\d*)?|[-+]?\.\d+)[eE](?P<exponent>[-+]?\d{1,3})")
NAMES = re.compile(r"(?:^|_)(?:id|name|version|tag|commit|hash|sha\d*|revision)$", re.IGNORECASE)


def check_numbers_are_numbers(config: Config, root: Path) -> Iterator[Finding]:
    """What looks like a number in the experiment's part of the config is read as one.

    PyYAML follows YAML 1.1, where `1e-6` is a string: the program finds out when it first computes with it. It is an
    error where the project is seen to read YAML so and to convert nothing. Quoted values are meant as they are.

        config.number-as-text    a value that looks like a number is read as a string
    """
    if not config.text or "e" not in config.text.lower():
        return
    found = list(_numbers_as_text(yaml.compose(config.text, Loader=yaml.SafeLoader), "", set()))
    found = [(key, node) for key, node in found if "!!" not in _written(node, config.text)]
    readers = Readers.in_folder(root) if found else Readers(())
    for key, node in found:
        name = re.sub(r"(\[\d+\])+$", "", key).rpartition(".")[2]
        if readers.converts(name) or NAMES.search(name):
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


def _numbers_as_text(node: yaml.Node | None, key: str, seen: set[int]) -> Iterator[tuple[str, yaml.ScalarNode]]:
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if key or name.value != "preflight":
                yield from _numbers_as_text(value, child_key(key, name.value), seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _numbers_as_text(value, child_key(key, index, index=True), seen)
    elif isinstance(node, yaml.ScalarNode) and node.style is None and node.tag.endswith(":str"):
        match = NUMBER.fullmatch(node.value)
        if match and math.isfinite(float(node.value)):
            yield key, node


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
