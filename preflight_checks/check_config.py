"""The config file: what is valid YAML and surely not what was meant."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from preflight import Finding, error, info
from preflight.config import Config
from preflight.config.document import child_key
from preflight.system.readers import Readers

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
