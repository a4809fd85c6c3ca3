"""The values of the config file: each is of the kind that the program takes it for.

See it by hand:

    python -c 'import pprint, yaml; pprint.pp(yaml.safe_load(open("foo.yaml")))'

Mend it:

    Write the value as YAML reads it, at the line that the finding names: text that looks like something else in quotes.
"""

import os
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from preflight import Finding, check, error, warning
from preflight.config import Config
from preflight.phrases import shown
from preflight.system.keys import value_at
from preflight.system.nodes import refusal, scalars
from preflight.system.programs import read_scripts, scripts_of
from preflight.system.readers import Readers
from preflight.system.texts import Taken, taken_by_method, taken_in_paths

Key = tuple[str, ...]

A_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
TUPLE = re.compile(rf"\(\s*{A_NUMBER}(?:\s*,\s*{A_NUMBER})+\s*,?\s*\)")
# What makes a tuple of a text.
READS_TUPLES = ("literal_eval", "eval", "make_tuple", "split", "strip", "findall", "loads", "safe_eval")
OF_PEOPLE = re.compile(r"(?:^|_)(?:notes?|comments?|desc|description|titles?|name|tags?|label)$", re.IGNORECASE)


@check(at="launch")
def check_the_program_can_read_it(config: Config, root: Path) -> Iterator[Finding]:
    """PyYAML takes the file, where the program reads it with PyYAML.

    In YAML 1.2 an anchor may stand twice, and preflight reads such a file; PyYAML refuses it as a whole.

        config.refused    PyYAML refuses the file
    """
    refused = refusal(config.text) if config.text and "&" in config.text else None
    if refused and Readers.in_folder(root).plain:
        message, line = refused
        yield error(
            f"PyYAML refuses the file: {message}",
            id="config.refused",
            cause="the program reads it with PyYAML, which knows YAML 1.1",
            fix="Give the second one another name",
            file=config.source,
            line=line,
        )


@check(at="launch")
def check_values_are_yaml(config: Config, root: Path) -> Iterator[Finding]:
    """No value is written as Python has it, which is text to YAML.

    `None` is four letters, and `(0.9, 0.999)` is text. Looked at where PyYAML reads the config and the program is not
    seen to expect such text.

        config.python-value    None, or a tuple of numbers, that is read as text
    """
    if not re.search(r"\bNone\b|\(", config.text):
        return
    found = [
        (key, node)
        for key, node in _plain(config.text)
        if node.tag.endswith(":str") and (node.value == "None" or TUPLE.fullmatch(node.value))
    ]
    project = Readers.in_folder(root) if found else Readers(())
    for key, node in found:
        name = next((each for each in reversed(key) if not each.isdecimal()), "")
        if not project.plain or not name or OF_PEOPLE.search(name):
            continue
        if node.value == "None":
            if project.mentions(name) and not project.has_text("None"):
                say = error if project.takes_none(name) else warning
                yield _python(say, key, node, "null", config)
        elif not any(map(project.mentions, READS_TUPLES)):
            meant = f"[{node.value.strip('( ,)')}]"
            is_used = project.mentions(name) or project.spreads(key[-2] if key[1:] else "")
            yield _python(error if is_used else warning, key, node, meant, config)


@check(at="launch")
def check_text_is_text(config: Config, root: Path) -> Iterator[Finding]:
    """What the program takes for text is read as text.

    PyYAML reads `1:30:00` as a number to the base 60, and `1.10` as 1.1. It is told where a method of text is surely
    called on such a value, or where a path with the value as it is read does not exist, and one with the value as it
    is written does.

        config.not-text    a value that is read as a number, a date or a boolean is used as text
    """
    values = {key: node for key, node in _other_scalars(config) if not any(each.isdecimal() for each in key)}
    if not values or not Readers.in_folder(root).plain:
        return
    sources = read_scripts(scripts_of(config.commands, (entry.name for entry in config.imports), root), root).sources
    told = set()
    for taken in taken_by_method(sources, config.source):
        (key,) = taken.parts
        if isinstance(key, tuple) and key in values and key not in told:
            told.add(key)
            yield _no_text(key, values[key], f"{_place(taken, root)} takes it for text", config)
    changed = {key for key, node in values.items() if str(value_at(config.experiment, key)) != node.value}
    for taken in taken_in_paths(sources, config.source) if changed - told else ():
        odd = [part for part in taken.parts if isinstance(part, tuple) and part in changed - told]
        if len(odd) == 1 and (paths := _paths(taken, values, config.experiment)):
            read, written = (Path(root, os.path.expanduser(path)) for path in paths)
            if not read.exists() and written.exists():
                told.add(odd[0])
                where = f"{_place(taken, root)} looks for {shown(paths[0])}, and {shown(paths[1])} is there"
                yield _no_text(odd[0], values[odd[0]], where, config)


def _plain(text: str) -> Iterator[tuple[Key, yaml.ScalarNode]]:
    """Yield the values that stand in the experiment's part without quotes."""
    for key, node in scalars(text):
        if node.style is None:
            yield tuple(map(str, key)), node


def _other_scalars(config: Config) -> Iterator[tuple[Key, yaml.ScalarNode]]:
    """Yield the values that are no text; one that counts as false may be asked for that first."""
    if config.text and config.experiment:
        for key, node in _plain(config.text):
            if not node.tag.endswith((":str", ":null")) and value_at(config.experiment, key):
                yield key, node


def _paths(
    taken: Taken, values: Mapping[Key, yaml.ScalarNode], experiment: Mapping[str, Any]
) -> tuple[str, str] | None:
    """Return the path with the values as they are read, and as they are written; None where a value is not known."""
    read = written = ""
    for part in taken.parts:
        value = value_at(experiment, part) if isinstance(part, tuple) else part
        if not isinstance(value, str | int | float) or (isinstance(value, str) and "$" in value):
            return None
        read += str(value)
        written += str(values[part].value) if isinstance(part, tuple) and part in values else str(value)
    return (read, written) if read != written else None


def _place(taken: Taken, root: Path) -> str:
    return f"{os.path.relpath(taken.file, root)}:{taken.line}"


def _python(say: Any, key: Key, node: yaml.ScalarNode, meant: str, config: Config) -> Finding:
    is_none = meant == "null"
    found: Finding = say(
        f"{'.'.join(key)}: {node.value} is text to YAML, a string of {len(node.value)} characters",
        id="config.python-value",
        found=f"the string '{node.value}'",
        wanted=meant,
        cause="the None of Python is null in YAML" if is_none else "YAML has lists in brackets, and no tuples",
        fix=f"Write {meant}",
        file=config.source,
        line=node.start_mark.line + 1,
    )
    return found


def _no_text(key: Key, node: yaml.ScalarNode, use: str, config: Config) -> Finding:
    value = value_at(config.experiment, key)
    kind = "boolean" if isinstance(value, bool) else "date" if isinstance(value, date) else "number"
    reason = "PyYAML takes digits with colons for a number to the base 60" if ":" in node.value else ""
    return error(
        f"{'.'.join(key)}: {node.value} is read as the {kind} {value} by PyYAML; {use}",
        id="config.not-text",
        found=f"{value!r}",
        wanted=f"the text '{node.value}'",
        cause=reason or f"without quotes, {node.value} is a {kind} in YAML",
        fix=f"Write '{node.value}', in quotes",
        file=config.source,
        line=node.start_mark.line + 1,
    )
